package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/zfs/zfstest"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// TestEveryNotice provokes whatever check may find, at least once, and nothing else with it.
func TestEveryNotice(t *testing.T) {
	dataset := checkDatasets(t)
	var mu sync.Mutex
	seen := map[string]bool{}
	t.Run("cases", func(t *testing.T) {
		for _, c := range noticeCases() {
			name := dataset(t)
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					for _, code := range c.want {
						seen[code] = true // or this machine can't show it: the skip says why
					}
				}()
				b := newBench(t, name)
				c.spoil(b)
				rows := b.rows()
				got := faults(rows, c.want)
				if want := slices.Sorted(slices.Values(c.want)); !slices.Equal(got, want) {
					t.Errorf("found %q, not %q:\n%s", got, want, b.out.String())
				}
				for _, text := range c.text {
					if !strings.Contains(b.out.String(), text) {
						t.Errorf("no %q in\n%s", text, b.out.String())
					}
				}
				for _, row := range rows {
					if unfilled.MatchString(row.Text+row.Do) || row.State != isOK && row.Text == "" {
						t.Errorf("an argument is missing: %+v", row)
					}
				}
			})
		}
	})
	if t.Failed() {
		return
	}
	for _, n := range notices() {
		if !seen[n.code] {
			t.Errorf("%s was not provoked", n.code)
		}
	}
}

// unfilled is an argument that a notice names and nobody gave.
var unfilled = regexp.MustCompile(`\$[a-z]`)

// faults are the codes that were found, each once. The bench itself has two that tests keep for speed.
func faults(rows []finding, want []string) (codes []string) {
	for _, row := range rows {
		ofBench := (row.Code == noticeEncryptionNone.code || row.Code == noticeRemoteOnRoot.code) && !slices.Contains(want, row.Code)
		if row.State != isOK && !ofBench {
			codes = append(codes, row.Code)
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

type noticeCase struct {
	name  string
	spoil func(*bench)
	want  []string
	text  []string // in the JSON
}

func noticeCases() []noticeCase {
	return slices.Concat(configCases(), zfsCases(), programCases(), remoteCases(), hostCases(), runCases(), pythonCases())
}

func configCases() []noticeCase {
	return []noticeCase{
		{"nothing", func(*bench) {}, nil, []string{"./stop-app before snapshot, ./start-app after it"}},
		{"a bad config", func(b *bench) { b.main["split_size"] = "a lot" }, []string{"config-error"}, []string{"[main] split_size"}},
		{"a config of others", func(b *bench) { b.more = "[other]\nkey = value\n" }, []string{"config-warning"}, []string{"[other]"}},
		{"nothing after the snapshot", func(b *bench) { b.steps = slices.Delete(b.steps, 2, 3) }, []string{"sequence-warning"}, []string{"what it stops stays stopped"}},
		{"none before the snapshot", func(b *bench) { b.steps = b.steps[1:] }, []string{"hooks-none"}, nil},
		{"no snapshot", func(b *bench) { b.steps = b.steps[3:] }, nil, []string{"the newest is exported"}},
		{"file mode as the Python tool's example has it", func(b *bench) {
			b.viaRclone("")
			b.must(os.WriteFile(filepath.Join(b.remote, "kept"), nil, 0o600))
			b.main["mode"] = "file"
			b.steps = []string{"./stop-app", "snapshot", "./start-app", "mount-snapshot", "upload-intermediate-to-remote", "umount-snapshot"}
		}, []string{"file-mode-upload", "mounts", "sequence-warning"}, []string{"1 object now", "zfs-fuse has no way to"}},
	}
}

func zfsCases() []noticeCase {
	unprivileged := func(b *bench, allow string) {
		b.app.Env.UID = 65534
		b.env["ZFS_PATH"] = b.script("zfs", `if [ "$1" = allow ]; then `+allow+"; fi\nexec zfs \"$@\"")
		b.script("zpool", `exec zpool "$@"`)
	}
	return []noticeCase{
		{"no zfs program", func(b *bench) { b.env["ZFS_PATH"] = "/nonexistent/zfs" }, []string{"zfs"}, []string{"$ZFS_PATH names the program"}},
		{"no such dataset", func(b *bench) { b.main["zfs_fs"] += "x" }, []string{"dataset"}, []string{"did you mean"}},
		{"no such pool", func(b *bench) { b.main["zfs_fs"] = "no-such-pool/data" }, []string{"dataset"}, []string{"there is no pool no-such-pool here", "zpool import no-such-pool"}},
		{"a user who may not", func(b *bench) {
			unprivileged(b, `printf -- '---- Permissions on %s ----\nLocal permissions:\n\teveryone snapshot,send,hold,mount\n' "$2"; exit`)
			b.main["zfs_fs"] += "/a b"
			zfstest.Run(b, "zfs", "create", b.main["zfs_fs"])
		}, []string{"permissions"}, []string{"as root: zfs allow nobody release,destroy,userprop '", "/a b'"}},
		{"a user who may not bookmark", func(b *bench) {
			unprivileged(b, `printf -- '---- Permissions on %s ----\nLocal permissions:\n\teveryone snapshot,send,hold,release,destroy,mount,userprop\n' "$2"; exit`)
			b.script("zpool", `[ "$1 $2" = "get feature@bookmarks" ] && exec printf 'NAME PROPERTY VALUE SOURCE\n%s  %s  enabled  local\n' "$3" "$2"; exec zpool "$@"`)
			b.main["zfs_fs"] += "/a b"
			zfstest.Run(b, "zfs", "create", b.main["zfs_fs"])
		}, []string{"permission-bookmark"}, []string{"zfs allow nobody bookmark '", "/a b'"}},
		{"a user of whom nothing is known", func(b *bench) { unprivileged(b, "echo no idea >&2; exit 1") }, []string{"permissions-unknown"}, []string{"no idea"}},
		{"children", func(b *bench) {
			zfstest.Run(b, "zfs", "create", b.dataset+"/mail")
			zfstest.Run(b, "zfs", "create", b.dataset+"/web")
			b.must(b.store().Update(func(tx *state.Tx) error {
				return tx.PutJob(state.Job{ID: state.NewJobID(), Dataset: b.dataset + "/web"})
			}))
		}, []string{"children"}, []string{"1 dataset below"}},
	}
}

func programCases() []noticeCase {
	return []noticeCase{
		{"no encryption", func(*bench) {}, []string{"encryption-none"}, nil},
		{"no gpg", func(b *bench) { b.viaGPG(); b.env["GPG_PATH"] = "/nonexistent/gpg" }, []string{"gpg"}, nil},
		{"an empty passphrase", func(b *bench) { b.viaGPG(); b.write("pass", "\n") }, []string{"passphrase"}, nil},
		{"a passphrase from Windows", func(b *bench) { b.viaGPG(); b.write("pass", "horse\r\n") }, []string{"passphrase-warning"}, []string{"CR LF"}},
		{"a passphrase from an editor", func(b *bench) { b.viaGPG(); b.write("pass", "\ufeffhorse\n") }, []string{"passphrase-warning"}, []string{"U+FEFF"}},
		{"a gpg that does nothing", func(b *bench) {
			b.viaGPG()
			b.env["GPG_PATH"] = b.script("gpg", `[ "$1" = --version ] && exec gpg --version; cat >/dev/null; exit 0`)
		}, []string{"canary"}, nil},
		{"no rclone", func(b *bench) { b.viaRclone(""); b.env["RCLONE_PATH"] = "/nonexistent/rclone" }, []string{"rclone", "remote"}, nil},
		{"a gpg that hangs", func(b *bench) {
			b.viaGPG()
			b.patience = 300 * time.Millisecond
			b.env["GPG_PATH"] = b.script("gpg", `[ "$1" = --version ] && exec gpg --version; exec sleep 60`)
		}, []string{"slow"}, []string{`"name": "gpg"`}},
		{"a remote that hangs when it is to write", func(b *bench) {
			b.patience = 2 * time.Second
			b.viaRclone(`case "$*" in *copyto*) exec sleep 60; esac`)
		}, []string{"slow"}, []string{`"name": "remote"`}},
	}
}

// strangersMarker is that of a job that no database knows.
const strangersMarker = "zfs2cloud-job-5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c"

func remoteCases() []noticeCase {
	return []noticeCase{
		{"a remote through rclone", func(b *bench) { b.viaRclone("") }, nil, []string{"; sha256"}},
		{"a remote without hashes", func(b *bench) {
			b.viaRclone("")
			b.write("rclone.conf", "[loc]\ntype = local\n[secret]\ntype = crypt\nremote = loc:\npassword = "+obscured(b)+"\nfilename_encryption = off\n")
			b.main["remote"] = "secret:" + b.remote
		}, nil, []string{"no hash"}},
		{"a remote that makes names longer than there is room for", func(b *bench) {
			b.viaRclone("")
			b.write("rclone.conf", "[loc]\ntype = local\n[secret]\ntype = crypt\nremote = loc:"+b.remote+"\npassword = "+obscured(b)+"\n")
			b.main["remote"] = "secret:"
			b.main["zfs_fs"] += "/" + strings.Repeat("x", 130) // which is not there
		}, []string{"dataset", "remote"}, []string{"name too long"}},
		{"a remote that refuses", func(b *bench) { b.viaRclone(`case "$*" in *copyto*) echo the store says no >&2; exit 1; esac`) },
			[]string{"remote"}, []string{"the store says no"}},
		{"a remote that rclone does not know", func(b *bench) { b.viaRclone(""); b.main["remote"] = "nope:x" }, []string{"remote-unknown"}, nil},
		{"a local remote that is not there", func(b *bench) { b.must(os.Remove(b.remote)) }, []string{"remote-folder"}, nil},
		{"a local remote on the disk of /", func(b *bench) {
			here, err := os.Stat(b.dir)
			b.must(err)
			root, err := os.Stat("/")
			b.must(err)
			if deviceOf(here) != deviceOf(root) {
				dir, err := os.MkdirTemp("/", "zfs2cloud-check-test-")
				b.must(err)
				b.Cleanup(func() { os.RemoveAll(dir) })
				b.main["remote"] = dir
			}
		}, []string{"remote-on-root"}, nil},
		{"another job's remote", func(b *bench) {
			b.must(os.WriteFile(filepath.Join(b.remote, strangersMarker), nil, 0o600))
			theirs := state.Job{ID: strings.TrimPrefix(strangersMarker, "zfs2cloud-job-"), Dataset: "tank/other", DatasetGUID: "7"}
			b.must(b.store().Update(func(tx *state.Tx) error { return tx.PutJob(theirs) }))
		}, []string{"remote-stranger"}, []string{"5f0c5f0c of tank/other", "which has no job yet"}},
		{"a remote whose record was lost", func(b *bench) {
			b.must(os.WriteFile(filepath.Join(b.remote, strangersMarker), nil, 0o600))
		}, []string{"remote-lost"}, []string{"5f0c5f0c5f0c, which is not on record here", " run makes the record again", "a run would make the record again first"}},
		{"a job's own remote while ZFS does not answer", func(b *bench) {
			putJob(b, true)
			b.must(os.WriteFile(filepath.Join(b.remote, strangersMarker), nil, 0o600))
			b.env["ZFS_PATH"] = "/nonexistent/zfs"
		}, []string{"zfs", "remote-unsure"}, []string{"5f0c5f0c", "nothing was written"}},
		{"a job's own remote by another name", func(b *bench) {
			job := putJob(b, true)
			job.Place, job.Config = "box:gone", b.app.Config
			b.must(b.store().Update(func(tx *state.Tx) error { return tx.PutJob(job) }))
			b.must(os.WriteFile(filepath.Join(b.remote, "zfs2cloud-job-"+job.ID), nil, 0o600))
		}, []string{"remote-renamed"}, []string{"until now, as box:gone", "nothing was written"}},
		{"a remote that lost its marker", func(b *bench) { putJob(b, true) }, []string{"remote-marker"}, []string{"nothing was written"}},
		{"a remote that gives back other bytes", func(b *bench) { b.viaRclone(`case "$*" in *" cat "*|"cat "*) rclone "$@" | tr c k; exit; esac`) },
			[]string{"remote-differs"}, nil},
		{"a remote of several", func(b *bench) {
			b.viaRclone("")
			b.write("rclone.conf", "[loc]\ntype = union\nupstreams = "+b.remote+" "+b.at("more")+"\n")
			b.main["remote"] = "loc:"
			b.must(os.Mkdir(b.at("more"), 0o700))
		}, []string{"remote-union"}, []string{"is a union"}},
		{"a remote that gives nothing back at once", func(b *bench) {
			b.viaRclone(`case "$*" in *" cat "*|"cat "*) echo 'Failed to cat: Object in GLACIER, restore first: bucket="b"' >&2; exit 1; esac`)
		}, []string{"remote-cold"}, []string{"can't be read at once", "rclone backend restore"}},
		{"a remote that deletes nothing", func(b *bench) {
			b.leaves = true
			b.viaRclone(`case "$*" in *deletefile*) echo locked >&2; exit 1; esac`)
		}, []string{"remote-left"}, []string{"locked"}},
	}
}

func obscured(b *bench) string {
	return strings.TrimSpace(zfstest.Run(b, "rclone", "obscure", "horse"))
}

func hostCases() []noticeCase {
	return []noticeCase{
		{"a database in memory", func(b *bench) {
			if state.OnLocalDisk("/dev/shm") == nil {
				b.Skip("/dev/shm is not in memory")
			}
			b.main["state_db"] = "/dev/shm/zfs2cloud-check-test/state.db"
		}, []string{"state-not-local"}, nil},
		{"a database where others may write", func(b *bench) {
			b.write("state/other", "")
			b.must(os.Chmod(b.at("state"), 0o777))
		}, []string{"state-unsafe"}, nil},
		{"a database in a folder for all", func(b *bench) {
			b.write("state/other", "")
			b.must(os.Chmod(b.at("state"), 0o777|os.ModeSticky))
		}, []string{"state-shared"}, nil},
		{"a database on a disk that is not mounted", func(b *bench) { b.main["state_db"] = b.at("disk/state/state.db") }, []string{"state-folder"}, nil},
		{"a database that is none", func(b *bench) { b.write("state/state.db", strings.Repeat("no database", 4096)) }, []string{"state"},
			[]string{" run begins a new one"}},
		{"no folder for chunks", func(b *bench) { b.must(os.Remove(b.at("spool"))) }, []string{"basedir"}, nil},
		{"a folder for chunks that is read-only", func(b *bench) {
			if err := unix.Mount("none", b.at("spool"), "tmpfs", unix.MS_RDONLY, ""); err != nil {
				b.Skipf("nothing can be mounted here: %v", err)
			}
			b.Cleanup(func() { unix.Unmount(b.at("spool"), unix.MNT_DETACH) })
		}, []string{"basedir-readonly"}, nil},
		{"a folder for chunks where others may write", func(b *bench) { b.must(os.Chmod(b.at("spool"), 0o777)) }, []string{"basedir-owner"}, nil},
		{"too little space", func(b *bench) {
			b.main["split_size"] = "1T" // or it would be too many chunks
			b.env["ZFS_PATH"] = b.script("zfs", `zfs "$@" | sed 's/^\(referenced.\)[0-9]*$/\14000000000000000/'`)
			b.script("zpool", `exec zpool "$@"`)
		}, []string{"space"}, []string{"3.55 PiB"}},
		{"too many chunks", func(b *bench) {
			b.env["ZFS_PATH"] = b.script("zfs", `zfs "$@" | sed 's/^\(referenced.\)[0-9]*$/\14000000000000000/'`)
			b.script("zpool", `exec zpool "$@"`)
		}, []string{"config-error", "space"}, []string{"4000000000000000 bytes would make 3725290 chunks"}},
	}
}

func putJob(b *bench, used bool) state.Job {
	b.Helper()
	job := state.Job{ID: state.NewJobID(), Dataset: b.dataset, DatasetGUID: b.guid(), Place: b.main["remote"], Used: used}
	b.must(b.store().Update(func(tx *state.Tx) error { return tx.PutJob(job) }))
	return job
}

// putRun stores a run that some events have happened to.
func putRun(b *bench, job string, open bool, events ...workflow.RunEvent) {
	b.Helper()
	r := state.Run{ID: "7k3f", Job: job, DatasetGUID: b.guid(), Config: "/etc/other.ini", Started: time.Now(), Owner: state.Owner{Nonce: nonce()}}
	b.must(b.store().Update(func(tx *state.Tx) error {
		b.must(workflow.RunMachine.Born(tx, &r.State))
		b.must(workflow.BracketMachine.Born(tx, &r.Bracket))
		for _, e := range events {
			b.must(workflow.RunMachine.Fire(tx, &r.State, e))
		}
		if open {
			b.must(workflow.BracketMachine.Fire(tx, &r.Bracket, workflow.BracketOpens))
		}
		return tx.PutRun(r)
	}))
}

func runCases() []noticeCase {
	lock := func(b *bench) state.Lock {
		return state.Lock{DatasetGUID: b.guid(), Dataset: b.dataset, User: "root", Since: time.Now(), Why: "moving pool"}
	}
	return []noticeCase{
		{"an operator's lock", func(b *bench) {
			b.must(b.store().Update(func(tx *state.Tx) error { return workflow.TakeOperatorLock(tx, lock(b)) }))
		}, []string{"locked"}, []string{"moving pool", " unlock"}},
		{"an operator's lock in another database", func(b *bench) {
			b.must(os.Mkdir(b.at("datasets"), 0o700))
			b.must(b.app.Folder.PutNote(lockNotes, b.guid(), "", lock(b)))
		}, []string{"locked"}, []string{"moving pool"}},
		{"the Python tool's lock", func(b *bench) { b.write("spool/_lock", "") }, []string{"lock-file"}, []string{"made 0s ago"}},
		{"a live run", func(b *bench) {
			job := putJob(b, false)
			owner := state.Owner{Nonce: "n", PID: 7, Run: "7k3f", Since: time.Now()}
			live, err := b.app.Folder.Own(b.guid(), owner)
			b.must(err)
			b.Cleanup(func() { live.Close() })
			r := state.Run{ID: "7k3f", Job: job.ID, DatasetGUID: b.guid(), Owner: owner}
			b.must(b.store().Update(func(tx *state.Tx) error {
				b.must(workflow.RunMachine.Born(tx, &r.State))
				return tx.PutRun(r)
			}))
		}, nil, []string{"run 7k3f (pid 7) is at work"}},
		{"a run that failed", func(b *bench) { putRun(b, putJob(b, false).ID, false, workflow.RunStart, workflow.RunFail) },
			[]string{"run-unfinished"}, []string{" is failed", " resume 7k3f"}},
		{"a run whose process is gone", func(b *bench) { putRun(b, putJob(b, false).ID, false, workflow.RunStart) },
			[]string{"run-unfinished"}, []string{" is interrupted"}},
		{"a run that is being given up", func(b *bench) { putRun(b, putJob(b, false).ID, false, workflow.RunGiveUp) },
			[]string{"run-unfinished"}, []string{" abort 7k3f"}},
		{"a stuck run", func(b *bench) { putRun(b, putJob(b, false).ID, false, workflow.RunStart, workflow.RunJam) }, []string{"run-stuck"}, nil},
		{"another job's run", func(b *bench) { putRun(b, state.NewJobID(), false, workflow.RunStart) }, []string{"run-foreign"}, []string{"-c /etc/other.ini"}},
		{"a run that died between its hooks", func(b *bench) { putRun(b, putJob(b, false).ID, true, workflow.RunStart) }, []string{"application-stopped"}, nil},
		{"a run of another database that died between its hooks", func(b *bench) {
			b.must(os.Mkdir(b.at("datasets"), 0o700))
			b.must(b.app.Folder.PutNote("bracket", b.guid(), "9x9x", struct{}{}))
		}, []string{"application-stopped"}, []string{"9x9x"}},
		{"a base whose remote can't be relied on", func(b *bench) {
			zfstest.Run(b, "zfs", "snapshot", b.dataset+"@20260101000000")
			guid := strings.TrimSpace(zfstest.Run(b, "zfs", "get", "-Hp", "-o", "value", "guid", b.dataset+"@20260101000000"))
			zfstest.Run(b, "zfs", "set", "zfs2cloud:snapshot=JOB/RUN/1", b.dataset+"@20260101000000")
			job := putJob(b, false)
			made := time.Now().UTC().Add(-time.Hour)
			backup := state.Backup{Job: job.ID, Name: made.Format("20060102150405") + "-full", Full: true, Created: made, SnapshotGUID: guid, Encryption: "none", Place: job.Place}
			b.must(b.store().Update(func(tx *state.Tx) error {
				b.must(workflow.BackupMachine.Born(tx, &backup.State))
				for _, e := range []workflow.BackupEvent{workflow.BackupExport, workflow.BackupCommit} {
					b.must(workflow.BackupMachine.Fire(tx, &backup.State, e))
				}
				return tx.PutBackup(backup)
			}))
		}, []string{"next"}, []string{"marker"}},
	}
}

func pythonCases() []noticeCase {
	pieces := func(b *bench, sizes ...int) {
		for i, n := range sizes {
			b.write(fmt.Sprintf("spool/20240101000000-full/tank-data@20240101000000.zfs.gpg.%04d", i), strings.Repeat("x", n))
		}
	}
	return []noticeCase{
		{"its snapshots", func(b *bench) {
			zfstest.Run(b, "zfs", "snapshot", b.dataset+"@20240101000000")
			zfstest.Run(b, "zfs", "snapshot", b.dataset+"@before-upgrade")
		}, []string{"python-snapshots"}, []string{"1 snapshot of the Python tool"}},
		{"its folders", func(b *bench) {
			pieces(b, 500, 500, 24)
			b.write("spool/20250101000000/anything", "")
		}, []string{"python-folders"}, []string{"1 folder of the Python tool", "1.00 KiB"}},
		{"a folder written over", func(b *bench) { pieces(b, 500, 24, 500) }, []string{"python-folders", "python-pieces"}, nil},
	}
}
