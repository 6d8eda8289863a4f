// Package units writes numbers as people read them. Machines get them raw.
package units

import "strconv"

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
