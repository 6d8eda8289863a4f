package units

import (
	"math"
	"testing"
)

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		0:                      "0 B",
		999:                    "999 B",
		1000:                   "0.98 KiB",
		1 << 10:                "1.00 KiB",
		10235:                  "10.0 KiB", // 9.995: three digits, not four
		1299227607:             "1.21 GiB",
		612 << 20:              "612 MiB",
		999 << 20:              "999 MiB",
		999<<20 + 600<<10:      "0.98 GiB",
		44667659878:            "41.6 GiB",
		1770213836390:          "1.61 TiB",
		math.MaxInt64:          "8.00 EiB",
		(1 << 40) - 1:          "1.00 TiB",
		100<<10 - 40:           "100 KiB",
		99<<10 + 900:           "99.9 KiB",
		int64(1) << 50 * 5 / 2: "2.50 PiB",
	} {
		if got := Size(bytes); got != want {
			t.Errorf("Size(%d) = %q, want %q", bytes, got, want)
		}
	}
}
