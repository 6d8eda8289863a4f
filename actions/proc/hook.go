package proc

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"zfs2cloud/workflow"
)

const shell = "/bin/sh"

// GateShut is the exit status of a hook whose gate was never opened, because whoever should have done so
// is gone.
const GateShut = 125

// gateScript becomes the script that "$@" names once a line has come. The shell's exec runs a file without
// "#!" by /bin/sh under the same pid (verified with dash 0.5.12 and bash 5.2).
const gateScript = `read -r go || exit 125; exec "$@" </dev/null`

// coreAtStart is the limit on core files that our caller gave us. Hooks get it back: the program takes it
// from itself, since its memory holds passphrases.
var coreAtStart = func() unix.Rlimit {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &l); err != nil {
		return unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	}
	return l
}()

func (w *World) startHook(path string, s workflow.Spec) (*child, error) {
	output, err := hookOutput(s)
	if err != nil {
		return nil, err
	}
	if output == nil {
		if output, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil {
			return nil, err
		}
		defer output.Close()
	}
	waits, gate, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer waits.Close()
	argv := append([]string{shell, "-c", gateScript, "zfs2cloud-hook", path}, s.Argv[1:]...)
	c, err := w.fork(shell, s, argv, []*os.File{waits, output, output}, &unix.SysProcAttr{Setpgid: true})
	if err != nil {
		return nil, errors.Join(err, gate.Close())
	}
	c.gate, c.plumbing = gate, new(plumbing)
	if err := unix.Prlimit(c.id.PID, unix.RLIMIT_CORE, &coreAtStart, nil); err != nil {
		// Only where the hard limit was lowered too, by a user who may not raise it again.
		c.log.Debug("hook keeps our limit on core files", "argv", c.argv, "err", err)
	}
	return c, nil
}

// hookOutput is the file that takes what a hook writes, nil for none. A pipe would tie the application to
// our life: it would die of SIGPIPE after us.
func hookOutput(s workflow.Spec) (*os.File, error) {
	if s.Stdin != nil || s.Stderr != nil || len(s.Extra) > 0 {
		return nil, errors.New("a hook has no input, no stderr of its own and no descriptors")
	}
	if s.Stdout == nil {
		return nil, nil
	}
	f, ok := s.Stdout.(*os.File)
	if !ok {
		return nil, errors.New("a hook's output must be a file")
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) != 0 {
		return nil, errors.New("a hook's output must be a file, not a pipe")
	}
	return f, nil
}

// Release opens the gate of a hook. It does nothing for a child that is none, and nothing the second time.
func (c *child) Release() error {
	c.gateMu.Lock()
	defer c.gateMu.Unlock()
	if c.gate == nil {
		return nil
	}
	_, err := io.WriteString(c.gate, "go\n")
	err = errors.Join(err, c.gate.Close())
	c.gate = nil
	return err
}

// closeGate closes the gate of a hook that ended before it was opened.
func (c *child) closeGate() {
	c.gateMu.Lock()
	defer c.gateMu.Unlock()
	if c.gate != nil {
		_ = c.gate.Close() // nothing was written to it
		c.gate = nil
	}
}
