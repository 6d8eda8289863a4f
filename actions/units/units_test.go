package units

import (
	"math"
	"strings"
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

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"1": 1, "1b": 512, "512K": 512 << 10, "512k": 512 << 10, "1KB": 1000, "1KiB": 1024, "1G": 1 << 30, "1GB": 1e9,
		"1GiB": 1 << 30, "7m": 7 << 20, "2T": 2 << 40, "1E": 1 << 60,
		"": 0, "0": 0, "0G": 0, "G": 0, "1g": 0, "-1": 0, "1.5G": 0, "8E": 0, "99999999999999999999": 0, "1Gi": 0, "1 G": 0,
	} {
		if got, err := ParseSize(in); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
}

func TestParsePercent(t *testing.T) {
	for in, want := range map[string]int{"1%": 1, "10%": 10, "100%": 100, "": 0, "%": 0, "10": 10, "10%%": 0, "0%": 0, "101%": 0, "-1%": 0, "1.5%": 0, "+5%": 0, "05%": 0} {
		if got, err := ParsePercent(in); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
}

func TestShortDigests(t *testing.T) {
	sum := strings.Repeat("0123456789ab", 6)[:64]
	for in, want := range map[string]string{
		"it is " + sum + ", not " + sum: "it is 0123456789ab…, not 0123456789ab…",
		sum + "0":                       sum + "0",
		sum[:63]:                        sum[:63],
	} {
		if got := ShortDigests(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
