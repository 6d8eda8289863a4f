package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"zfs2cloud/cmd/internal/config"
)

// usage is the error of a command line that can't be read: with the name that was probably meant, and the help
// of the command that was typed.
func usage(parser *kong.Kong, args []string, err error) error {
	text, help := err.Error(), "zfs2cloud --help"
	if word, ok := strings.CutPrefix(text, "unexpected argument "); ok {
		if near := config.Nearest(word, commandNames(parser)); near != "" {
			text += "; did you mean " + near + "?"
		}
	}
	if what, ok := strings.CutPrefix(text, `expected "`); ok {
		text = strings.TrimSuffix(what, `"`) + " is missing"
	}
	if what, ok := strings.CutSuffix(text, ` value but got "EOL" (<EOL>)`); ok {
		text = what + " value, and there is none" // kong's own word for the end of the line
	}
	if flag, value, ok := strings.Cut(text, ": expected duration but got "); ok {
		value, _, _ = strings.Cut(value, ": ") // kong's word, and then Go's for the same
		text = flag + ": " + value + " is no duration; 90s, 5m and 3h are"
	}
	var at *kong.ParseError
	if errors.As(err, &at) {
		if node := at.Context.Selected(); node != nil {
			text = strings.TrimPrefix(text, node.Path()+": ") // the help that is named says of which command
		}
		// Without a command kong selects run; its help is meant only where it was typed.
		if node := at.Context.Selected(); node != nil && slices.Contains(args, node.Name) {
			help = "zfs2cloud " + words(node) + " --help"
		}
	}
	return &refusal{Err: errors.New(text), Next: help}
}

// words is what is typed for a command: stream inspect.
func words(node *kong.Node) string {
	if node.Parent == nil || node.Parent.Type == kong.ApplicationNode {
		return node.Name
	}
	return words(node.Parent) + " " + node.Name
}

func commandNames(parser *kong.Kong) (names []string) {
	for _, node := range parser.Model.Children {
		names = append(names, node.Name)
	}
	return names
}
