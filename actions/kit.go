package actions

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"zfs2cloud/actions/catalog"
	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/remote"
	"zfs2cloud/actions/secret"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// Kit is what the steps of this process work with, beside a run's frozen plan. Settings and Passphrase are
// those of today's config. They are missing while open brackets are closed: nothing that closes one asks
// for them.
type Kit struct {
	ZFS        []string // the program and its leading words
	Settings   *settings.Settings
	Passphrase secret.Bytes
	Host       string
	Tool       string // name and version, for manifests
	HookDir    string // where the output of scripts is kept
	TempDir    string // for gpg's homes and the like; of this dataset alone, so that what a crash leaves there can go
	Log        *slog.Logger
	// Out is where a typed command's answer goes.
	Out io.Writer
	// ShowConfig prints the settings, secrets masked.
	ShowConfig func()
	// Again is a command line to type, with the -c that was given; nil: without any.
	Again func(command string) string
	// LeaveRemote: a person has said that the place of a run that is given up is gone for good, and is not to be asked anything.
	LeaveRemote bool
	// Gone says why the dataset of the run at work is not asked anything: it is not there, or another one has its name. What was exported
	// whole is brought to its place without it.
	Gone error
	// DeleteMost: a person has said that a sync may delete most of what is there.
	DeleteMost bool
	// Pause waits between tries; remote.Pause but in tests.
	Pause func(context.Context, time.Duration) error

	// SnapshotTime bounds how long a ZFS that does not answer keeps the application stopped.
	SnapshotTime time.Duration

	ahead     *uploader  // begun by the export for the upload step
	restoring *restoring // what the steps of a restore share

	mu      sync.Mutex
	places  map[string]*remote.Place // by remote and job
	session *workflow.Session        // of the step at work
	news    []string
}

// News is what came to light while the steps were at work, and a person should hear of though all went well.
func (k *Kit) News() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.news)
}

// tell adds to the news.
func (k *Kit) tell(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.news = append(k.news, text)
}

// again is a command line to type.
func (k *Kit) again(command string) string {
	if k.Again == nil {
		return "zfs2cloud " + command
	}
	return k.Again(command)
}

func (k *Kit) zfs(w workflow.World) zfs.Program { return zfs.Program{World: w, Words: k.ZFS} }

// sealer seals as a backup is sealed, and with today's passphrase.
func (k *Kit) sealer(w workflow.World, encryption string) (chunk.Sealer, error) {
	return k.sealerBy(w, encryption, k.Passphrase)
}

func (k *Kit) sealerBy(w workflow.World, encryption string, passphrase secret.Bytes) (chunk.Sealer, error) {
	switch settings.Encryption(encryption) {
	case settings.None:
		return chunk.Plain{}, nil
	case settings.GPG:
		return chunk.GPG{World: w, Words: k.Settings.Gpg, Passphrase: passphrase, TempDir: k.TempDir}, nil
	}
	return nil, fmt.Errorf("encryption %q is none that this version knows", encryption)
}

// uploads tells whether a run's backups go to a remote. Without an upload step intermediate_basedir is
// where they are committed.
func uploads(r state.Run) bool { return r.Frozen.Remote != "" }

// placeName is where a run's backups are committed, as the config spells it.
func placeName(f state.Frozen) string { return cmp.Or(f.Remote, f.IntermediateDir) }

// Place is where the backups of a job are committed. It is opened once, since it remembers when it last saw
// the job's marker.
func (k *Kit) Place(f state.Frozen, job string) (*remote.Place, error) {
	spelled := placeName(f)
	k.mu.Lock()
	defer k.mu.Unlock()
	if p, ok := k.places[spelled+"\n"+job]; ok {
		return p, nil
	}
	r, err := k.Remote(spelled)
	if err != nil {
		return nil, err
	}
	p, err := remote.NewPlace(r, job)
	if err != nil {
		return nil, err
	}
	if k.places == nil {
		k.places = map[string]*remote.Place{}
	}
	k.places[spelled+"\n"+job] = p
	return p, nil
}

// Remote opens a remote with today's rclone settings.
func (k *Kit) Remote(spelled string) (remote.Remote, error) {
	return remote.Open(k.remoteOptions(spelled))
}

func (k *Kit) remoteOptions(spelled string) remote.Options {
	c := k.Settings
	return remote.Options{
		Remote: spelled, Rclone: c.Rclone, Conf: c.RcloneConf, GlobalFlags: c.RcloneObjectGlobal, Args: c.RcloneObjectArgs,
		Bwlimit: c.RcloneBwlimit, TempDir: k.TempDir, EnvNames: c.RcloneEnv, LookupEnv: os.LookupEnv,
		Idle: remote.IdleFor(c.RcloneIdle, c.SplitSize),
	}
}

// retry tries something at a remote until it works or there is no use in it. While it pauses, status says so.
func (k *Kit) retry(ctx context.Context, try func(context.Context) error) error {
	return remote.Retry(ctx, func(ctx context.Context, d time.Duration, why error) error {
		k.Log.Info("tried again", "in", d, "err", why)
		if s := k.step(); s != nil {
			if err := s.Waits(s.Now().Add(d), why); err != nil {
				return err
			}
		}
		return k.Pause(ctx, d)
	}, try)
}

// OpenCatalog lists the root of a remote, which is then read with what the kit has.
func (k *Kit) OpenCatalog(ctx context.Context, w workflow.World, r remote.Remote) (*catalog.Catalog, error) {
	return catalog.Open(ctx, w, r, catalog.Means{Retry: k.retry, Sealer: k.sealer, SealerBy: k.sealerBy, Log: k.Log})
}

// step is the step at work, if one is.
func (k *Kit) step() *workflow.Session {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.session
}

// say prints a line of a typed command's answer.
func (k *Kit) say(format string, args ...any) {
	if k.Out != nil {
		fmt.Fprintf(k.Out, format+"\n", args...)
	}
}

// openDir opens intermediate_basedir, which must be there: nothing makes it anew, since a folder that is
// gone is a disk that is not mounted.
func openDir(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("%s is not there (a disk that is not mounted?): %w", dir, err)
	}
	return root, err
}

// inDir is the path of an object of a backup in intermediate_basedir.
func inDir(b state.Backup, name string) string { return filepath.Join(b.Dir, b.Name, name) }
