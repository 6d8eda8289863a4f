package vm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	t.Parallel()
	var got []string
	w := Lines(func(line string) { got = append(got, line) })
	for _, part := range []string{"both wri", "tten", "\nand\n\nmore\nnot whole"} {
		if _, err := fmt.Fprint(w, part); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, []string{"both written", "and", "", "more"}) {
		t.Errorf("lines %q", got)
	}
}

// The proof must be able to fail, both ways.
func TestRegions(t *testing.T) {
	t.Parallel()
	first, second := bytes.Repeat([]byte("A"), region), make([]byte, region)
	for _, c := range []struct {
		change func(disk []byte)
		says   string
	}{
		{func([]byte) {}, ""},
		{func(disk []byte) { disk[region-1] = 0 }, "that were flushed"},
		{func(disk []byte) { disk[region] = 'B' }, "that were not flushed 1 are there"},
	} {
		disk := append(bytes.Clone(first), second...)
		c.change(disk)
		file := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(file, disk, 0o600); err != nil {
			t.Fatal(err)
		}
		err := regions(file)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("error %v, want %q", err, c.says)
		}
	}
}
