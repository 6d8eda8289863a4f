package main

import (
	"encoding/xml"
	"slices"
	"strings"
	"testing"
	"time"

	"zfs2cloud/cmd/sandbox/internal/meter"
)

func taking(ms ...int64) (all []result) {
	for _, n := range ms {
		r := result{Figures: meter.Figures{Wall: time.Duration(n) * time.Millisecond, Processor: time.Second, Memory: 1 << 20}}
		r.Stages = map[string]int64{"export": 5e8, "copy": 4e8}
		all = append(all, r)
	}
	return all
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    []float64
		want float64
	}{{[]float64{7}, 7}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.v); got != c.want {
			t.Errorf("%v: %v, want %v", c.v, got, c.want)
		}
	}
}

// Ratios are of pairs, and not of what happened to be the best of each.
func TestReport(t *testing.T) {
	t.Parallel()
	m := &measured{
		scene: scene{Name: "disk", Text: "as fast as it goes"}, Ways: []string{"ours", "serial"},
		Results: map[string][]result{"ours": taking(500, 2000, 900), "serial": taking(1000, 1000, 1000)},
		Alone:   []int64{1e8, 1e9, 1e8},
		Resumes: []resumed{{Chunks: 2, Of: 5, Rest: taking(250)[0]}, {Rest: taking(500)[0]}, {Percent: 90, Chunks: 4, Of: 5, Rest: taking(100)[0]}, {Rest: taking(450)[0]}},
	}
	var out strings.Builder
	benchReport{Machine: "a machine", Load: "0.10", Data: "256 MiB of noise", Split: 64 << 20, Scenes: []*measured{m}}.print(&out)
	for _, want := range []string{
		"a machine; load after it: 0.10",
		"256 MiB of noise; chunks of 64.0 MiB",
		"disk: as fast as it goes",
		"wall                0.90s      1.00s   0.90 (0.50..2.00)",
		"memory, own             -          -   -",
		"alone: send 0.10s, send|gpg|split 0.50s, rclone copy 0.40s; the slower of send and copy to ours: 0.50 (0.44..0.80)",
		"killed with 2 of 5 chunks there: resume 0.45s, to starting over 0.50 (0.25..0.50)",
		"killed with 4 of 5 chunks there: resume 0.10s, to starting over 0.20 (0.20..0.20)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestGrowth(t *testing.T) {
	t.Parallel()
	g := &growth{Scene: "disk", Text: "rate < 1", Ways: []string{"ours", "serial"}, Points: map[string][]timeSize{
		"ours":   {{256 << 20, 2}, {512 << 20, 3}},
		"serial": {{256 << 20, 2}, {512 << 20, 4}},
	}}
	var out strings.Builder
	g.print(&out)
	if want := "512 MiB             3.00s (6.0)           4.00s (8.0)\n"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, out.String())
	}
	var picture struct {
		Texts []string `xml:"text"`
		Lines []struct {
			Points string `xml:"points,attr"`
		} `xml:"polyline"`
	}
	if err := xml.Unmarshal([]byte(g.picture()), &picture); err != nil {
		t.Fatal(err)
	}
	// At half the size, half and two thirds of the height; at the whole, all of it for the slowest.
	if len(picture.Lines) != 2 || picture.Lines[0].Points != "300.0,178.0 544.0,109.0" || picture.Lines[1].Points != "300.0,178.0 544.0,40.0" {
		t.Errorf("%+v", picture.Lines)
	}
	for _, want := range []string{"ours", "serial", "seconds; rate < 1", "512 MiB"} {
		if !slices.Contains(picture.Texts, want) {
			t.Errorf("no %q in %q", want, picture.Texts)
		}
	}
}
