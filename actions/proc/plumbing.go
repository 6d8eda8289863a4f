package proc

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHeld is the error of a program that ended well, but whose stdout some process it left behind kept
// open: whether all of it came can't be known.
var ErrHeld = errors.New("its output was kept open by a process that it left behind")

// holdGrace is how long, after the end of the child's own process, we wait for the next byte or the end of
// a pipe that someone still holds. Time in which our own writer keeps us waiting does not count.
const holdGrace = 2 * time.Second

// bufferSize is what is copied at once, and pipeSize what a pipe holds of it, in bytes: with the kernel's 64 KiB
// the two ends wait for each other most of the time. 1 MiB is the most that a process may ask for that is not
// root's (pipe(7), /proc/sys/fs/pipe-max-size).
const (
	bufferSize = 256 << 10
	pipeSize   = 1 << 20
)

// Pipe is os.Pipe for a stream of data.
func Pipe() (r, w *os.File, err error) {
	r, w, err = os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	raw, err := w.SyscallConn() // File.Fd would end its deadlines
	if err == nil {
		// An error is no harm: it flows in a smaller one too.
		err = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
	if err != nil {
		return nil, nil, errors.Join(err, r.Close(), w.Close())
	}
	return r, w, nil
}

// plumbing is what lies between a child's descriptors and the readers and writers of a Spec.
type plumbing struct {
	theirs []*os.File // the child's ends, to be closed here once it has them
	in     *feed      // nil where the child has a file
	out    *drain
	err    *drain
	last   ring
}

func (p *plumbing) stdin(r io.Reader) (*os.File, error) {
	if r == nil {
		return p.null(os.O_RDONLY)
	}
	if f, ok := r.(*os.File); ok {
		return f, nil
	}
	theirs, ours, err := Pipe()
	if err != nil {
		return nil, err
	}
	p.theirs = append(p.theirs, theirs)
	p.in = &feed{pipe: ours, from: r, done: make(chan struct{})}
	return theirs, nil
}

func (p *plumbing) stdout(w io.Writer) (*os.File, error) {
	if w == nil {
		return p.null(os.O_WRONLY)
	}
	if f, ok := w.(*os.File); ok {
		return f, nil
	}
	theirs, d, err := p.drainTo(w, Pipe)
	p.out = d
	return theirs, err
}

func (p *plumbing) stderr(w io.Writer) (*os.File, error) {
	if f, ok := w.(*os.File); ok {
		return f, nil
	}
	var to io.Writer = &p.last
	if w != nil {
		to = &courtesy{Writer: w, keeps: &p.last}
	}
	theirs, d, err := p.drainTo(to, os.Pipe)
	p.err = d
	return theirs, err
}

func (p *plumbing) null(flag int) (*os.File, error) {
	f, err := os.OpenFile(os.DevNull, flag, 0)
	if err != nil {
		return nil, err
	}
	p.theirs = append(p.theirs, f)
	return f, nil
}

func (p *plumbing) drainTo(w io.Writer, pipe func() (r, w *os.File, err error)) (*os.File, *drain, error) {
	ours, theirs, err := pipe()
	if err != nil {
		return nil, nil, err
	}
	p.theirs = append(p.theirs, theirs)
	return theirs, &drain{pipe: ours, to: w, left: holdGrace, done: make(chan struct{})}, nil
}

func (p *plumbing) drains() []*drain {
	var ds []*drain
	for _, d := range []*drain{p.out, p.err} {
		if d != nil {
			ds = append(ds, d)
		}
	}
	return ds
}

// closeTheirs closes the child's ends, closeOurs the others, of a child that did not start.
func (p *plumbing) closeTheirs() {
	for _, f := range p.theirs {
		_ = f.Close()
	}
}

func (p *plumbing) closeOurs() {
	if p.in != nil {
		_ = p.in.pipe.Close()
	}
	for _, d := range p.drains() {
		_ = d.pipe.Close()
	}
}

// flow begins the copying.
func (p *plumbing) flow() {
	if p.in != nil {
		go p.in.run()
	}
	for _, d := range p.drains() {
		go d.run()
	}
}

// settle ends the copying after the child's own process has ended. It tells whether someone it left behind
// still holds a pipe.
func (p *plumbing) settle() (held bool) {
	if p == nil {
		return false // it was killed before it had any
	}
	for _, d := range p.drains() {
		d.childEnded()
	}
	if p.in != nil {
		p.in.childEnded()
	}
	for _, d := range p.drains() {
		<-d.done
		held = held || d.held
	}
	return held
}

// ownError is what our writer or reader said, not the child.
func (p *plumbing) ownError() error {
	if p == nil {
		return nil
	}
	var err error
	if p.out != nil {
		err = p.out.err
	}
	if p.in != nil {
		err = errors.Join(err, p.in.failed())
	}
	return err
}

func (p *plumbing) cutShort() bool { return p != nil && p.out != nil && p.out.held }

func (p *plumbing) tail() string {
	if p == nil {
		return ""
	}
	return p.last.String()
}

// drain copies what the child writes into a pipe.
type drain struct {
	pipe  *os.File
	to    io.Writer
	ended atomic.Bool   // the child's own process has
	left  time.Duration // of holdGrace
	done  chan struct{} // closed when the fields below are final
	err   error
	held  bool
}

func (d *drain) run() {
	defer close(d.done)
	defer d.pipe.Close()
	buf := make([]byte, bufferSize)
	for {
		n, err := d.read(buf)
		if n > 0 {
			if _, err := d.to.Write(buf[:n]); err != nil {
				d.err = err
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			d.held = true
			return
		case err != nil:
			d.err = err
			return
		}
	}
}

// read is patient while the child lives; after that, for what is left of holdGrace.
func (d *drain) read(buf []byte) (int, error) {
	for {
		if !d.ended.Load() {
			n, err := d.pipe.Read(buf)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return n, err
			}
		}
		begin := time.Now()
		if err := d.pipe.SetReadDeadline(begin.Add(d.left)); err != nil {
			return 0, err
		}
		n, err := d.pipe.Read(buf)
		d.left -= time.Since(begin)
		// The deadline may be the one that childEnded set a moment too late.
		if n > 0 || d.left <= 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// childEnded wakes a read that waits, so that it goes on with a deadline.
func (d *drain) childEnded() {
	d.ended.Store(true)
	_ = d.pipe.SetReadDeadline(time.Unix(1, 0)) // fails only if the copying is over
}

// feed copies a reader to the child's stdin.
type feed struct {
	pipe *os.File
	from io.Reader
	done chan struct{} // closed when err is final
	err  error
}

func (f *feed) run() {
	// The child's end of file comes last: it may end of it, and then who waits asks for err.
	defer f.pipe.Close()
	defer close(f.done)
	buf := make([]byte, bufferSize)
	for {
		n, err := f.from.Read(buf)
		if n > 0 {
			if _, err := f.pipe.Write(buf[:n]); err != nil {
				f.err = ignoreEarlyEnd(err)
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			f.err = err
			return
		}
	}
}

// ignoreEarlyEnd drops the error of writing to a child that stopped reading: its exit says why.
func ignoreEarlyEnd(err error) error {
	if errors.Is(err, unix.EPIPE) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// childEnded frees a write that a grandchild with the same stdin would block.
func (f *feed) childEnded() { _ = f.pipe.Close() }

// failed is the reader's error. A reader that still keeps us waiting has none: the child ended without
// what it would have given. Such a reader is its owner's to end.
func (f *feed) failed() error {
	select {
	case <-f.done:
		return f.err
	default:
		return nil
	}
}
