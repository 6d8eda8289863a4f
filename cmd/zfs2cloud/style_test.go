package main

import (
	"bytes"
	"os"
	"testing"
)

func TestNoColourOffATerminal(t *testing.T) {
	none := func(string) string { return "" }
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if styleOf(&bytes.Buffer{}, none).colour || styleOf(file, none).colour {
		t.Error("colour off a terminal")
	}
	if width(file) != 0 {
		t.Error("a file has a width")
	}
	plain, colour := style{}, style{colour: true}
	if got := plain.word(wrong, "STUCK") + plain.command("x"); got != "STUCKx" {
		t.Errorf("%q", got)
	}
	if got := colour.word(wrong, "STUCK"); got != "\x1b[1;31mSTUCK\x1b[0m" {
		t.Errorf("%q", got)
	}
}
