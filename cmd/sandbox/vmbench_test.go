package main

import "testing"

func TestBenchedRows(t *testing.T) {
	var rows benchedRows
	for _, said := range []string{"bench 1000 0 begun 100000000000 1048576000", "something else", "bench 1000 50 continued 50000000000 524288000"} {
		if row, ok := rows.hear(said); ok {
			t.Errorf("%q made a row: %s", said, row)
		}
	}
	row, ok := rows.hear("bench 1000 50 replayed 80000000000 1048576000")
	const want = "0.98 GiB, killed at 50 %: continued 50s, 500 MiB read; replayed 1m 20s, 0.98 GiB read; begun again 1m 40s, 0.98 GiB read; continued to replayed 0.62, to begun again 0.50"
	if !ok || row != want || rows.whole != 1 {
		t.Errorf("got %q, %v, %d rows; want %q", row, ok, rows.whole, want)
	}
}
