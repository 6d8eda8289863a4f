package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Where ZFS can, what was received of a stream stays when the receive is cut off, and the dataset's receive_resume_token says
// how far it came. The stream is in its chunks, so that nobody has to send it again: what is behind that place is made of them
// (stream.Restart). Nothing that goes wrong with that is more than a reason to receive the backup again from its beginning.

// part is what a dataset has of a stream whose receive was cut off.
type part struct {
	text  string // the token as zfs has it
	token stream.Token
	chunk int          // the first that is needed
	at    uint64       // where it begins, in bytes of the stream
	entry stream.Entry // what is known of the stream before it
}

// keeps tells whether what is received of a backup stays if it is cut off. The Python tool's streams begin again: nothing
// proves one before its end. So do increments with properties: zfs puts back those of before when it is cut off, and the rest
// of a stream brings none. (zfs_ioc_recv_impl in module/zfs/zfs_ioctl.c; those of a full stay.)
func (r *restoring) keeps(ctx context.Context, fx workflow.Fx, run state.Run, m *manifest.Manifest) (bool, error) {
	if run.Restore.Python || m.Base != nil && slices.Contains(m.SendFlags, "-p") {
		return false, nil
	}
	return r.kit.zfs(fx).CanKeep(ctx, r.plan.Into)
}

// kept is what a receive of a backup that was cut off has left in the dataset; nil if there is nothing. That of
// another stream, or in a dataset that this restore did not make, is an error that nobody can mend.
func (r *restoring) kept(ctx context.Context, fx workflow.Fx, run state.Run, m *manifest.Manifest) (*part, error) {
	can, err := r.keeps(ctx, fx, run, m)
	if err != nil || !can {
		return nil, err
	}
	p, err := r.kit.partOf(ctx, fx, r.plan.Into)
	if errors.Is(err, zfs.ErrNoDataset) {
		return nil, nil // there may be none: of a snapshot in it zfs says no more than that it is not there
	}
	if err != nil || p == nil {
		return nil, err
	}
	if !p.of(m) {
		return nil, &workflow.Hopeless{Err: fmt.Errorf("%s holds a part of another stream, of %q, and not of %s: it is somebody else's work", r.plan.Into, p.token.Name, m.Name)}
	}
	if run.Restore.Made != "" { // else it died before it knew
		info, err := r.kit.zfs(fx).Info(ctx, r.plan.Into)
		if err == nil {
			err = r.isMade(info, run)
		}
		if err != nil {
			return nil, err
		}
	}
	if p.token.Object <= 1 && p.token.Offset == 0 {
		return nil, r.dropPart(ctx, fx, m)
	}
	return p, nil
}

// dropPart takes away what was kept of a backup. Where zfs has just begun nothing is lost with it; and only who begins again gets
// the properties of a full, which are set after the beginning is on disk. (dmu_recv_begin_sync in module/zfs/dmu_recv.c)
func (r *restoring) dropPart(ctx context.Context, fx workflow.Fx, m *manifest.Manifest) error {
	if err := r.kit.zfs(fx).DropPartial(ctx, r.plan.Into); err != nil {
		return err
	}
	if m.Base == nil {
		return forgetMade(fx)
	}
	return nil
}

// partOf is what a dataset has of a stream; nil if it has no token.
func (k *Kit) partOf(ctx context.Context, fx workflow.Fx, d zfs.Dataset) (*part, error) {
	text, err := k.zfs(fx).Partial(ctx, d)
	if err != nil || text == "" {
		return nil, err
	}
	p := &part{text: text}
	p.token, err = stream.ParseToken(text)
	return p, err
}

// of tells whether it is of the stream of a backup: of its snapshot, on its base.
func (p *part) of(m *manifest.Manifest) bool {
	to, from := streamGUIDs(m)
	return p.token.To == to && p.token.From == from
}

// useless tells whether a part can't be gone on with: its stream has no such place, or zfs makes nothing of what is made for it,
// and has received nothing of it. A zfs that was killed, is busy, or has no key, said nothing of the part.
func (r *restoring) useless(ctx context.Context, fx workflow.Fx, p *part, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if errors.Is(err, stream.ErrNoRestart) {
		return true
	}
	if !refused(err) || !saysStreamInvalid(err) && !saysTooNew(err) {
		return false
	}
	now, perr := r.kit.partOf(ctx, fx, r.plan.Into)
	return perr == nil && now != nil && now.text == p.text
}

// again takes away what was kept of a backup, so that it is received from its beginning.
func (r *restoring) again(ctx context.Context, s *workflow.Session, fx workflow.Fx, m *manifest.Manifest, why error) error {
	s.Log().Warn("what was received is not gone on with; it is received again", "backup", m.Name, "why", why)
	r.close()
	if err := r.dropPart(ctx, fx, m); err != nil {
		return errors.Join(why, err)
	}
	return nil
}
