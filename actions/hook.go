package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

const (
	hookLogMost = 1 << 20   // beyond this a script's file is begun anew
	hookLogKept = 64 * 1024 // of a script's output, kept with the run
	hookSaid    = 1000      // of it, in an error: enough for five lines, unless a script prints what are none
)

// hookDone is what is kept of a script that ended well.
type hookDone struct {
	Output string `json:"output"`
}

// HookError is the error of a script that did not end well.
type HookError struct {
	Output string // its last lines
	Err    error
}

func (e *HookError) Error() string {
	text := e.Err.Error()
	if last := lastLines(e.Output, 5); last != "" {
		text += "; it printed: " + last
	}
	return text
}

func (e *HookError) Unwrap() error { return e.Err }

// hook runs a script of the user's. It is over when its own process is; what it leaves behind is the
// application, and is never touched.
func (k *Kit) hook(ctx context.Context, s *workflow.Session, _ []string) error {
	step := s.Step()
	_, err := workflow.Once(ctx, s, workflow.Effect[hookDone]{
		Name: "script",
		Do: func(_ context.Context, fx workflow.Fx) (hookDone, error) {
			run := s.Run()
			snapshot := ""
			if made(run) {
				snapshot = run.Frozen.Dataset + "@" + run.Snapshot
			}
			env := []string{"ZFS2CLOUD_RUN=" + run.ID, "ZFS2CLOUD_DATASET=" + run.Frozen.Dataset,
				"ZFS2CLOUD_SNAPSHOT=" + snapshot, "ZFS2CLOUD_PHASE=" + s.Phase(), "ZFS2CLOUD_MOUNT=" + run.Mount}
			stop, done := s.HookContext()
			defer done()
			h := hookCall{argv: append([]string{step.Name}, step.Args...), env: env, log: k.hookLog(run.DatasetGUID, step.Name), timeout: run.Frozen.HookTimeout}
			output, err := h.run(stop, fx, func(mark *state.HookMark) error {
				if mark != nil {
					mark.Phase = s.Phase()
				}
				return fx.Note(func(_ *state.Tx, r *state.Run) error {
					r.Hook = mark
					return nil
				})
			})
			if err != nil {
				return hookDone{}, &HookError{Output: output, Err: err}
			}
			return hookDone{Output: output}, nil
		},
	})
	return err
}

// made tells whether the run's snapshot is known to exist.
func made(r state.Run) bool {
	for _, step := range r.Steps {
		if workflow.Kind(step.Kind) == workflow.Snapshot {
			return workflow.StepMachine.In(step.State, workflow.StepDone) && r.Snapshot != ""
		}
	}
	return r.Snapshot != ""
}

func (k *Kit) hookLog(guid, script string) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == 0 {
			return '-'
		}
		return r
	}, strings.TrimPrefix(script, "/"))
	if len(name) > 200 {
		name = name[len(name)-200:]
	}
	return filepath.Join(k.HookDir, guid+"-"+name+".log")
}

// BareHook runs a script of a bracket that only a note tells of.
func (k *Kit) BareHook(w workflow.World, guid string) func(context.Context, []string, []string, time.Duration) error {
	return func(ctx context.Context, argv, env []string, timeout time.Duration) error {
		h := hookCall{argv: argv, env: env, log: k.hookLog(guid, argv[0]), timeout: timeout}
		output, err := h.run(ctx, w, func(*state.HookMark) error { return nil })
		if err != nil {
			return &HookError{Output: output, Err: err}
		}
		return nil
	}
}

// hookCall is one start of a script.
type hookCall struct {
	argv    []string
	env     []string
	log     string // the file that gets its output: a pipe would be held open by what the script leaves behind
	timeout time.Duration
}

// run starts the script behind its gate, has it put on record, lets it go, and waits for its own process.
func (h hookCall) run(ctx context.Context, w workflow.World, mark func(*state.HookMark) error) (output string, err error) {
	if h.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, h.timeout, fmt.Errorf("hook_timeout is over after %s", h.timeout))
		defer cancel()
	}
	spec := workflow.Spec{Argv: h.argv, Env: h.env, Hook: true}
	log, begin, err := openHookLog(h.log)
	if err != nil {
		// It may be the one that starts the application, and is needed more than what it says.
		output = fmt.Sprintf("(its output is not kept: %v)", err)
	} else {
		defer log.Close()
		spec.Stdout = log
	}
	child, err := w.Start(ctx, spec)
	if err != nil {
		return "", err
	}
	id := child.ID()
	markErr := mark(&state.HookMark{PID: id.PID, Start: id.Start, Boot: id.Boot, Started: w.Now()})
	if markErr != nil {
		child.Kill() // it is still behind its gate, and has done nothing
		return "", errors.Join(markErr, child.Wait())
	}
	err = errors.Join(child.Release(), child.Wait(), mark(nil))
	if spec.Stdout != nil {
		output = tail(log, begin)
	}
	return output, err
}

// openHookLog opens the file that a script writes to, at its end. One that has grown beyond its bound is
// begun anew under the same name: a daemon of an earlier run may hold the old one, and keeps it.
func openHookLog(name string) (f *os.File, begin int64, err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, 0, err
	}
	if info, err := os.Lstat(name); err == nil && (!info.Mode().IsRegular() || info.Size() > hookLogMost) {
		if err := os.Remove(name); err != nil {
			return nil, 0, err
		}
	}
	f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	if err = proc.MakeRoom(f); err == nil {
		begin, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, begin, nil
}

// tail reads what was written since begin, its end if it is much.
func tail(f *os.File, begin int64) string {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	b := make([]byte, min(end-begin, hookLogKept))
	n, err := f.ReadAt(b, end-int64(len(b)))
	if err != nil && err != io.EOF {
		return ""
	}
	return string(b[:n])
}

func lastLines(text string, n int) string {
	text = strings.TrimSpace(text)
	text = text[max(0, len(text)-hookSaid):]
	lines := strings.Split(text, "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
