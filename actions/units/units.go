// Package units writes numbers as people read them, digests too, and reads those that they write. Machines get them raw.
package units

import (
	"errors"
	"math"
	"math/bits"
	"regexp"
	"strconv"
	"strings"
)

// Size is a number of bytes in binary units and three digits: 999 B, 1.21 GiB, 612 MiB.
func Size(bytes int64) string {
	number, unit := SizeParts(bytes)
	return number + " " + unit
}

// SizeParts is Size in its two parts.
func SizeParts(bytes int64) (number, unit string) {
	if bytes < 1000 {
		return strconv.FormatInt(bytes, 10), "B"
	}
	value := float64(bytes)
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		value /= 1024
		if value < 999.5 { // what would be rounded to four digits is of the next unit
			break
		}
	}
	return ThreeDigits(value), unit
}

// ThreeDigits writes a number below a thousand with three digits.
func ThreeDigits(v float64) string {
	switch {
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

var sizeForm = regexp.MustCompile(`^([0-9]+)(?:(b)|([kKmMGTPE])(iB|B)?)?$`)

// ParseSize reads what `split --bytes` of GNU coreutils takes: K and KiB are 1024, KB is 1000, b is 512.
func ParseSize(s string) (int64, error) {
	m := sizeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, errors.New("not a size")
	}
	n, err := strconv.ParseUint(m[1], 10, 63)
	if err != nil {
		return 0, errors.New("too large")
	}
	unit := uint64(1)
	if m[2] != "" {
		unit = 512
	}
	if m[3] != "" {
		base := uint64(1024)
		if m[4] == "B" {
			base = 1000
		}
		for range strings.Index("KMGTPE", strings.ToUpper(m[3])) + 1 {
			unit *= base
		}
	}
	high, product := bits.Mul64(n, unit)
	switch {
	case high != 0 || product > math.MaxInt64:
		return 0, errors.New("too large")
	case product == 0:
		return 0, errors.New("nothing fits into 0 bytes")
	}
	return int64(product), nil
}

// ParsePercent reads 1% to 100%, also without the sign, which a config would have to write twice.
func ParsePercent(s string) (int, error) {
	number := strings.TrimSuffix(s, "%")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 100 || strconv.Itoa(n) != number {
		return 0, errors.New("not one of 1% to 100%")
	}
	return n, nil
}

// ShortDigests cuts each SHA-256 in a text, of which its beginning is enough for people.
func ShortDigests(text string) string { return digestForm.ReplaceAllString(text, "$1…") }

var digestForm = regexp.MustCompile(`\b([0-9a-f]{12})[0-9a-f]{52}\b`)

// Count is a number with commas: 1,204.
func Count(n int) string {
	digits := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
