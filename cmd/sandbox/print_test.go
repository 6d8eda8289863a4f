package main

import (
	"testing"
	"time"
)

func TestPrint(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		took(949 * time.Millisecond): "0.9s",
		took(41 * time.Second):       "41s",
		took(112 * time.Second):      "1m 52s",
		count(7):                     "7",
		count(1204):                  "1,204",
		count(1234567):               "1,234,567",
		few([]string{"a", "b"}):      "a; b",
		few(make([]string, 1005)):    "; ; ; and 1,002 more",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
