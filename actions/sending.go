package actions

import (
	"hash"
	"io"
	"os"
	"sync"

	"zfs2cloud/actions/stream"
	"zfs2cloud/workflow"
)

// sending is the stream of a zfs send. It ends only if zfs said exit 0; else its last Read is an error.
type sending struct {
	pipe   *os.File
	child  workflow.Child
	from   io.Reader      // the stream, of what comes through the pipe
	parser *stream.Parser // which the pieces are shown
	seen   int64          // bytes of the pieces that come first and are not shown to it: it has seen them
	hash   hash.Hash      // of the whole stream, as far as the pieces went by
	kept   io.Closer      // what gives the first bytes, where they are not sent again
	entry  []byte         // of the first piece, if it is one that is not shown to the parser from its beginning

	mu   sync.Mutex // who feeds a gpg that has ended may still be reading when it is closed
	end  error
	over bool
}

func (s *sending) Read(p []byte) (int, error) { return s.from.Read(p) }

// pass reads what comes through the pipe.
func (s *sending) pass(p []byte) (int, error) {
	if over, end := s.isOver(); over {
		return 0, end
	}
	n, err := s.pipe.Read(p)
	if err == nil {
		return n, nil
	}
	if werr := s.child.Wait(); werr != nil {
		err = werr
	}
	return n, s.isEnd(err)
}

func (s *sending) isOver() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over, s.end
}

// isEnd keeps how it ended, unless that is known.
func (s *sending) isEnd(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over, s.end = true, err
	}
	return s.end
}

// see is shown what comes of the stream.
func (s *sending) see(p []byte) error {
	s.hash.Write(p)
	n := min(s.seen, int64(len(p)))
	s.seen -= n
	_, err := s.parser.Write(p[n:])
	return err
}

// Close ends the program, if it still runs.
func (s *sending) Close() error {
	if s.kept != nil {
		s.kept.Close()
	}
	if over, _ := s.isOver(); !over {
		s.child.Kill()
		s.isEnd(os.ErrClosed)
		s.child.Wait()
	}
	return s.pipe.Close()
}

// checked is a piece of the stream. A parser is shown it on its way, and what that finds wrong is the error of a Read:
// no chunk is sealed of a stream that is damaged, or that was cut short within it.
type checked struct {
	piece  io.Reader
	left   int64 // bytes of a whole piece that are to come
	of     *sending
	entry  []byte // stored form of what begins in it, for the index, once it was read to its end; nil where nothing does
	behind []byte // stored form of how to go on behind it, once it was read to its end; nil where one can't
}

// piece is the next one, of SIZE bytes unless it is the last.
func (s *sending) piece(piece io.Reader, size int64) *checked {
	c := &checked{piece: piece, left: size, of: s}
	if s.seen == 0 {
		s.entry = nil
		s.parser.Watch()
	}
	return c
}

// ended keeps what is known once a piece was read to its end.
func (c *checked) ended() (err error) {
	p := c.of.parser
	if mark, ok := p.Mark(); ok {
		if c.behind, err = (behind{mark, c.of.hash, p.Trail()}).bytes(); err != nil {
			return err
		}
	}
	if c.entry = c.of.entry; c.entry != nil {
		return nil
	}
	if e, ok := p.Entry(); ok {
		c.entry, err = e.MarshalBinary()
	}
	return err
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.piece.Read(p)
	c.left -= int64(n)
	if serr := c.of.see(p[:n]); serr != nil {
		return 0, serr
	}
	if err == io.EOF && c.left > 0 { // the last piece
		if cerr := c.of.parser.Close(); cerr != nil {
			return n, cerr
		}
	}
	if err == io.EOF {
		if eerr := c.ended(); eerr != nil {
			return n, eerr
		}
	}
	return n, err
}

// metered reports how much was read.
type metered struct {
	r      io.Reader
	n      int64
	report func(int64)
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	m.report(m.n)
	return n, err
}
