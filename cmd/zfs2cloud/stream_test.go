package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"zfs2cloud/actions/stream"
	"zfs2cloud/workflow"
)

// goldenStream is a file with a stream of package stream's fixtures.
func goldenStream(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "actions", "stream", "testdata", "golden", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func inspect(t *testing.T, c InspectCmd) (string, error) {
	t.Helper()
	var out bytes.Buffer
	a := &App{Out: &out, Stop: workflow.NewStop(context.Background())}
	err := c.Run(a)
	return out.String(), err
}

func TestInspect(t *testing.T) {
	got, err := inspect(t, InspectCmd{File: goldenStream(t, "incremental-properties")})
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	made := regexp.MustCompile(`made [^,]+,`) // local time
	if !strings.Contains(made.ReplaceAllString(string(readme), ""), "stream inspect -\n"+made.ReplaceAllString(got, "")+"```\n") {
		t.Errorf("the README has something else than\n%s", got)
	}
	got, err = inspect(t, InspectCmd{File: goldenStream(t, "package")})
	if err != nil || !strings.Contains(got, "kind      package of 4 streams, of a file system, with properties\n") || strings.Count(got, "\nsnapshot ") != 4 {
		t.Errorf("%v, %s", err, got)
	}
}

func TestInspectWhatIsWrong(t *testing.T) {
	path := goldenStream(t, "full")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[100_000] ^= 1
	for name, c := range map[string]struct {
		data  []byte
		want  error
		shown string
	}{
		"cut":        {whole[:100_000], stream.ErrCut, "sums      none so far; the stream is not whole\n"},
		"flipped":    {flipped, stream.ErrDamaged, "sums      WRONG\n"},
		"more":       {append(bytes.Clone(whole), 0), stream.ErrMore, "\nsums      right up to its END, behind which there is more\n"},
		"no stream":  {bytes.Repeat([]byte("text "), 1000), stream.ErrNoStream, ""},
		"empty":      {nil, stream.ErrCut, ""},
		"first half": {whole[:200], stream.ErrCut, ""},
	} {
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := inspect(t, InspectCmd{File: path})
		if !errors.Is(err, c.want) || exitCode(err) != exitFailed || !strings.Contains(got, c.shown) || (got == "") != (c.shown == "") {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
		var doc inspected
		got, err = inspect(t, InspectCmd{File: path, JSON: true})
		if jerr := json.Unmarshal([]byte(got), &doc); jerr != nil || !errors.Is(err, c.want) || doc.Whole || *doc.Why != err.Error() || doc.Version != 1 {
			t.Errorf("%s: %v, %v\n%s", name, err, jerr, got)
		}
	}
	if _, err := inspect(t, InspectCmd{File: path + "gone"}); exitCode(err) != exitRefused {
		t.Error(err)
	}
}

func TestInspectJSON(t *testing.T) {
	got, err := inspect(t, InspectCmd{File: goldenStream(t, "incremental"), JSON: true})
	if err != nil {
		t.Fatal(err)
	}
	var doc inspected
	if err := json.Unmarshal([]byte(got), &doc); err != nil {
		t.Fatal(err)
	}
	s := doc.Streams[0]
	if !doc.Whole || doc.Why != nil || doc.Kind != "incremental" || doc.Bytes != 199856 || doc.Records["WRITE"] != (tallied{4, 179712}) || len(doc.Streams) != 1 ||
		s.GUID != "4970015705909098041" || *s.BaseGUID != "1364704191013991221" || s.Snapshot != "golden@b" || s.Features == nil {
		t.Errorf("%s", got)
	}
}
