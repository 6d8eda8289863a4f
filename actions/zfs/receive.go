package zfs

import (
	"context"
	"io"
	"strings"
)

// ReceiveArgs says how to receive.
type ReceiveArgs struct {
	// Increment says that the dataset was made by an earlier receive of the same restore.
	Increment bool
	// Volume says that the stream is of a volume, which has none of the properties that are kept off.
	Volume bool
	// Keep says that what was received stays if the receive is cut off; Partial tells then how it goes on. CanKeep.
	Keep bool
	// Scratch says that the dataset is one that goes again: what is newer in it than its last snapshot is rolled back, and a
	// volume gets neither a device nor a reservation.
	Scratch bool
}

// Receive receives one stream into a dataset, to its end. It never mounts it, and where zfs can (OpenZFS), it
// keeps off what a stream could bring along to have it mounted or shared later, and has the dataset read-only until
// ReceiveEnds: whoever reads in it between two receives then leaves no mark, and what somebody has changed nevertheless is
// an error. Where zfs can't, it is rolled back to the base of the increment. ErrExists, ErrDiverged, ErrNoSpace,
// ErrNoDataset (what it should lie in).
func (p Program) Receive(ctx context.Context, in io.Reader, into Dataset, a ReceiveArgs) error {
	doing := "receive " + into.name
	spec := p.zfs("receive", "-u")
	can, err := p.receiveTakesProperties(ctx)
	if err != nil {
		return err
	}
	if a.Keep {
		spec.Argv = append(spec.Argv, "-s")
	}
	if can && !a.Increment {
		spec.Argv = append(spec.Argv, "-o", "readonly=on")
	}
	if can && !a.Volume {
		spec.Argv = append(spec.Argv, "-o", "canmount=noauto", "-x", "mountpoint", "-x", "sharenfs", "-x", "sharesmb")
	}
	if can && a.Volume && a.Scratch && !a.Increment {
		spec.Argv = append(spec.Argv, "-o", "volmode=none", "-o", "refreservation=none")
	}
	if a.Increment && (!can || a.Scratch) {
		spec.Argv = append(spec.Argv, "-F")
	}
	spec.Argv = append(spec.Argv, into.name)
	spec.Stdin = in
	return p.change(ctx, doing, into.subject(), spec)
}

// ReceiveEnds says that no more increments are received: the dataset is read-only only if it was when it was sent.
// ErrNoDataset, ErrPermission.
func (p Program) ReceiveEnds(ctx context.Context, into Dataset) error {
	can, err := p.receiveTakesProperties(ctx)
	if err != nil || !can {
		return err
	}
	return p.change(ctx, "inherit readonly "+into.name, into.subject(), p.zfs("inherit", "-S", "readonly", into.name))
}

// receiveTakesProperties asks zfs for the usage of receive.
func (p Program) receiveTakesProperties(ctx context.Context) (bool, error) {
	usage, err := p.usage(ctx, "receive")
	return strings.Contains(usage, "-x <property>"), err
}

// CanKeep tells whether a receive into a dataset can be gone on with after it was cut off: whether the program can (OpenZFS
// since 0.7), and the pool has the feature for it. Both are asked.
func (p Program) CanKeep(ctx context.Context, into Dataset) (bool, error) {
	usage, err := p.usage(ctx, "receive")
	if err != nil || !strings.Contains(usage, "receive -A ") {
		return false, err
	}
	return p.poolFeature(ctx, into.Pool(), keepFeature)
}

// keepFeature is what dmu_recv_begin_check demands for a receive that can be gone on with. (module/zfs/dmu_recv.c)
const keepFeature = "extensible_dataset"

// Partial is the token of what a receive that was cut off has kept in a dataset; empty if there is nothing of that kind.
// ErrNoDataset.
func (p Program) Partial(ctx context.Context, d Dataset) (token string, err error) {
	out, err := p.look(ctx, "get receive_resume_token "+d.name, d.subject(), p.zfs("get", "-Hp", "-o", "value", "receive_resume_token", d.name))
	token = strings.TrimSpace(out)
	if token == "-" {
		token = ""
	}
	return token, err
}

// DropPartial takes away what a receive that was cut off has kept: of a full, all of the dataset.
func (p Program) DropPartial(ctx context.Context, d Dataset) error {
	return p.change(ctx, "receive -A "+d.name, d.subject(), p.zfs("receive", "-A", d.name))
}
