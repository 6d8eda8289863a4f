package vm

import (
	"bytes"
	"io"
)

// Lines returns a writer for a guest's output that calls each with every whole line, without its end.
func Lines(each func(line string)) io.Writer { return &lines{each: each} }

type lines struct {
	each func(string)
	part []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		line, rest, whole := bytes.Cut(l.part, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.each(string(line))
		l.part = rest
	}
}
