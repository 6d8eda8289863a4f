package config

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// shellCorpus: values, and the words that /bin/sh makes of them; or the character for which they are
// refused.
var shellCorpus = []struct {
	value   string
	words   []string
	refused string
}{
	{value: `abc`, words: []string{"abc"}},
	{value: `"a b"`, words: []string{"a b"}},
	{value: `'abc'`, words: []string{"abc"}},
	{value: `x\y`, words: []string{"xy"}},
	{value: `a#b`, words: []string{"a#b"}},
	{value: `a=b`, words: []string{"a=b"}},
	{value: `a%b`, words: []string{"a%b"}},
	{value: `a b  c`, words: []string{"a", "b", "c"}},
	{value: `a"b c"d'e f'`, words: []string{"ab cde f"}},
	{value: `'a"b'`, words: []string{`a"b`}},
	{value: `"a'b"`, words: []string{`a'b`}},
	{value: `'it'\''s'`, words: []string{"it's"}},
	{value: `\#ab`, words: []string{"#ab"}},
	{value: `'#ab'`, words: []string{"#ab"}},
	{value: `a\ b`, words: []string{"a b"}},
	{value: `"x\y"`, words: []string{`x\y`}},
	{value: `"x\\y\"z\$\` + "`" + `"`, words: []string{"x\\y\"z$`"}},
	{value: `'x\y'`, words: []string{`x\y`}},
	{value: `pa\$\$w`, words: []string{"pa$$w"}},
	{value: `'pa$$w'`, words: []string{"pa$$w"}},
	{value: `'a;b&c|d<e>f(g)h*i?j[k~'`, words: []string{"a;b&c|d<e>f(g)h*i?j[k~"}},
	{value: `"a;b&c|d<e>f(g)h*i?j[k~"`, words: []string{"a;b&c|d<e>f(g)h*i?j[k~"}},
	{value: `\;\&\|\<\>\(\)\*\?\[`, words: []string{";&|<>()*?["}},
	{value: `a~b`, words: []string{"a~b"}},
	{value: `\~a`, words: []string{"~a"}},
	{value: `{a,b}`, words: []string{"{a,b}"}},
	{value: `!a^]`, words: []string{"!a^]"}},
	{value: `pässwörd€`, words: []string{"pässwörd€"}},
	{value: "a\u00a0b", words: []string{"a\u00a0b"}},
	{value: `if`, words: []string{"if"}},
	{value: `''`, words: []string{""}},
	{value: `-v --stats=60s`, words: []string{"-v", "--stats=60s"}},
	{value: ``},

	{value: `pa$$w`, refused: "$"},
	{value: `$HOME`, refused: "$"},
	{value: `"$HOME"`, refused: "$"},
	{value: `a$`, refused: "$"},
	{value: `"a$"`, refused: "$"},
	{value: `$'a'`, refused: "$"},
	{value: `$(id)`, refused: "$"},
	{value: `$((1))`, refused: "$"},
	{value: "a`id`", refused: "`"},
	{value: "\"`id`\"", refused: "`"},
	{value: "a`", refused: "`"},
	{value: `a;b`, refused: ";"},
	{value: `a;`, refused: ";"},
	{value: `a;;b`, refused: ";"},
	{value: `a&b`, refused: "&"},
	{value: `a&&b`, refused: "&"},
	{value: `a|b`, refused: "|"},
	{value: `a<b`, refused: "<"},
	{value: `a>b`, refused: ">"},
	{value: `2>b`, refused: ">"},
	{value: `a<<b`, refused: "<"},
	{value: `(a)`, refused: "("},
	{value: `a(b`, refused: "("},
	{value: `()`, refused: "("},
	{value: `a)`, refused: ")"},
	{value: `a*`, refused: "*"},
	{value: `a?`, refused: "?"},
	{value: `a[b]`, refused: "["},
	{value: `~`, refused: "~"},
	{value: `~root/x`, refused: "~"},
	{value: `a ~b`, refused: "~"},
	{value: `#ab`, refused: "#"},
	{value: `a #b`, refused: "#"},
	{value: `'abc`, refused: "'"},
	{value: `it's`, refused: "'"},
	{value: `"abc`, refused: `"`},
	{value: `abc\`, refused: `\`},
	{value: "a\nb", refused: "a line break"},
}

// rear#2157, borg_ynh#49, duplicity-backup.sh#166: semicolons, hashes, quotes and backslashes were lost.
func TestShellCorpus(t *testing.T) {
	var accepted []string
	for _, c := range shellCorpus {
		got, err := words(c.value)
		refused := ""
		if se, ok := err.(*shellError); ok {
			refused = se.char
		} else if err != nil {
			t.Errorf("%q: %v", c.value, err)
		}
		if refused != c.refused || !slices.Equal(got, c.words) {
			t.Errorf("%q: words %q, refused for %q; want %q, %q", c.value, got, refused, c.words, c.refused)
		}
		if err == nil {
			accepted = append(accepted, c.value)
		}
	}
	agreesWithShell(t, accepted)
}

// Whatever we accept, however odd, the shell reads as we do.
func TestShellRandomly(t *testing.T) {
	pieces := strings.Split("a|b|#|'|'|\"|\"|\\|\\| |  |~|=|%|$|`|;|&|<|(|)|*|?|[|]|{|}|,|!|-|ä|^|:|/|\t|a b", "|")
	random := rand.New(rand.NewPCG(1, 2))
	var accepted []string
	for range 60000 {
		var b strings.Builder
		for range 1 + random.IntN(7) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		if _, err := words(b.String()); err == nil {
			accepted = append(accepted, b.String())
		}
	}
	if len(accepted) < 5000 {
		t.Fatalf("only %d values accepted", len(accepted))
	}
	agreesWithShell(t, accepted)
}

// agreesWithShell lets one /bin/sh read all the values, each as the arguments of a printf.
func agreesWithShell(t *testing.T, values []string) {
	t.Helper()
	var script strings.Builder
	for _, v := range values {
		fmt.Fprintf(&script, "printf '%%s\\0' x %s\nprintf '\\n'\n", v)
	}
	cmd := exec.Command("/bin/sh")
	cmd.Stdin = strings.NewReader(script.String())
	cmd.Dir = t.TempDir() // should a value be a redirection after all
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(values) {
		t.Fatalf("%d answers to %d values", len(lines), len(values))
	}
	for i, v := range values {
		got, _ := words(v)
		want := strings.Split(strings.TrimSuffix(lines[i], "\x00"), "\x00")[1:]
		if !slices.Equal(got, want) {
			t.Errorf("%q: words %q, /bin/sh %q", v, got, want)
		}
	}
}

func TestInlinePassphrase(t *testing.T) {
	for _, c := range []struct{ value, want, problem string }{
		{value: `abc#def`, want: "abc#def"},
		{value: `"a b"`, want: "a b"},
		{value: `correct horse  battery`, want: "correct horse  battery"},
		{value: `x\y`, want: "xy"},
		{value: `'pa$$w;rd'`, want: "pa$$w;rd"},
		{value: `pa$$w`, problem: "$ outside of single quotes"},
		{value: `a 'b c'`, problem: "' in a passphrase of several words"},
		{value: `''`, problem: "empty"},
		{value: "'a\tb'", problem: "control character"},
		{value: strings.Repeat("x", 200), want: strings.Repeat("x", 200)},
		{value: strings.Repeat("x", 201), problem: "201 bytes"},
	} {
		got, err := inlinePassphrase(c.value)
		switch {
		case c.problem == "" && (err != nil || string(got) != c.want):
			t.Errorf("%q: %q, %v", c.value, string(got), err)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%q: error %v, want %q", c.value, err, c.problem)
		}
	}
}
