package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/ini.v1"
)

// corpus is where INI files lie, each beside configparser's reading of it.
const corpus = "../../../testdata/config"

// reading is a .json of the corpus. All but Refused was made once, with CPython 3.11.7:
//
//	p = configparser.ConfigParser(allow_no_value=True); p.read_file(open(path, encoding="utf-8"))
//	{"sections": {name: {key: p.get(name, key)}}}, or the exception's name at the place where it came
//
// Refused is ours: the lines that we do not read, "line key".
type reading struct {
	Error    string
	Sections map[string]map[string]any
	Refused  []string
}

// Where configparser reads a file, we read the same or refuse; where it fails, we refuse.
func TestReadsAsConfigparser(t *testing.T) {
	files, err := filepath.Glob(corpus + "/*.ini")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files in the corpus, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".ini"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want := readReading(t, strings.TrimSuffix(path, ".ini")+".json")
			got, refused := ourReading(string(data))
			if !slices.Equal(refused, want.Refused) {
				t.Errorf("refused %q, want %q", refused, want.Refused)
			}
			if want.Error != "" {
				if len(refused) == 0 {
					t.Errorf("configparser fails with %s, and we accept", want.Error)
				}
				return
			}
			compareReadings(t, got, want, refused)
		})
	}
}

func compareReadings(t *testing.T, got map[string]map[string]any, want reading, refused []string) {
	isRefused := func(key string) bool {
		return slices.ContainsFunc(refused, func(r string) bool { return strings.HasSuffix(r, " "+key) })
	}
	for section, keys := range want.Sections {
		for key, value := range keys {
			ours, ok := got[section][key]
			if _, failed := value.(map[string]any); failed && ok {
				t.Errorf("[%s] %s: configparser fails, we read %q", section, key, ours)
			} else if !failed && !ok && !isRefused(key) && key[0] != '[' {
				t.Errorf("[%s] %s: neither read nor refused", section, key)
			} else if ok && ours != value {
				t.Errorf("[%s] %s = %q, configparser %q", section, key, ours, value)
			}
		}
	}
	for section, keys := range got {
		for key := range keys {
			if _, ok := want.Sections[section][key]; !ok {
				t.Errorf("[%s] %s: configparser has no such key", section, key)
			}
		}
	}
}

func readReading(t *testing.T, path string) reading {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r reading
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// ourReading is a file in the form of the corpus.
func ourReading(data string) (sections map[string]map[string]any, refused []string) {
	d := parse(data)
	sections = map[string]map[string]any{}
	note := func(line int, key string) {
		refused = append(refused, strings.TrimSpace(fmt.Sprintf("%d %s", line, key)))
	}
	for _, p := range d.problems {
		note(p.Line, p.Key)
	}
	for _, h := range d.headers {
		if h.name == defaultSection {
			continue
		}
		sections[h.name] = map[string]any{}
		for _, e := range d.keys(h.name) {
			if e.bare {
				sections[h.name][e.key] = nil
			} else if value, err := d.interpolate(e, h.name); err != nil {
				note(e.line, e.key)
			} else {
				sections[h.name][e.key] = value
			}
		}
	}
	return sections, refused
}

// What the scanner and ini.v1 see differently is not taken.
func TestAgrees(t *testing.T) {
	file, err := ini.LoadSources(iniOptions(100), []byte("[main]\na = 1\nb = 2\n\t3\nc\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []entry{{key: "a", value: "1"}, {key: "b", value: "2\n3"}, {key: "c", bare: true}} {
		e.section = "main"
		if !agrees(file, e) {
			t.Errorf("differ on %+v", e)
		}
	}
	for _, e := range []entry{{key: "a", value: "2"}, {key: "b", value: "2"}, {key: "d"}, {key: "a", bare: true}} {
		e.section = "main"
		if agrees(file, e) {
			t.Errorf("agree on %+v", e)
		}
	}
	if agrees(file, entry{section: "other", key: "a", value: "1"}) {
		t.Error("agree on a section that is not there")
	}
}

// The line numbers are right however the lines before were read.
func TestLines(t *testing.T) {
	data, err := os.ReadFile(corpus + "/indented-keys.ini")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	for _, e := range parse(string(data)).entries {
		if !strings.HasPrefix(strings.TrimSpace(lines[e.line-1]), e.key+" =") {
			t.Errorf("%s on line %d: %q", e.key, e.line, lines[e.line-1])
		}
	}
}
