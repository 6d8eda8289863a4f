package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"zfs2cloud/actions/units"
)

// growth is how long each way takes at several sizes of data, in one scene.
type growth struct {
	Scene  string                `json:"scene"`
	Text   string                `json:"text"`
	Ways   []string              `json:"ways"`
	Points map[string][]timeSize `json:"points"` // by way
}

type timeSize struct {
	Size int64   `json:"bytes"`
	Wall float64 `json:"wall_seconds"` // median
}

// grow makes a dataset of each size, and measures every way there.
func (b *bench) grow(ctx context.Context, s scene) (*growth, error) {
	g := &growth{Scene: s.Name, Text: s.Text, Points: map[string][]timeSize{}}
	for _, w := range b.ways() {
		g.Ways = append(g.Ways, w.name)
	}
	for _, mib := range slices.Sorted(slices.Values(b.Growth)) {
		if err := b.fill(ctx, mib<<20); err != nil {
			return nil, err
		}
		walls := map[string][]float64{}
		for range b.Rounds {
			for _, w := range b.ways() {
				r, err := b.once(ctx, s, w)
				if err != nil {
					return nil, fmt.Errorf("%s at %s: %w", w.name, units.Size(mib<<20), err)
				}
				walls[w.name] = append(walls[w.name], r.Wall.Seconds())
			}
		}
		for name, v := range walls {
			g.Points[name] = append(g.Points[name], timeSize{mib << 20, median(v)})
		}
	}
	return g, nil
}

func (g *growth) print(w io.Writer) {
	if g == nil {
		return
	}
	fmt.Fprintf(w, "\ngrowth, %s: %s. Seconds, and seconds for each GiB\n", g.Scene, g.Text)
	head := fmt.Sprintf("  %-14s", "")
	for _, name := range g.Ways {
		head += fmt.Sprintf(" %10s %-10s", name, "")
	}
	fmt.Fprintln(w, strings.TrimRight(head, " "))
	for i, p := range g.Points[g.Ways[0]] {
		row := fmt.Sprintf("  %-14s", units.Size(p.Size))
		for _, name := range g.Ways {
			wall := g.Points[name][i].Wall
			row += fmt.Sprintf(" %10s %-10s", seconds(wall), fmt.Sprintf("(%.1f)", wall/float64(p.Size)*(1<<30)))
		}
		fmt.Fprintln(w, strings.TrimRight(row, " "))
	}
}

// draw writes the growth as a picture, if a file is named.
func (g *growth) draw(file string) error {
	if file == "" {
		return nil
	}
	return os.WriteFile(file, []byte(g.picture()), 0o644)
}

// The picture, in pixels. Its colours are told apart by those who see red and green alike, and stand on white and on
// a dark page.
const (
	pictureWidth, pictureHeight         = 640, 360
	pictureLeft, pictureRight           = 56, 96
	pictureTop, pictureBottom           = 40, 44
	plotWidth, plotHeight       float64 = pictureWidth - pictureLeft - pictureRight, pictureHeight - pictureTop - pictureBottom
)

var pictureColours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7"}

// picture is the growth as SVG: time over size, a line for each way.
func (g *growth) picture() string {
	var most timeSize
	for _, points := range g.Points {
		for _, p := range points {
			most.Size, most.Wall = max(most.Size, p.Size), max(most.Wall, p.Wall)
		}
	}
	x := func(size int64) float64 { return pictureLeft + plotWidth*float64(size)/float64(most.Size) }
	y := func(wall float64) float64 { return pictureTop + plotHeight*(1-wall/most.Wall) }
	var s strings.Builder
	text := func(x, y float64, anchor, colour, words string) {
		fmt.Fprintf(&s, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">`, x, y, anchor, colour)
		_ = xml.EscapeText(&s, []byte(words)) // a Builder takes everything
		s.WriteString("</text>\n")
	}
	const grey = "#808080"
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="13">`+"\n",
		pictureWidth, pictureHeight)
	text(pictureLeft, 20, "start", grey, "seconds; "+g.Text)
	fmt.Fprintf(&s, `<path d="M%d %d V%.1f H%.1f" fill="none" stroke="%s"/>`+"\n", pictureLeft, pictureTop, pictureTop+plotHeight, pictureLeft+plotWidth, grey)
	for _, p := range g.Points[g.Ways[0]] {
		text(x(p.Size), pictureTop+plotHeight+20, "middle", grey, units.Size(p.Size))
	}
	for _, part := range []float64{0, 0.5, 1} {
		text(pictureLeft-8, y(part*most.Wall)+4, "end", grey, fmt.Sprintf("%.0f", part*most.Wall))
	}
	for i, name := range g.Ways {
		colour := pictureColours[i%len(pictureColours)]
		var line []string
		for _, p := range g.Points[name] {
			line = append(line, fmt.Sprintf("%.1f,%.1f", x(p.Size), y(p.Wall)))
			fmt.Fprintf(&s, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(p.Size), y(p.Wall), colour)
		}
		fmt.Fprintf(&s, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(line, " "), colour)
		last := g.Points[name][len(line)-1]
		text(x(last.Size)+8, y(last.Wall)+4, "start", colour, name)
	}
	s.WriteString("</svg>\n")
	return s.String()
}
