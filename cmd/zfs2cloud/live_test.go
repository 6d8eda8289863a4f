package main

import (
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8/decor"
)

// The share is seen however narrow the terminal is.
func TestLiveLine(t *testing.T) {
	began := time.Date(2026, 11, 25, 3, 52, 0, 0, time.UTC)
	b := &bar{since: began}
	const name = "upload-intermediate-to-remote"
	for columns, want := range map[int]string{
		0:  "  running  upload-intermediate-to-remote  41%  24.0 of 57.5 MiB  6.00 MiB/s ",
		80: "  running  upload-intermediate-to-remote  41%  24.0 of 57.5 MiB  6.00 MiB/s ",
		79: "  running  upload-intermediate-to-remote  41%  24.0 of 57.5 MiB  6.00 MiB/s",
		60: "  running  upload-intermediate-to-r…  41%  24.0 of 57.5 MiB",
		40: "  running  upload-intermediate-to…  41%",
		12: "  running  …  41%",
	} {
		got := b.line(name, decor.Statistics{Current: 24 << 20, Total: 575 << 20 / 10}, began.Add(4*time.Second), columns)
		if got != want {
			t.Errorf("%d columns: %q, want %q", columns, got, want)
		}
	}
}
