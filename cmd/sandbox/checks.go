package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"zfs2cloud/cmd/sandbox/internal/events"
	"zfs2cloud/cmd/sandbox/internal/host"
)

// skip is the error of a check that can't be done here, and why.
type skip struct{ why string }

func (s skip) Error() string { return s.why }

// checks does what is checked without running the program. Each counts as one test.
func (g *ground) checks(ctx context.Context, tool goTool) (counts events.Counts) {
	for _, check := range []struct {
		name string
		do   func(context.Context, goTool) error
	}{
		{"gofmt", g.gofmt},
		{"vet", g.vet},
		{"staticcheck", g.staticcheck},
		{"govulncheck", g.govulncheck},
	} {
		began := time.Now()
		err := check.do(ctx, tool)
		said := events.Test{Package: check.name}
		word := "ok"
		var skipped skip
		switch {
		case errors.As(err, &skipped):
			word, said.Reason = "skip", skipped.why
			counts.Skipped = append(counts.Skipped, said)
		case err != nil:
			word, said.Output = "FAIL", err.Error()
			counts.Failed = append(counts.Failed, said)
			fmt.Println(said.Output)
		default:
			counts.Passed++
		}
		fmt.Printf("%-4s %-48s %6s\n", word, check.name, took(time.Since(began)))
	}
	return counts
}

func (g *ground) gofmt(ctx context.Context, tool goTool) error {
	var out strings.Builder
	c := host.Command{Argv: []string{tool.gofmt(), "-l", "."}, Dir: tool.root, Env: tool.env, Stdout: &out}
	if err := g.host.Do(ctx, c); err != nil {
		return err
	}
	if out.Len() > 0 {
		return fmt.Errorf("not in gofmt's form:\n%s", out.String())
	}
	return nil
}

func (g *ground) vet(ctx context.Context, tool goTool) error {
	return g.goSays(ctx, tool, "vet", "./...")
}

func (g *ground) staticcheck(ctx context.Context, tool goTool) error {
	return g.goSays(ctx, tool, "tool", "staticcheck", "./...")
}

// vulnerabilities is where govulncheck has its knowledge from.
const vulnerabilities = "https://vuln.go.dev/index/db.json"

func (g *ground) govulncheck(ctx context.Context, tool goTool) error {
	if err := reach(ctx, vulnerabilities); err != nil {
		return skip{fmt.Sprintf("its database can't be reached: %v", err)}
	}
	return g.goSays(ctx, tool, "tool", "govulncheck", "./...")
}

func reach(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// goSays runs go with all that it and its tools say in the error.
func (g *ground) goSays(ctx context.Context, tool goTool, args ...string) error {
	var out, errs strings.Builder
	c := tool.command(args...)
	c.Stdout, c.Stderr = &out, &errs
	if err := g.host.Do(ctx, c); err != nil {
		return fmt.Errorf("go %s:\n%s%s", strings.Join(args, " "), out.String(), errs.String())
	}
	return nil
}
