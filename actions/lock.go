package actions

import (
	"context"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// lock writes the lock record, which says to whoever looks that the run has begun. What keeps other
// processes out is the ownership of the dataset, which this process has from its start.
func (k *Kit) lock(ctx context.Context, s *workflow.Session, _ []string) error {
	return record(ctx, s, "lock", func(tx *state.Tx, r *state.Run, _ workflow.Nothing) error {
		return workflow.TakeLock(tx, *r, s.Now())
	})
}

// unlock frees the record that lock wrote.
func (k *Kit) unlock(ctx context.Context, s *workflow.Session, _ []string) error {
	return record(ctx, s, "unlock", func(tx *state.Tx, r *state.Run, _ workflow.Nothing) error {
		return workflow.FreeLock(tx, *r)
	})
}

// record is an effect that is all in the database.
func record(ctx context.Context, s *workflow.Session, name string, result func(*state.Tx, *state.Run, workflow.Nothing) error) error {
	_, err := workflow.Once(ctx, s, workflow.Effect[workflow.Nothing]{
		Name:   name,
		Do:     func(context.Context, workflow.Fx) (none workflow.Nothing, err error) { return none, nil },
		Result: result,
	})
	return err
}
