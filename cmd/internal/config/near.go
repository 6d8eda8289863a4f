package config

import "unicode/utf8"

// Nearest is the known name that was probably meant, or empty. Two slips are forgiven, in a name of up
// to four letters one: any more, and one word is as near as the next.
func Nearest(name string, known []string) string {
	best, found := 3, ""
	for _, k := range known {
		limit := 2
		if utf8.RuneCountInString(k) <= 4 {
			limit = 1
		}
		if d := distance(name, k); d <= limit && d < best {
			best, found = d, k
		}
	}
	return found
}

// didYouMean is a hint that names the nearest known name, else lists them all by otherwise.
func didYouMean(name string, known []string, otherwise string) string {
	if near := Nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	return otherwise
}

// distance is Levenshtein's: how many letters to insert, delete or replace.
func distance(a, b string) int {
	ra, rb := []rune(a), []rune(b)
	row := make([]int, len(rb)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range ra {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range rb {
			replace := diagonal
			if x != y {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(rb)]
}
