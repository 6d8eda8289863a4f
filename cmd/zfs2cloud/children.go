package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// tellChildren says which datasets below the job's are in no backup of it: always on a terminal and with -v,
// else once each time the set changes. status and check say it always.
func (t *taken) tellChildren() error {
	dataset, err := zfs.ParseDataset(t.dataset)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.app.Stop.Soft(), lookTime)
	defer cancel()
	children, err := zfs.Program{World: workflow.Look{World: t.app.World}, Words: t.kit.ZFS}.Children(ctx, dataset)
	if err != nil {
		return err
	}
	changed := !slices.Equal(children, t.job.Children)
	if changed {
		t.job.Children = children
		err := t.store.Update(func(tx *state.Tx) error {
			job, ok, err := tx.Job(t.job.ID)
			if err != nil || !ok {
				return err
			}
			job.Children = children
			return tx.PutJob(job)
		})
		if err != nil {
			return err
		}
	}
	if len(children) > 0 && (changed || t.app.Terminal || t.app.Verbose > 0) {
		fmt.Fprintf(t.app.Err, "%s%s below it in no backup of this job: %s\n", t.app.subject(t), counted(len(children), "dataset"), safe(strings.Join(children, ", ")))
	}
	return nil
}
