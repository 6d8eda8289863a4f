package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"zfs2cloud/cmd/sandbox/internal/host"
)

// byTheLetter restores once more as someone does who has nothing but gpg, zfs and what lies on the
// remote: the commands in RESTORE.txt of each folder, pasted into a shell, the full's first.
func (d *demo) byTheLetter(ctx context.Context) (string, error) {
	if err := d.home(ctx, "letter"); err != nil {
		return "", err
	}
	names := map[string]string{"NEW": d.Name + "/letter/data", "PASS": d.passphrase()}
	for _, backup := range []string{d.full.stamp + "-full", d.incremental.stamp} {
		folder := filepath.Join(d.remote, backup)
		text, err := os.ReadFile(filepath.Join(folder, "RESTORE.txt"))
		if err != nil {
			return "", err
		}
		sections := "134"
		// Mounting is for when the last folder is in, and for where it can be done.
		if backup == d.incremental.stamp && d.Mounts() {
			sections += "5"
		}
		script, err := commands(string(text), names, sections)
		if err != nil {
			return "", fmt.Errorf("%s: %w", backup, err)
		}
		if err := d.paste(ctx, folder, script, "CHECKED: ", "RESTORED: "); err != nil {
			return "", fmt.Errorf("%s: %w", backup, err)
		}
	}
	return "by RESTORE.txt, with gpg and zfs alone", nil
}

// byTheScript restores once more by the script that lies beside the incremental, which restores the full first.
func (d *demo) byTheScript(ctx context.Context) (string, error) {
	if err := d.home(ctx, "script"); err != nil {
		return "", err
	}
	folder := filepath.Join(d.remote, d.incremental.stamp)
	text, err := os.ReadFile(filepath.Join(folder, "RESTORE.txt"))
	if err != nil {
		return "", err
	}
	script, err := commands(string(text), map[string]string{"NEW": d.Name + "/script/data", "PASS": d.passphrase()}, "12")
	if err != nil {
		return "", err
	}
	return "both by the script that lies there, sealed", d.paste(ctx, folder, script, "RESTORED: ")
}

// paste runs a script in a folder. By the text's own words all is well only if it says these.
func (d *demo) paste(ctx context.Context, folder, script string, says ...string) error {
	var out strings.Builder
	c := host.Command{Argv: []string{"sh", "-e"}, Dir: folder, Stdin: strings.NewReader(script), Stdout: &out}
	if err := d.host.Do(ctx, c); err != nil {
		return err
	}
	for _, word := range says {
		if !strings.Contains("\n"+out.String(), "\n"+word) {
			return fmt.Errorf("the commands of RESTORE.txt did not end with %q", word)
		}
	}
	return nil
}

var (
	section    = regexp.MustCompile(`^[0-9]\. `)
	assignment = regexp.MustCompile(`^([A-Z]+)=\S*$`)
)

// commands are the indented lines of some sections of a RESTORE.txt (their digits), with the names that the reader is
// told to choose put in.
func commands(text string, names map[string]string, sections string) (string, error) {
	var script strings.Builder
	chosen := 0
	in := false
	for line := range strings.Lines(text) {
		if section.MatchString(line) {
			in = strings.Contains(sections, line[:1])
		}
		command, indented := strings.CutPrefix(line, "    ")
		if !indented || !in {
			continue
		}
		if a := assignment.FindStringSubmatch(strings.TrimSpace(command)); a != nil {
			if value, ok := names[a[1]]; ok {
				command = fmt.Sprintf("%s='%s'\n", a[1], value)
				chosen++
			}
		}
		script.WriteString(command)
	}
	if chosen != len(names) {
		return "", fmt.Errorf("RESTORE.txt asks for %d of %d names", chosen, len(names))
	}
	return script.String(), nil
}
