package vm

import (
	"bytes"
	"io"
)

// Watch returns a writer for a guest's output that calls then once a line with that word has come.
func Watch(word string, then func()) io.Writer { return &watch{word: []byte(word), then: then} }

type watch struct {
	word []byte
	then func()
	line []byte
}

func (w *watch) Write(p []byte) (int, error) {
	for _, b := range p {
		w.line = append(w.line, b)
		if b != '\n' {
			continue
		}
		if w.then != nil && bytes.Contains(w.line, w.word) {
			w.then()
			w.then = nil
		}
		w.line = w.line[:0]
	}
	return len(p), nil
}
