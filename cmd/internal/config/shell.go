package config

import (
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// shellError names the character for which a value would have been more than words to a shell.
type shellError struct {
	char string
	why  string
}

func (e *shellError) Error() string { return e.char + " " + e.why }

const (
	unquoted = "outside of quotes means something to a shell"
	expands  = "outside of single quotes means something to a shell"
	atStart  = "at the start of a word means something to a shell"
	unclosed = "is not closed"
)

// words is what /bin/sh makes of the value as arguments, where that is plain words and quotes.
//
// "x VALUE" is parsed, not VALUE alone, or #ab would be nothing and a=b an assignment.
func words(value string) ([]string, error) {
	const command = "x "
	parser := syntax.NewParser(syntax.Variant(syntax.LangPOSIX), syntax.KeepComments(true))
	file, err := parser.Parse(strings.NewReader(command+value), "")
	if err != nil {
		return nil, parseError(err, command+value)
	}
	call, err := onlyCall(file, command+value)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, w := range call.Args[1:] {
		word, err := plain(w)
		if err != nil {
			return nil, err
		}
		out = append(out, word)
	}
	return out, nil
}

// parseError names the character at which the parser gave up.
func parseError(err error, text string) error {
	at := 0
	if pe, ok := err.(syntax.ParseError); ok {
		at = int(pe.Pos.Offset())
	}
	switch c := text[min(at, len(text)-1)]; c {
	case '\'', '"', '`':
		return &shellError{string(c), unclosed}
	case '$':
		return &shellError{"$", expands}
	case ';', '&', '|', '<', '>', ')':
		return &shellError{string(c), unquoted}
	}
	return &shellError{"(", unquoted} // also f(), which the parser takes for a function's beginning
}

// onlyCall demands that the text is one command with arguments and nothing else.
func onlyCall(file *syntax.File, text string) (*syntax.CallExpr, error) {
	first := file.Stmts[0]
	switch {
	case first.Semicolon.IsValid():
		return nil, &shellError{text[first.Semicolon.Offset():][:1], unquoted}
	case len(file.Stmts) > 1:
		return nil, &shellError{"a line break", unquoted}
	case len(first.Redirs) > 0:
		return nil, &shellError{text[first.Redirs[0].OpPos.Offset():][:1], unquoted}
	case len(first.Comments) > 0 || len(file.Last) > 0:
		return nil, &shellError{"#", atStart}
	}
	switch cmd := first.Cmd.(type) {
	case *syntax.CallExpr:
		return cmd, nil
	case *syntax.BinaryCmd:
		return nil, &shellError{text[cmd.OpPos.Offset():][:1], unquoted}
	}
	return nil, &shellError{"(", unquoted}
}

// plain is a word without its quotes.
func plain(w *syntax.Word) (string, error) {
	var b strings.Builder
	for i, part := range w.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			if i == 0 && strings.HasPrefix(p.Value, "~") {
				return "", &shellError{"~", atStart}
			}
			if err := unescape(&b, p.Value, "*?[", ""); err != nil {
				return "", err
			}
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, inner := range p.Parts {
				lit, ok := inner.(*syntax.Lit)
				if !ok {
					return "", expansion(inner)
				}
				// POSIX 2.2.3: within double quotes a backslash counts before these only.
				if err := unescape(&b, lit.Value, "", "$`\"\\"); err != nil {
					return "", err
				}
			}
		default:
			return "", expansion(p)
		}
	}
	return b.String(), nil
}

func expansion(part syntax.WordPart) error {
	if c, ok := part.(*syntax.CmdSubst); ok && c.Backquotes {
		return &shellError{"`", expands}
	}
	return &shellError{"$", expands}
}

// unescape writes a literal without its backslashes. Characters in special are refused unless escaped;
// a backslash counts only before those in escapable, or before any if that is empty.
func unescape(b *strings.Builder, lit, special, escapable string) error {
	for i := 0; i < len(lit); i++ {
		c := lit[i]
		switch {
		case c == '\\' && i+1 == len(lit):
			// It would have escaped whatever stood behind the value.
			return &shellError{`\`, "at the end escapes nothing"}
		case c == '\\' && (escapable == "" || strings.IndexByte(escapable, lit[i+1]) >= 0):
			i++
			b.WriteByte(lit[i])
		case c == '$':
			return &shellError{"$", expands}
		case strings.IndexByte(special, c) >= 0:
			return &shellError{string(c), unquoted}
		default:
			b.WriteByte(c)
		}
	}
	return nil
}

// oneWord is words where there must be exactly one.
func oneWord(value string) (string, error) {
	all, err := words(value)
	if err != nil {
		return "", err
	}
	if len(all) != 1 {
		return "", fmt.Errorf("%d words", len(all))
	}
	return all[0], nil
}
