package actions

import (
	"context"
	"fmt"

	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Names of the built-in steps, as sequences and commands spell them.
const (
	StepLock               = "lock"
	StepUnlock             = "unlock"
	StepSnapshot           = "snapshot"
	StepExport             = "export-intermediate"
	StepPruneIntermediates = "prune-intermediates"
	StepPruneSnapshots     = "prune-snapshots"
	StepPruneRemote        = "prune-remote"
	StepUpload             = "upload-intermediate-to-remote"
	StepShowConfig         = "show-config"
	StepVerify             = "verify"
	StepAdopt              = "adopt" // typed alone
	StepMount              = "mount-snapshot"
	StepUploadFiles        = "upload-snapshot-files-to-remote"
	StepUmount             = "umount-snapshot"

	stepHook   = "script"
	stepHold   = "hold"
	stepFinish = "finish"

	stepReceive    = "receive" // of a restore, as those after it are
	stepFetch      = "fetch"
	stepCopy       = "copy"
	stepEndRestore = "end"
)

// Steps lists what each built-in step does.
func (k *Kit) Steps() map[string]workflow.StepDef {
	return map[string]workflow.StepDef{
		StepLock:               {Kind: workflow.Lock, Run: k.lock},
		stepHook:               {Kind: workflow.Hook, Run: k.hook},
		StepSnapshot:           {Kind: workflow.Snapshot, Prepare: k.prepareSnapshot, Run: k.snapshot, Settle: k.settleSnapshot},
		stepHold:               {Kind: workflow.Plain, Run: k.hold},
		StepExport:             {Kind: workflow.Export, Run: k.export},
		StepPruneIntermediates: {Kind: workflow.Plain, Run: k.pruneIntermediates},
		StepPruneSnapshots:     {Kind: workflow.Plain, Run: k.pruneSnapshots},
		StepPruneRemote:        {Kind: workflow.Plain, Run: k.pruneRemote},
		StepUpload:             {Kind: workflow.Upload, Run: k.upload},
		StepAdopt:              {Kind: workflow.Plain, Run: k.adopt},
		StepMount:              {Kind: workflow.Plain, Run: k.mount},
		StepUploadFiles:        {Kind: workflow.Plain, Run: k.uploadFiles},
		StepUmount:             {Kind: workflow.Plain, Run: k.umount},
		StepUnlock:             {Kind: workflow.Unlock, Run: k.unlock},
		StepVerify:             {Kind: workflow.Plain, Run: k.verify},
		StepShowConfig:         {Kind: workflow.Plain, Run: k.showConfig},
		stepFinish:             {Kind: workflow.Plain, Run: k.finish},
		stepReceive:            {Kind: workflow.Plain, Run: k.receive},
		stepFetch:              {Kind: workflow.Plain, Run: k.fetchStream},
		stepCopy:               {Kind: workflow.Plain, Run: k.copyFiles},
		stepEndRestore:         {Kind: workflow.Plain, Run: k.endRestore},
	}
}

// Step finds what a planned step does: the engine's way to this list.
func (k *Kit) Step(s state.Step) (workflow.StepDef, error) {
	name := s.Name
	if workflow.Kind(s.Kind) == workflow.Hook {
		name = stepHook
	}
	def, ok := k.Steps()[name]
	if !ok {
		return def, fmt.Errorf("step %q is none that this version knows", s.Name)
	}
	run := def.Run
	def.Run = func(ctx context.Context, s *workflow.Session, args []string) error {
		k.mu.Lock()
		k.session = s
		k.mu.Unlock()
		return run(ctx, s, args)
	}
	return def, nil
}

// Plan freezes a sequence.
func (k *Kit) Plan(steps []workflow.Planned) []state.Step {
	return workflow.NewPlan(steps,
		&workflow.Planned{Name: stepHold, Shown: "hold", Kind: workflow.Plain},
		&workflow.Planned{Name: stepFinish, Shown: "finish", Kind: workflow.Plain})
}
