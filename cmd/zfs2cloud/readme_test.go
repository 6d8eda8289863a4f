package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"zfs2cloud/cmd/internal/config"
)

var update = flag.Bool("update", false, "write the README's tables anew")

const readme = "../../README.md"

// The README's tables are those of the program: TestREADME -update writes them.
func TestREADME(t *testing.T) {
	b, err := os.ReadFile(filepath.FromSlash(readme))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, table := range map[string]string{
		"commands": commandTable(t), "exits": exitTable(), "keys": keyTable(config.Keys, "key"), "variables": keyTable(config.Variables, "variable"),
	} {
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
		before, rest, ok := strings.Cut(text, begin)
		now, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Errorf("no table %q", name)
			continue
		}
		if now != table && !*update {
			t.Errorf("table %q is not the program's; it has\n%s\nand should have\n%s", name, now, table)
		}
		text = before + begin + table + end + after
	}
	if *update {
		if err := os.WriteFile(filepath.FromSlash(readme), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range config.BuiltinSteps {
		row := "| `" + s.Name
		if s.Word != "" {
			row += " [" + s.Word + "]"
		}
		for _, f := range s.Flags {
			row += " [" + strings.TrimSpace(f.Short+" "+f.Value) + "]"
		}
		if !strings.Contains(text, row+"` | ") {
			t.Errorf("the README has no row for the step %s", row)
		}
	}
}

func commandTable(t *testing.T) string {
	var cli CLI
	parser, err := newParser(&cli, &App{Out: io.Discard, Err: io.Discard}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| command | does |\n| --- | --- |\n")
	for _, n := range parser.Model.Leaves(true) {
		words := words(n)
		for _, a := range n.Aliases {
			words += ", " + a
		}
		for _, p := range n.Positional {
			if !p.Tag.Hidden {
				words += " " + argument(p)
			}
		}
		for _, f := range n.Flags {
			if !f.Hidden {
				words += " [" + option(f) + "]"
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.ReplaceAll(words, "|", `\|`), n.Help)
	}
	return b.String()
}

func argument(p *kong.Positional) string {
	if p.Required {
		return strings.ToUpper(p.Name)
	}
	return "[" + strings.ToUpper(p.Name) + "]"
}

func option(f *kong.Flag) string {
	name := "--" + f.Name
	if f.Short != 0 {
		name = "-" + string(f.Short)
	}
	if f.IsBool() {
		return name
	}
	return name + " " + f.FormatPlaceHolder()
}

func exitTable() string {
	var b strings.Builder
	b.WriteString("| exit | means |\n| --- | --- |\n")
	for _, e := range exits {
		fmt.Fprintf(&b, "| %d | %s |\n", e.code, e.meaning)
	}
	return b.String()
}

func keyTable(keys []config.Key, kind string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | meaning | unit or form | default |\n| --- | --- | --- | --- |\n", kind)
	for _, k := range keys {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, k.Meaning, k.Unit, k.Default)
	}
	return b.String()
}
