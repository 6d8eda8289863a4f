package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"zfs2cloud/actions/units"
	"zfs2cloud/cmd/sandbox/internal/outage"
	"zfs2cloud/cmd/sandbox/internal/vm"
)

// OutageCmd is the guest's part of vm cut.
type OutageCmd struct {
	Life string `arg:"" help:"In JSON."`
}

// Run lives that life, until the power is cut.
func (c OutageCmd) Run(ctx context.Context) error {
	var l outage.Life
	if err := json.Unmarshal([]byte(c.Life), &l); err != nil {
		return err
	}
	return outage.Live(ctx, l)
}

// lifeTime is for one life, which takes less than a minute where nothing else is at work.
const lifeTime = 20 * time.Minute

// life is one life of the guest after the other, and what is heard of it.
type life struct {
	*guest
	outage.Life
	*repeated

	name     string // which of the guests that live side by side
	began    time.Time
	complain string        // the guest's last word, if it failed
	looked   string        // what status said
	resumed  time.Duration // after the boot
	cut      bool
	compared bool
}

// repeated is what a run did, in all of its lives, to see what it did more than once.
type repeated struct {
	seals int             // calls of gpg to seal
	sent  map[string]bool // chunk files whose upload was begun
	again int64           // bytes of those whose upload was begun again
	kept  map[string]bool // chunk files that were uploaded, by what status said
	undue string          // one of these whose upload was begun again
}

func newRepeated() *repeated { return &repeated{sent: map[string]bool{}, kept: map[string]bool{}} }

// live is a boot and all that follows, until the power is cut.
func (l *life) live(ctx context.Context) error {
	order, err := json.Marshal(l.Life)
	if err != nil {
		return err
	}
	disks, err := l.plug(ctx)
	if err != nil {
		return err
	}
	ctx, off := context.WithTimeoutCause(ctx, lifeTime, fmt.Errorf("its life did not end within %s", lifeTime))
	defer off()
	var cutting error
	hear := vm.Lines(func(text string) {
		fmt.Fprintf(l.log, "%s: %s\n", l.name, text)
		if l.cut {
			return
		}
		if l.hear(text); l.cut {
			time.Sleep(l.End.Delay)
			cutting = unplug(disks) // before QEMU, so that it has nowhere to flush to
			off()
		}
	})
	l.began, l.cut, l.compared = time.Now(), false, false
	status, err := l.image.Run(ctx, l.host, vm.Life{
		Files:  l.files(),
		Script: fmt.Sprintf("exec ./sandbox outage '%s'", order),
		Output: hear,
		Disks:  disks,
		Single: true,
	})
	if l.undue != "" {
		cutting = errors.Join(cutting, fmt.Errorf("%s was uploaded, and its upload was begun again", l.undue))
	}
	if l.cut {
		return cutting
	}
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d: %s", status, l.complain)
	}
	if err == nil && !l.compared {
		err = errors.New("it ended by itself")
	}
	if err = errors.Join(err, cutting, unplug(disks)); err != nil && l.Number > 0 {
		return fmt.Errorf("the guest after cut %s%d (%s): %w", l.name, l.Number, l.Ended, err)
	}
	return err
}

// hear takes down what the guest says.
func (l *life) hear(text string) {
	_, said, ours := strings.Cut(text, outage.Says) // what a program said may stand before it
	if !ours {
		if strings.HasPrefix(text, "sandbox: ") {
			l.complain = text
		}
		return
	}
	word, rest, _ := strings.Cut(said, " ")
	switch word {
	case outage.Call:
		l.call(rest)
	case outage.Looked:
		l.looked = rest
	case outage.Kept:
		l.kept[rest] = true
	case outage.Resuming:
		if l.resumed = time.Since(l.began); l.End.Resumed && !l.Last {
			l.print("to be cut off once more")
		}
	case outage.Resumed:
		if !l.Files {
			rest = l.repeated.over(rest)
		}
		l.print(fmt.Sprintf("done after %s; %s", took(time.Since(l.began)), rest))
	case outage.Compared:
		rest += " backups into new datasets, with all that was in them"
		if l.Files {
			rest = "nothing: the remote has the dataset's files, and no others"
		}
		line("restore "+l.name, rest, took(time.Since(l.began)))
		l.compared = true
	case outage.Moment:
		l.cut = true
	}
}

// print is the line of a cut: what it was, what status said after the boot, and what came then.
func (l *life) print(then string) {
	line(fmt.Sprintf("cut %s%d", l.name, l.Number), fmt.Sprintf("%s: %s; at work %s after power-on, %s", l.Ended, l.looked, took(l.resumed), then), "")
}

// call takes down a seal or an upload that begins.
func (r *repeated) call(text string) {
	var kind, name string
	var size int64
	if _, err := fmt.Sscan(text, &kind, &size, &name); err != nil {
		return
	}
	switch kind {
	case "seal":
		r.seals++
	case "upload":
		if r.sent[name] {
			r.again += size
		}
		r.sent[name] = true
		if r.kept[name] {
			r.undue = name
		}
	}
}

// over says what a run did that is over and has that many chunks. In one life gpg seals those, a canary and a manifest,
// and waits for a next chunk when the stream ends.
func (r *repeated) over(chunks string) string {
	text := fmt.Sprintf("%s sent again, %d calls to seal for %s chunks", units.Size(r.again), r.seals, chunks)
	r.seals, r.again = 0, 0
	return text
}
