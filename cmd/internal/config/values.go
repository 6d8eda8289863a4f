package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var days = regexp.MustCompile(`^([0-9]+)d`)

// parseDuration reads Go's durations, and days in front of them: 36h, 2d, 1d12h.
func parseDuration(s string) (time.Duration, error) {
	var whole time.Duration
	if m := days.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > 100*365 {
			return 0, errors.New("too long")
		}
		whole = time.Duration(n) * 24 * time.Hour
		if s = s[len(m[0]):]; s == "" {
			return whole, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("not a duration")
	}
	if d < 0 || whole+d < 0 {
		return 0, errors.New("less than nothing")
	}
	return whole + d, nil
}

// parseDays reads a number of days.
func parseDays(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 100*365 {
		return 0, errors.New("not a number of days from 1 on")
	}
	return n, nil
}

// A rate of rclone's --bwlimit, two of them (up:down), or a timetable: rclone.org/docs/#bwlimit.
var (
	rate    = `(?:off|[0-9]+(?:\.[0-9]+)?(?:[bBkKmMgGtTpP](?:i?B?)?)?)`
	rates   = rate + `(?::` + rate + `)?`
	hour    = `(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*-)?[0-9]{1,2}:[0-9]{2}`
	bwlimit = regexp.MustCompile(`(?i)^(?:` + rates + `|` + hour + `,` + rates + `(?: +` + hour + `,` + rates + `)*)$`)
)

var datasetName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.: -]*(?:/[A-Za-z0-9_.: -]+)*$`)

// checkDataset accepts what may be a filesystem's or volume's name, by zfs(8). Whether it is there is
// for ZFS to say.
func checkDataset(s string) error {
	switch {
	case strings.HasPrefix(s, "/"):
		return errors.New("a dataset's name has no slash in front; a mountpoint is not a dataset")
	case strings.ContainsAny(s, "@#"):
		return errors.New("a snapshot or bookmark is not a dataset")
	case len(s) > 255:
		return errors.New("longer than 255 bytes")
	case !datasetName.MatchString(s) || strings.Contains("/"+s+"/", "/./") || strings.Contains("/"+s+"/", "/../"):
		return errors.New("no dataset has such a name")
	}
	return nil
}

// sendFlags are those that a restore can live with.
const sendFlags = "cLewp"

// parseSendFlags reads -c -L or -cL, each flag once.
func parseSendFlags(all []string) ([]string, error) {
	var out []string
	seen := ""
	for _, word := range all {
		letters, ok := strings.CutPrefix(word, "-")
		if !ok || letters == "" {
			return nil, fmt.Errorf("%s is not allowed", word)
		}
		for _, r := range letters {
			if !strings.ContainsRune(sendFlags, r) {
				return nil, fmt.Errorf("%s is not allowed", word)
			}
			if !strings.ContainsRune(seen, r) {
				seen += string(r)
				out = append(out, "-"+string(r))
			}
		}
	}
	return out, nil
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkVariable accepts the name of a variable that rclone may get. Its own RCLONE_* are flags by
// another name, and some change what a command means (RCLONE_DRY_RUN=true: exit 0, nothing stored), all
// but those that describe a remote.
func checkVariable(name string) error {
	switch {
	case !variable.MatchString(name):
		return fmt.Errorf("%s is not the name of a variable", name)
	case strings.HasPrefix(name, "RCLONE_") && !strings.HasPrefix(name, "RCLONE_CONFIG_"):
		return fmt.Errorf("%s is a flag of rclone's", name)
	}
	return nil
}
