package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/cmd/internal/config"
)

// badConfig says all that is wrong with a config that can't be used. Whether its dataset is there can be
// told all the same.
func (c *checkup) badConfig(ctx context.Context, p printer, bad *config.Errors) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	all := *bad
	all.Problems = append(slices.Clone(bad.Problems), c.missingDataset(ctx)...)
	slices.SortStableFunc(all.Problems, func(a, b config.Problem) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Compare(a.Line, b.Line)
	})
	sum := checkSum{errors: len(all.Problems), again: c.app.again}
	if _, table := p.(*checkTable); table {
		fmt.Fprintln(c.app.Out, all.Error()+c.app.checkNext(&all))
		return c.failed(sum)
	}
	for _, problem := range all.Problems {
		p.row(c.problem(noticeConfigError, problem))
	}
	if err := p.end(sum); err != nil {
		return err
	}
	return c.failed(sum)
}

// missingDataset is the problem of a dataset that is not there. Not being able to tell is none of the
// config's.
func (c *checkup) missingDataset(ctx context.Context) []config.Problem {
	basics, err := c.app.basics()
	if err != nil || len(basics.ZFS) == 0 {
		return nil
	}
	dataset, err := zfs.ParseDataset(basics.Dataset)
	if err != nil {
		return nil // the file's own errors say so
	}
	program := zfs.Program{World: c.reading(), Words: basics.ZFS}
	_, err = program.Info(ctx, dataset)
	if missing, ok := errors.AsType[*config.Errors](c.app.noDataset(ctx, program, dataset, err)); ok {
		return missing.Problems
	}
	return nil
}

// problem is a row for a problem of the config.
func (c *checkup) problem(n notice, p config.Problem) finding {
	text := p.Text
	where := strings.TrimSpace(p.Key + valueOf(p))
	if p.Section != "" {
		where = strings.TrimSpace("[" + p.Section + "] " + where)
	}
	if where != "" {
		text = where + ": " + text
	}
	if p.Line > 0 {
		text = fmt.Sprintf("line %d %s", p.Line, text)
	}
	hint := p.Hint
	if p.Next != "" {
		hint = strings.TrimPrefix(hint+"; "+p.Next, "; ")
	}
	return c.find(n, args{"text": text, "hint": hint})
}

func valueOf(p config.Problem) string {
	if p.Value == "" {
		return ""
	}
	return " = " + p.Value
}

// lookConfig: the file could be read, or nobody would be looking.
func (c *checkup) lookConfig(_ context.Context, f facts) (facts, []finding) {
	text := c.settings.Path
	if c.settings.StandardSteps {
		text += "; no sequence given, standard used"
	}
	found := []finding{fine("config", text)}
	for _, w := range c.settings.Warnings {
		n := noticeConfigWarning
		if aboutSequence(c.settings, w) {
			n = noticeSequence
		}
		found = append(found, c.find(n, args{"text": warning(w)}))
	}
	return f, found
}

// aboutSequence tells whether a warning is about a step, or their order.
func aboutSequence(s *settings.Settings, w settings.Warning) bool {
	return slices.ContainsFunc(s.Steps, func(step settings.Step) bool { return step.Line > 0 && step.Line == w.Line })
}
