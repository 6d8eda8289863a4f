package main

import (
	_ "embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state/durable"
)

// RecoverySheetCmd is `zfs2cloud recovery-sheet`.
type RecoverySheetCmd struct {
	Source
	HTML string `name:"html" placeholder:"FILE" help:"Write the page to this file instead, for a browser to print."`
}

// A page for a drawer, to be read when the host is gone by someone who never saw this program: where the backups are, what is
// needed, what to type, and by what to know that nobody has changed them. Everything is on it but the passphrase.
var (
	//go:embed sheet.txt.tmpl
	sheetText string
	//go:embed sheet.html.tmpl
	sheetHTML string

	sheetTextTemplate = template.Must(template.New("sheet.txt").Funcs(template.FuncMap{"indented": indented}).Parse(sheetText))
	sheetHTMLTemplate = htmltemplate.Must(htmltemplate.New("sheet.html").Parse(sheetHTML))
)

// indented has the further lines of a command stand in as far as its first.
func indented(command string) string { return strings.ReplaceAll(command, "\n", "\n    ") }

// sheet is what stands on it.
type sheet struct {
	Printed, Tool              string
	Host, Dataset, Job         string
	Remote, Conf, Here         string
	Local                      bool // Remote is a folder, and needs no rclone
	Encrypted, Raw             bool
	Newest, Kind, Created      string
	Based                      string // the folders that it is based on, the full first
	Manifest, ManifestSHA256   string
	Script, ScriptSHA256       string // its path; no hash: there is no script
	Bytes, StreamBytes, Piece  string
	List, Fetch, Restore, Into string // commands, and the dataset that they make
}

const sheetTime = "2 Jan 2006 15:04 MST"

// Run prints the sheet.
func (c *RecoverySheetCmd) Run(a *App) error {
	ctx := a.Stop.Soft()
	from, err := c.open(ctx, a, func(*readable) error { return nil })
	if err != nil {
		return err
	}
	found, err := from.catalog.Sheet(ctx)
	if err != nil {
		return err
	}
	missed, err := from.missed(ctx, a)
	if err != nil {
		return err
	}
	if missed != "" {
		return &reported{Err: errors.New("a sheet would vouch for an older state"), Text: "zfs2cloud: " + missed +
			"\nNothing was printed: a sheet would vouch for an older state than there was. Next: " + a.again("verify")}
	}
	s := c.sheet(a, from.kit.Settings, from.catalog.Remote.String(), found)
	if in := found.ScriptIn; s.Encrypted && in != s.Newest {
		fmt.Fprintf(a.Err, "%s\n", noScript(s.Newest, in))
	}
	switch {
	case c.HTML == "":
		return sheetTextTemplate.Execute(a.Out, s)
	case a.DryRun:
		_, err := fmt.Fprintf(a.Out, "would write %s\n", safe(c.HTML))
		return err
	}
	return writeSheet(a.Err, c.HTML, s)
}

// noScript says that the newest backup has no script beside it, which the page can't tell the reason of.
func noScript(newest, in string) string {
	text := fmt.Sprintf("%s has no %s: an older version made it, or somebody took it away", newest, manifest.ScriptFile)
	if in != "" {
		text += "; the page names that of " + in
	}
	return text
}

// sheet puts what was found in words.
func (c *RecoverySheetCmd) sheet(a *App, cfg *settings.Settings, place string, found *catalog.Sheet) sheet {
	m := found.Newest()
	files, stream, piece := found.Bytes()
	var folders []string
	for _, link := range found.Chain {
		folders = append(folders, link.Name)
	}
	s := sheet{
		Printed: a.World.Now().UTC().Format(sheetTime), Tool: m.Tool,
		Host: safe(m.Host), Dataset: safe(m.Dataset), Job: m.Job, Remote: safe(place), Conf: safe(rcloneConf(cfg)), Here: a.Host, Local: filepath.IsAbs(place),
		Encrypted: m.Encryption() != settings.None, Raw: strings.Contains(strings.Join(m.SendFlags, ""), "w"),
		Newest: m.Name, Kind: string(m.Kind), Created: m.Created.UTC().Format(sheetTime), Based: based(folders),
		Manifest: manifest.FileName(m.Encryption()), ManifestSHA256: found.ManifestSHA256, Script: path.Join(found.ScriptIn, manifest.ScriptFile), ScriptSHA256: found.Script,
		Bytes: toFetch(files, folders), StreamBytes: size(stream), Piece: size(piece),
		Restore: "zfs2cloud restore --remote " + shellQuote(place) + " \\\n  ", Into: "newpool/data",
	}
	if !s.Encrypted {
		s.Restore += "--encryption none "
	}
	if s.Local {
		s.List = "ls " + shellQuote(place)
		s.Fetch = "cd " + shellQuote(place)
		return s
	}
	s.Restore += "--rclone-config rclone.conf "
	s.List = "rclone --config rclone.conf lsf " + shellQuote(place)
	s.Fetch = "rclone --config rclone.conf copy -P --include " + shellQuote(include(folders)) + " \\\n  " + shellQuote(place) + " ."
	return s
}

// mostNamed is how many folders a page has room to name.
const mostNamed = 6

// based names the folders of a chain before the newest.
func based(folders []string) string {
	before := folders[:len(folders)-1]
	if len(folders) > mostNamed {
		return fmt.Sprintf("%s, and %d more, which its RESTORE.txt names", before[0], len(before)-1)
	}
	return strings.Join(before, ", ")
}

// toFetch is the size of a chain, which the pattern of a long one finds more than.
func toFetch(bytes int64, folders []string) string {
	if len(folders) > mostNamed {
		return "at least " + size(bytes)
	}
	return size(bytes)
}

// include is the pattern by which rclone finds the folders of a chain: those of a long one by the months that are in their
// names, or the years, though others are of these, too.
func include(folders []string) string {
	switch {
	case len(folders) == 1:
		return "/" + folders[0] + "/**"
	case len(folders) <= mostNamed:
		return "/{" + strings.Join(folders, ",") + "}/**"
	}
	var times []string
	for _, digits := range []int{len("200601"), len("2006")} {
		times = nil
		for _, name := range folders { // they are sorted
			times = append(times, name[:digits])
		}
		if times = slices.Compact(times); len(times) <= mostNamed {
			break
		}
	}
	if len(times) == 1 {
		return "/" + times[0] + "*/**"
	}
	return "/{" + strings.Join(times, ",") + "}*/**"
}

// writeSheet writes the page for a browser.
func writeSheet(say io.Writer, file string, s sheet) error {
	name, err := absolute(file)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := sheetHTMLTemplate.Execute(&b, s); err != nil {
		return err
	}
	if err := durable.WriteFile(name, []byte(b.String())); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	_, err = fmt.Fprintf(say, "%s: open it in a browser, print it, and keep it away from this host. The passphrase is not on it.\n", safe(file))
	return err
}
