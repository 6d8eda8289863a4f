package actions

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
)

// What was not proved for longest goes first, so that samples come round: with a tenth a day, all within ten days.
func TestSampleComesRound(t *testing.T) {
	t.Parallel()
	for _, q := range []VerifyRequest{{Sample: 10}, {MaxBytes: 100}, {Sample: 50, MaxBytes: 109}} {
		var all []candidate
		for n := range 95 {
			all = append(all, candidate{n: n, size: 10})
		}
		day := at("20261101000000")
		for round := range 10 {
			day = day.AddDate(0, 0, 1)
			for _, c := range q.among(slices.Clone(all)) {
				if round < 9 && !all[c.n].proved.IsZero() {
					t.Fatalf("%+v: chunk %d a second time on day %d", q, c.n, round)
				}
				all[c.n].proved = day
			}
		}
		if i := slices.IndexFunc(all, func(c candidate) bool { return c.proved.IsZero() }); i >= 0 {
			t.Errorf("%+v: chunk %d was never proved", q, i)
		}
	}
	// One that is too large for what is left does not keep smaller ones away.
	if got := (VerifyRequest{MaxBytes: 10}).among([]candidate{{n: 0, size: 11}, {n: 1, size: 4}, {n: 2, size: 4}, {n: 3, size: 4}}); len(got) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestProofs(t *testing.T) {
	t.Parallel()
	one := func(n int, at time.Time, bad string) state.Verified {
		return state.Verified{Chunk: &n, At: at, Bad: bad}
	}
	first, second, third := at("20261101000000"), at("20261102000000"), at("20261103000000")
	whole, ahead := state.Verified{At: second}, at("20370101000000")
	for name, c := range map[string]struct {
		p    proofs
		want time.Time
	}{
		"never":             {proofs{}, time.Time{}},
		"wholly":            {proofs{whole: whole}, second},
		"one since":         {proofs{whole: whole, chunks: map[int]state.Verified{0: one(0, third, "")}}, second},
		"both since":        {proofs{whole: whole, chunks: map[int]state.Verified{0: one(0, third, ""), 1: one(1, third, "")}}, third},
		"one before":        {proofs{whole: whole, chunks: map[int]state.Verified{0: one(0, first, "")}}, second},
		"each, never whole": {proofs{chunks: map[int]state.Verified{0: one(0, third, ""), 1: one(1, first, "")}}, first},
		"one alone":         {proofs{chunks: map[int]state.Verified{0: one(0, third, "")}}, time.Time{}},
		"one bad":           {proofs{whole: whole, chunks: map[int]state.Verified{0: one(0, third, "gone")}}, time.Time{}},
		"the whole bad":     {proofs{whole: state.Verified{At: second, Bad: "gone"}, chunks: map[int]state.Verified{0: one(0, third, "")}}, time.Time{}},
		"wholly, ahead":     {proofs{whole: state.Verified{At: ahead}}, time.Time{}},
		"one ahead":         {proofs{chunks: map[int]state.Verified{0: one(0, ahead, ""), 1: one(1, third, "")}}, time.Time{}},
		"one ahead, wholly": {proofs{whole: whole, chunks: map[int]state.Verified{0: one(0, ahead, ""), 1: one(1, third, "")}}, second},
		"since, not ahead":  {proofs{whole: state.Verified{At: ahead}, chunks: map[int]state.Verified{0: one(0, third, ""), 1: one(1, first, "")}}, first},
	} {
		c.p.now = third
		if got := c.p.all(2); !got.Equal(c.want) {
			t.Errorf("%s: %v, not %v", name, got, c.want)
		}
	}
}

// The whole is as well proved as the chunk that was not for longest, also where it was proved while the clock was ahead; but that it
// was found bad then only chunks overcome that were proved later.
func TestWholeSince(t *testing.T) {
	t.Parallel()
	now, ahead := at("20261103000000"), at("20370101000000")
	for _, c := range []struct {
		whole state.Verified
		want  time.Time
	}{{state.Verified{}, time.Time{}}, {state.Verified{At: now}, now}, {state.Verified{At: ahead}, time.Time{}}, {state.Verified{At: ahead, Bad: "gone"}, ahead}} {
		if got := (proofs{now: now, whole: c.whole}).wholeSince(); !got.Equal(c.want) {
			t.Errorf("%+v: %v", c.whole, got)
		}
	}
}

// A sample fetches what it says and no more, and finds what is wrong with that.
func TestVerifySample(t *testing.T) {
	t.Parallel()
	b := newBackups(t, settings.GPG)
	full := b.add(t, fullName, oneJob, nil)
	for _, level := range []Level{Hashed, Decrypted} {
		v := b.verify(t, VerifyRequest{Level: level, Sample: 1})[0]
		if v.Chunks != 1 || v.Of != 3 || len(v.Bad) > 0 || !strings.Contains(v.Lines()[0], "1 of 3 chunks") {
			t.Errorf("%s: %+v", level, v)
		}
		if v = b.verify(t, VerifyRequest{Level: level, MaxBytes: 1})[0]; v.Chunks != 0 || len(v.Bad) > 0 {
			t.Errorf("%s: %+v", level, v)
		}
	}
	flipBit(t, filepath.Join(b.dir, fullName, full.Chunks[1].Name), 1000)
	found := 0
	for range 60 { // that 1 of 3 is never the one has a chance of 1 in 30 thousand millions
		v := b.verify(t, VerifyRequest{Level: Hashed, Sample: 33})[0]
		found += len(v.Bad)
		if v.Chunks+len(v.Bad) != 1 {
			t.Fatalf("%+v", v)
		}
		if found > 0 {
			return
		}
	}
	t.Error("never found")
}

func TestParseVerify(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                               "{decrypted false [] 0 0}",
		"listed -a":                      "{listed true [] 0 0}",
		"hashed -s 5% -m 1K " + incrName: "{hashed false [" + incrName + "] 5 1024}",
		"-a -s 5":                        "{decrypted true [] 5 0}",
		"listed -s 5":                    "a part of the chunks",
		"received -m 5":                  "a part of the chunks",
		"-a " + incrName:                 "one of the two",
		"closely":                        "neither a stamp",
		"-s":                             "not one of 1% to 100%",
		"-m x":                           "not a size",
	} {
		q, err := ParseVerify(strings.Fields(args))
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", args, err)
			}
			continue
		}
		if got := fmt.Sprint(q); got != want {
			t.Errorf("%s: %s, not %s", args, got, want)
		}
		if again, err := ParseVerify(q.Args()); err != nil || fmt.Sprint(again) != want {
			t.Errorf("%s: as %q it is %v, %v", args, q.Args(), again, err)
		}
	}
}
