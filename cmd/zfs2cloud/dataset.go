package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"zfs2cloud/actions"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/cmd/internal/config"
	"zfs2cloud/workflow"
)

// fewChunks is an error that points to the config's line if the next full would have more chunks than a backup can have.
// Its stream has at least as many bytes as the dataset has now.
func (a *App) fewChunks(c *settings.Settings, referenced int64) error {
	if !exports(c) {
		return nil
	}
	err := actions.CheckChunks(c.Dataset, referenced, c.SplitSize)
	if err == nil {
		return nil
	}
	return config.At(a.Config, a.Env, "split_size", err.Error(), "write a larger one")
}

// unknownFlags is an error that points to the config's line if this zfs has not all of zfs_send_flags. It is asked, since
// which version has what differs between systems.
func (a *App) unknownFlags(ctx context.Context, program zfs.Program, c *settings.Settings) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	lacks, err := program.SendLacks(ctx, c.SendFlags)
	if err != nil || len(lacks) == 0 {
		return err
	}
	return config.At(a.Config, a.Env, "zfs_send_flags", "this zfs send has no "+strings.Join(lacks, ", "), "leave it out")
}

// exportFaults are what keeps the next export from being made, as far as that is known before it; a nil says that one thing does not.
func (a *App) exportFaults(ctx context.Context, program zfs.Program, c *settings.Settings, referenced int64, chain ...[]string) []error {
	return []error{a.fewChunks(c, referenced), a.unknownFlags(ctx, program, c), a.unsendable(ctx, program, c, chain...)}
}

func exports(c *settings.Settings) bool {
	return slices.ContainsFunc(c.Steps, func(s settings.Step) bool { return s.Name == actions.StepExport })
}

// unsendable is an error that points to the config's line if zfs sends the dataset, which is encrypted, neither with zfs_send_flags
// nor with those of a CHAIN that there may be: found out by the night's export, the application would be stopped for nothing.
func (a *App) unsendable(ctx context.Context, program zfs.Program, c *settings.Settings, chain ...[]string) error {
	if !exports(c) {
		return nil
	}
	dataset, err := zfs.ParseDataset(c.Dataset)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	e, err := program.Encryption(ctx, dataset)
	if err != nil || slices.ContainsFunc(append(chain, c.SendFlags), e.Sends) {
		return err
	}
	text, hint := dataset.String()+" is encrypted: zfs sends its properties (-p) only with -w", "add -w, or leave -p out"
	if e.Locked {
		text = dataset.String() + " is encrypted, and its key is not loaded: zfs sends it only with -w, as it lies there"
		hint = "zfs load-key " + shellQuote(dataset.String()) + ", or add -w, which holds from the next full on"
	}
	return config.At(a.Config, a.Env, "zfs_send_flags", text, hint)
}

// noDataset makes of zfs's word that the config's dataset is not there an error that points to the config's line, with
// the name that was probably meant. Of a program that is not there it says what names it. Any other error stays as it is.
func (a *App) noDataset(ctx context.Context, program zfs.Program, dataset zfs.Dataset, err error) error {
	text, hint := "no such dataset", ""
	switch {
	case errors.Is(err, zfs.ErrNoPool):
		pool := dataset.Pool().String()
		text, hint = "there is no pool "+pool+" here", "zpool import "+shellQuote(pool)+", if its disks are there"
	case !errors.Is(err, zfs.ErrNoDataset):
		return whichProgram(err, "ZFS_PATH")
	}
	if names, nerr := program.Datasets(ctx); nerr == nil {
		if near := config.Nearest(dataset.String(), names); near != "" {
			hint = "did you mean " + near + "?"
		}
	}
	return config.At(a.Config, a.Env, "zfs_fs", text, hint)
}

// whichProgram says of a program that can't be found which variable names it.
func whichProgram(err error, variable string) error {
	if errors.Is(err, workflow.ErrNoProgram) {
		return fmt.Errorf("%w; $%s names the program", err, variable)
	}
	return err
}
