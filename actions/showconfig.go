package actions

import (
	"context"

	"zfs2cloud/workflow"
)

// showConfig prints the settings as a step of a sequence; secrets are masked.
func (k *Kit) showConfig(context.Context, *workflow.Session, []string) error {
	if k.ShowConfig != nil {
		k.ShowConfig()
	}
	return nil
}
