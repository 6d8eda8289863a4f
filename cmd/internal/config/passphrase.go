package config

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"zfs2cloud/actions/secret"
	"zfs2cloud/actions/settings"
)

// longestPassphrase is a limit that every gpg and every pinentry keeps: 1.4 fails with 5,000 bytes, and
// a pinentry takes no more than 255.
const longestPassphrase = 200

// ReadPassphrase fetches the passphrase from where the settings say. A file's content and a command's
// output are taken as they are, less one final newline. run runs the words of a command, without a
// shell, and returns what it wrote.
func ReadPassphrase(ctx context.Context, p settings.Passphrase,
	run func(ctx context.Context, argv []string) ([]byte, error)) (secret.Bytes, []settings.Warning, error) {
	switch {
	case len(p.Inline) > 0:
		return p.Inline, unseen("encryption_passphrase", p.Inline), checkPassphrase(p.Inline)
	case p.File != "":
		name := cmp.Or(p.Named, "encryption_passphrase_file")
		data, st, err := readOwned(p.File, os.Getuid(), 1<<16)
		if err == nil {
			err = checkPrivate(p.File, st, os.Getuid())
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		return literal(name, data)
	case len(p.Command) > 0:
		data, err := run(ctx, p.Command)
		if err != nil {
			return nil, nil, fmt.Errorf("encryption_passphrase_command: %w", err)
		}
		return literal("encryption_passphrase_command", data)
	}
	return nil, nil, errors.New("no passphrase is configured")
}

// literal takes exactly one final newline off.
func literal(key string, data []byte) (secret.Bytes, []settings.Warning, error) {
	var warnings []settings.Warning
	data, cut := bytes.CutSuffix(data, []byte("\n"))
	if cut && bytes.HasSuffix(data, []byte("\r")) {
		data = data[:len(data)-1]
		warnings = append(warnings, settings.Warning{Section: mainSection, Key: key,
			Text: "ends in CR LF; both were taken off: end it in LF"})
	}
	if err := checkPassphrase(data); err != nil {
		return nil, warnings, fmt.Errorf("%s: %w", key, err)
	}
	return secret.Bytes(data), append(warnings, unseen(key, data)...), nil
}

// unseen warns of what an editor or a web page left in a passphrase and nobody sees: with it, backups open to the file alone, and
// not to who types what he reads. It is not taken off: older backups may have it.
func unseen(key string, p []byte) []settings.Warning {
	at := bytes.IndexFunc(p, func(r rune) bool { return unicode.Is(unicode.Cf, r) })
	if at < 0 {
		return nil
	}
	r, _ := utf8.DecodeRune(p[at:])
	return []settings.Warning{{Section: mainSection, Key: key,
		Text: fmt.Sprintf("has U+%04X, which nobody sees: it is part of the passphrase, and who types that without it opens no backup", r)}}
}

// UnseenTyped is what to tell who typed, or pasted, a passphrase with what nobody sees; empty if there is nothing.
func UnseenTyped(p []byte) string {
	for _, w := range unseen("the passphrase", p) {
		return w.Key + " " + w.Text
	}
	return ""
}

// checkPassphrase accepts what every gpg takes in the same way: it would cut at NUL or LF without a word.
func checkPassphrase(p []byte) error {
	switch {
	case len(p) == 0:
		return errors.New("the passphrase is empty")
	case len(p) > longestPassphrase:
		return fmt.Errorf("the passphrase has %d bytes, %d at most", len(p), longestPassphrase)
	case !utf8.Valid(p):
		return errors.New("the passphrase is not UTF-8")
	case bytes.ContainsFunc(p, unicode.IsControl):
		return errors.New("the passphrase has a control character")
	}
	return nil
}

// inlinePassphrase is what encryption_passphrase meant to a shell. Several words never worked there, so
// here they are taken as they stand; with quotes among them nobody can say what was meant.
func inlinePassphrase(value string) (secret.Bytes, error) {
	all, err := words(value)
	if err != nil {
		return nil, err
	}
	text := strings.Join(all, "")
	if len(all) > 1 {
		if at := strings.IndexAny(value, `'"\`); at >= 0 {
			return nil, &shellError{value[at : at+1], "in a passphrase of several words"}
		}
		text = value
	}
	return secret.Bytes(text), checkPassphrase([]byte(text))
}
