package main

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestSizeOf(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		estimated   bool
		want        string
	}{
		{17<<30 + 200<<20, 41<<30 + 600<<20, true, "17.2 of ~41.6 GiB"},
		{27 << 30, 41<<30 + 600<<20, false, "27.0 of 41.6 GiB"},
		{0, 5 << 20, false, "0 B of 5.00 MiB"},
		{612 << 20, 2 << 30, true, "612 MiB of ~2.00 GiB"},
	} {
		if got := sizeOf(c.done, c.total, c.estimated); got != c.want {
			t.Errorf("sizeOf(%d, %d, %v) = %q, want %q", c.done, c.total, c.estimated, got, c.want)
		}
	}
}

func TestRate(t *testing.T) {
	for perSecond, want := range map[float64]string{
		0:                "0.00 MiB/s",
		48.3 * (1 << 20): "48.3 MiB/s",
		5000:             "0.00 MiB/s",
		1 << 30:          "1024 MiB/s",
	} {
		if got := rate(perSecond); got != want {
			t.Errorf("rate(%g) = %q, want %q", perSecond, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		want        int
	}{{0, 3, 0}, {1, 3, 33}, {math.MaxInt64 - 1, math.MaxInt64, 99}, {3, 3, 100}, {4, 3, 100}} {
		if got := percent(c.done, c.total); got != c.want {
			t.Errorf("percent(%d, %d) = %d, want %d", c.done, c.total, got, c.want)
		}
	}
}

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		d             time.Duration
		long, briefly string
	}{
		{-time.Hour, "0.0s", ""},
		{1234 * time.Millisecond, "1.2s", "1s"},
		{9960 * time.Millisecond, "10s", "9s"},
		{42 * time.Second, "42s", "42s"},
		{59600 * time.Millisecond, "1m 0s", "59s"},
		{5*time.Minute + 10*time.Second, "5m 10s", "5m"},
		{72 * time.Minute, "1h 12m", "1h"},
		{time.Hour - time.Millisecond, "1h 0m", "59m"},
		{47*time.Hour + 59*time.Minute, "47h 59m", "47h"},
		{48 * time.Hour, "2 days", "2 days"},
		{694*24*time.Hour + time.Hour, "694 days", "694 days"},
	} {
		if got := duration(c.d); got != c.long {
			t.Errorf("duration(%s) = %q, want %q", c.d, got, c.long)
		}
		if got := briefly(c.d); c.briefly != "" && got != c.briefly {
			t.Errorf("briefly(%s) = %q, want %q", c.d, got, c.briefly)
		}
	}
}

func TestRoundly(t *testing.T) {
	for d, want := range map[time.Duration]string{36 * time.Hour: "36h", 10 * time.Minute: "10m", 90 * time.Minute: "90m", 90 * time.Second: "1m30s"} {
		if got := roundly(d); got != want {
			t.Errorf("roundly(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1204: "1,204", 1000000: "1,000,000", -1204: "-1,204"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
	if got := counted(1, "chunk") + ", " + counted(1204, "chunk"); got != "1 chunk, 1,204 chunks" {
		t.Error(got)
	}
}

func TestTimes(t *testing.T) {
	now := time.Date(2026, 11, 25, 7, 31, 0, 0, time.Local)
	for _, c := range []struct {
		then       time.Time
		clock, day string
		age        string
	}{
		{now.Add(-3 * time.Second), "07:30", "today 07:30", "3s ago"},
		{time.Date(2026, 11, 25, 3, 52, 0, 0, time.Local), "03:52", "today 03:52", "3h ago"},
		{time.Date(2026, 11, 24, 3, 52, 0, 0, time.Local), "24 Nov 03:52", "yesterday 03:52", "27h ago"},
		{time.Date(2026, 11, 16, 3, 52, 0, 0, time.Local), "16 Nov 03:52", "16 Nov 03:52", "9 days ago"},
		{time.Date(2025, 11, 25, 3, 52, 0, 0, time.Local), "25 Nov 2025 03:52", "25 Nov 2025 03:52", "365 days ago"},
		{now.Add(5 * time.Minute), "07:36", "today 07:36", "in 5m"},
		{now.Add(500 * time.Millisecond), "07:31", "today 07:31", "0s ago"},
	} {
		utc := c.then.UTC() // as the database has it
		if got := local(now, utc, toTheMinute); got != c.clock {
			t.Errorf("local(%s) = %q, want %q", c.then, got, c.clock)
		}
		if got := localDay(now, utc); got != c.day {
			t.Errorf("localDay(%s) = %q, want %q", c.then, got, c.day)
		}
		if got := age(now, utc); got != c.age {
			t.Errorf("age(%s) = %q, want %q", c.then, got, c.age)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for s, want := range map[string]string{
		"/etc/zfs2cloud/web.ini": "/etc/zfs2cloud/web.ini",
		"":                       "''",
		"my config.ini":          "'my config.ini'",
		"it's":                   `'it'\''s'`,
		"$(reboot)":              "'$(reboot)'",
		"a\nb\x1b1'ü":            `$'a\012b\0331\'\303\274'`,
	} {
		if got := shellQuote(s); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", s, got, want)
		}
	}
}

func TestSafe(t *testing.T) {
	for s, want := range map[string]string{
		"tank/data ü …":      "tank/data ü …",
		"a\x1b[31mred":       `a\x1b[31mred`,
		"two\nlines\r\tand":  `two\nlines\r\tand`,
		"\xff\xfe":           `\xff\xfe`,
		"\uFFFD":             "\uFFFD",
		"c1 \u009b2J":        `c1 \u009b2J`,
		"rtl \u202egnp.exe":  `rtl \u202egnp.exe`,
		"line\u2028sep\x00.": `line\u2028sep\x00.`,
	} {
		if got := safe(s); got != want {
			t.Errorf("safe(%q) = %q, want %q", s, got, want)
		}
	}
	if got, want := safeLines("one\x07\ntwo"), "one\\a\ntwo"; got != want {
		t.Errorf("safeLines = %q, want %q", got, want)
	}
}

func TestPace(t *testing.T) {
	if got := perSecond(100, 50*time.Second); got != 2 {
		t.Error(got)
	}
	if got := perSecond(100, time.Millisecond); got != 0 {
		t.Error("a rate over no time at all:", got)
	}
	if got := left(100, 2); got != 50*time.Second {
		t.Error(got)
	}
	for _, never := range []float64{0, 1e-300} {
		if got := left(100, never); got != 0 {
			t.Error("time left at no speed:", got)
		}
	}
}

func TestWithoutEcho(t *testing.T) {
	got := withoutEcho([]string{
		"./start-app: /etc/zfs2cloud/start-app: exit 3; it printed: no start",
		"run 5658: the application may still be stopped: /etc/zfs2cloud/start-app: exit 3; it printed: no start",
		"gpg: exit 2",
		"gpg: exit 2",
		"rclone: exit 1: object: Failed to copy: mkdir /srv/x: operation not permitted",
		"Failed to copyto: mkdir /srv/x: operation not permitted",
		"a line of its own",
	})
	want := []string{
		"./start-app: /etc/zfs2cloud/start-app: exit 3; it printed: no start",
		"run 5658: the application may still be stopped",
		"gpg: exit 2",
		"rclone: exit 1: object: Failed to copy: mkdir /srv/x: operation not permitted",
		"a line of its own",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
