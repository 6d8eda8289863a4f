package actions

import (
	"bytes"
	"context"
	"errors"
	"path"
	"slices"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/settings"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// texts are the names of what lies in a backup's folder for people.
func texts(b state.Backup) []string { return manifest.Texts(settings.Encryption(b.Encryption)) }

// storeTexts stores RESTORE.txt and, where something proves it to be ours, the script, so that a person can restore
// the backup M without this program. BASES is its chain.
func (u *uploading) storeTexts(ctx context.Context, fx workflow.Fx, sealer chunk.Sealer, m *manifest.Manifest, bases []string) error {
	text, err := manifest.RestoreText(m, bases)
	if err != nil {
		return err
	}
	never := func(context.Context) (bool, error) { return false, nil }
	if err := u.replace(ctx, fx, path.Join(m.Name, manifest.RestoreFile), text, never); err != nil {
		return err
	}
	if sealer.Kind() == settings.None {
		return nil
	}
	script, err := manifest.SealScript(ctx, sealer)
	if err != nil {
		return err
	}
	name := path.Join(m.Name, manifest.ScriptFile)
	return u.replace(ctx, fx, name, script, func(ctx context.Context) (bool, error) { return u.isScript(ctx, sealer, name) })
}

// replace stores a text over an older version of it. SAME is asked whether what is there, which is not these bytes, will do:
// what was sealed by a process that died is as good. At a store that lets nothing be deleted the older one stays: it is for people.
func (u *uploading) replace(ctx context.Context, fx workflow.Fx, name string, text []byte, same func(context.Context) (bool, error)) error {
	fresh := u.shown != nil && !u.shown[path.Base(name)]
	return u.retry(ctx, firstFresh(fresh, func(ctx context.Context, fresh bool) error {
		err := u.place.PutBytes(ctx, fx, name, text, fresh)
		var conflict *remote.Conflict
		if !errors.As(err, &conflict) {
			return err
		}
		if does, err := same(ctx); does || err != nil {
			return err
		}
		err = u.place.Delete(ctx, fx, name)
		if errors.Is(err, remote.ErrDenied) {
			return u.kit.note(u.s, "%s at %s is of an earlier attempt, and can't be replaced: %v", name, u.place, err)
		}
		if err != nil {
			return err
		}
		return u.place.PutBytes(ctx, fx, name, text, false)
	}))
}

// isScript tells whether an object is this version's script, sealed by today's passphrase.
func (u *uploading) isScript(ctx context.Context, sealer chunk.Sealer, name string) (bool, error) {
	var object bytes.Buffer
	err := u.place.Get(ctx, u.s.Look(), name, manifest.MaxSize, &object)
	unread := []error{remote.ErrNotThere, remote.ErrTooBig, remote.ErrArchived, remote.ErrDamaged}
	if slices.ContainsFunc(unread, func(is error) bool { return errors.Is(err, is) }) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	sha, err := manifest.OpenScript(ctx, sealer, object.Bytes())
	if err != nil && (ctx.Err() != nil || chunk.CouldNotRun(err)) {
		return false, err
	}
	return err == nil && sha == manifest.Script(), nil
}

// seeTexts stores again what a listing of the backup's folder lacks of the texts for people.
func (u *uploading) seeTexts(ctx context.Context, fx workflow.Fx, there map[string]remote.Object) error {
	least := map[string]int64{manifest.ScriptFile: manifest.ScriptLen()}
	lacks := false
	for _, name := range texts(u.backup) {
		o, ok := there[name]
		lacks = lacks || !ok || o.Size >= 0 && o.Size < max(1, least[name])
	}
	if !lacks {
		return nil
	}
	u.s.Log().Warn("what is there for people is not whole, and is stored again", "backup", u.backup.Name)
	chunks, err := u.chunks()
	if err != nil {
		return err
	}
	_, backups, err := jobOf(u.s.View, u.backup.Job)
	if err != nil {
		return err
	}
	sealer, err := u.kit.sealer(fx, u.backup.Encryption)
	if err != nil {
		return err
	}
	return u.storeTexts(ctx, fx, sealer, manifestOf(u.backup, chunks, u.kit.Tool), chainNames(backups, u.backup))
}
