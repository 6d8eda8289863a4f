package main

import (
	"fmt"
	"text/tabwriter"

	"zfs2cloud/actions/settings"
	"zfs2cloud/cmd/internal/config"
)

// ShowConfigCmd prints the settings in force.
type ShowConfigCmd struct{}

// Run reads the config and prints what it comes to.
func (*ShowConfigCmd) Run(a *App) error {
	c, err := config.Load(a.Config, a.Env)
	if err != nil {
		return err
	}
	printConfig(a, c)
	for _, w := range c.Warnings {
		fmt.Fprintf(a.Err, "warning: %s\n", warning(w))
	}
	return nil
}

func printConfig(a *App, c *settings.Settings) {
	fmt.Fprintf(a.Out, "# %s\n", c.Path)
	w := tabwriter.NewWriter(a.Out, 0, 0, 1, ' ', 0)
	defer w.Flush()
	section := ""
	for _, kv := range config.Show(c) {
		if kv.Section != section {
			section = kv.Section
			fmt.Fprintf(w, "[%s]\n", section)
		}
		fmt.Fprintf(w, "%s\t= %s\n", kv.Key, safe(kv.Value))
	}
}

func warning(w settings.Warning) string {
	if w.Line == 0 {
		return fmt.Sprintf("%s: %s", w.Key, w.Text)
	}
	return fmt.Sprintf("line %d [%s] %s: %s", w.Line, w.Section, w.Key, w.Text)
}
