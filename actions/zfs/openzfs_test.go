package zfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/zfs"
)

// openZFS is a stand-in for what OpenZFS 2.1 says where zfs-fuse says something else, or nothing: its texts,
// from cmd/zfs/zfs_main.c and lib/libzfs. Each call is appended to the file "calls" beside it.
const openZFS = `#!/bin/sh
echo "$*" >>"${0%/*}/calls"
say() { printf '%s\n' "$2" >&2; exit "$1"; }
case "$*" in
version) printf 'zfs-2.1.11-1\nzfs-kmod-2.1.11-1\n' ;;
'holds -H tank/a@s') printf 'tank/a@s\tzfs2cloud:run\tWed Nov 25  3:52 2026\ntank/a@s\tother tag\tWed Nov 25  3:52 2026\n' ;;
'destroy tank/a@gone') say 1 'could not find any snapshots to destroy; check snapshot names.' ;;
'destroy tank/a@held') say 1 'cannot destroy snapshot tank/a@held: dataset is busy' ;;
'destroy tank/a@held22') say 1 "cannot destroy snapshot tank/a@held22: it's being held. Run 'zfs holds -r tank/a@held22' to see holders." ;;
'destroy tank/a@cloned') say 1 'cannot destroy snapshot tank/a@cloned: snapshot is cloned' ;;
'destroy tank/a@theirs') say 1 'cannot destroy snapshots: permission denied' ;;
'hold t tank/a@s') say 1 "cannot hold snapshot 'tank/a@s': tag already exists on this dataset" ;;
'release t tank/a@s') say 1 "cannot release hold from snapshot 'tank/a@s': no such tag on this dataset" ;;
'send -nP -c -i tank/a@s tank/a@s2') printf 'incremental\ts\ttank/a@s2\t12345\nsize\t12345\n' ;;
send) say 2 'missing snapshot argument
usage:
	send [-DnPpRvLec] [-[i|I] snapshot] <snapshot>
	send [-nvPLecw] [-i snapshot|bookmark] <filesystem|volume|snapshot>' ;;
receive) say 2 'missing snapshot argument
usage:
	receive [-vMnsFhu] [-o <property>=<value>] ... [-x <property>] ...
	    <filesystem|volume|snapshot>
	receive -A <filesystem|volume>' ;;
'get -Hp -o value receive_resume_token tank/half') echo 1-abc-d0-789c ;;
'get -Hp -o value receive_resume_token tank/whole') echo - ;;
receive*) exec cat >/dev/null ;;
'get '*) say 1 'The ZFS modules are not loaded.
Try running '"'/sbin/modprobe zfs'"' as root to load them.' ;;
*) say 2 "unrecognized command '$1'" ;;
esac
`

// standIn is the stand-in, and a function that tells with what it was called.
func standIn(t *testing.T, script string) (zfs.Program, func() []string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"zfs": script, "zpool": "#!/bin/sh\nexit 0\n"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700))
	}
	p := zfs.Program{World: &proc.World{}, Words: []string{"env", filepath.Join(dir, "zfs")}}
	return p, func() []string {
		calls, err := os.ReadFile(filepath.Join(dir, "calls"))
		must(t, err)
		return strings.Split(strings.TrimSpace(string(calls)), "\n")
	}
}

func TestOpenZFSErrors(t *testing.T) {
	t.Parallel()
	p, _ := standIn(t, openZFS)
	ctx := t.Context()
	a := dataset(t, "tank/a")
	for name, kind := range map[string]error{
		"gone": zfs.ErrNoSnapshot, "held": zfs.ErrBusy, "held22": zfs.ErrBusy,
		"cloned": zfs.ErrClones, "theirs": zfs.ErrPermission,
	} {
		wants(t, p.Destroy(ctx, snapshot(t, a, name)), kind)
	}
	wants(t, p.Hold(ctx, "t", snapshot(t, a, "s")), zfs.ErrHeld)
	wants(t, p.Release(ctx, "t", snapshot(t, a, "s")), zfs.ErrNoHold)
	_, err := p.Info(ctx, a)
	wants(t, err, zfs.ErrNoZFS)
}

func TestOpenZFSAnswers(t *testing.T) {
	t.Parallel()
	p, _ := standIn(t, openZFS)
	ctx := t.Context()
	s := snapshot(t, dataset(t, "tank/a"), "s")
	if version, err := p.Version(ctx); err != nil || version != "zfs-2.1.11-1" {
		t.Errorf("%q, %v", version, err)
	}
	if tags, err := p.Holds(ctx, s); err != nil || !slices.Equal(tags, []string{"zfs2cloud:run", "other tag"}) {
		t.Errorf("%q, %v", tags, err)
	}
	args := zfs.SendArgs{Snapshot: snapshot(t, s.Dataset(), "s2"), Base: &s, Flags: []string{"-c"}}
	if size, ok := p.Estimate(ctx, args); !ok || size != 12345 {
		t.Errorf("%d, %v", size, ok)
	}
	args.Flags = nil // to this the stand-in has no answer
	if size, ok := p.Estimate(ctx, args); ok {
		t.Errorf("an estimate from nowhere: %d", size)
	}
}

// What a ZFS that encrypts says, and what that lets zfs send have; one that does not say it encrypts nothing.
func TestEncryption(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		says, sends string // of no flag, -p, -w and both
	}{
		{`printf 'encryption\toff\nkeystatus\t-\n'`, "yes yes yes yes"},
		{`printf 'encryption\taes-256-gcm\nkeystatus\tavailable\n'`, "yes no yes yes"},
		{`printf 'encryption\taes-256-gcm\nkeystatus\tunavailable\n'`, "no no yes yes"},
		{`echo "bad property list: invalid property 'encryption'" >&2; exit 2`, "yes yes yes yes"},
	} {
		p, _ := standIn(t, "#!/bin/sh\n"+c.says+"\n")
		e, err := p.Encryption(t.Context(), dataset(t, "tank/a"))
		must(t, err)
		var sends []string
		for _, flags := range [][]string{nil, {"-p"}, {"-w"}, {"-p", "-w"}} {
			sends = append(sends, map[bool]string{true: "yes", false: "no"}[e.Sends(flags)])
		}
		if got := strings.Join(sends, " "); got != c.sends {
			t.Errorf("%s: %s, not %s", c.says, got, c.sends)
		}
	}
	p, _ := standIn(t, openZFS)
	_, err := p.Encryption(t.Context(), dataset(t, "tank/a"))
	wants(t, err, zfs.ErrNoZFS)
}

func TestSendLacks(t *testing.T) {
	t.Parallel()
	p, _ := standIn(t, openZFS)
	lacks, err := p.SendLacks(t.Context(), []string{"-c", "-w", "-L"})
	must(t, err)
	if !slices.Equal(lacks, []string{"-w"}) {
		t.Errorf("lacks %q", lacks)
	}
	p, _ = standIn(t, "#!/bin/sh\necho no such library >&2; exit 1\n")
	_, err = p.SendLacks(t.Context(), []string{"-c"})
	if err == nil || !strings.Contains(err.Error(), "no such library") {
		t.Errorf("error %v", err)
	}
}

func TestOpenZFSReceivesWithoutForeignProperties(t *testing.T) {
	t.Parallel()
	for args, want := range map[zfs.ReceiveArgs]string{
		{}:                              "receive -u -o readonly=on -o canmount=noauto -x mountpoint -x sharenfs -x sharesmb tank/r",
		{Increment: true}:               "receive -u -o canmount=noauto -x mountpoint -x sharenfs -x sharesmb tank/r",
		{Volume: true}:                  "receive -u -o readonly=on tank/r",
		{Volume: true, Increment: true}: "receive -u tank/r",
		{Scratch: true, Volume: true}:   "receive -u -o readonly=on -o volmode=none -o refreservation=none tank/r",
		{Scratch: true, Volume: true, Increment: true}: "receive -u -F tank/r",
		{Scratch: true, Increment: true}:               "receive -u -o canmount=noauto -x mountpoint -x sharenfs -x sharesmb -F tank/r",
		{Keep: true}:                                   "receive -u -s -o readonly=on -o canmount=noauto -x mountpoint -x sharenfs -x sharesmb tank/r",
	} {
		p, calls := standIn(t, openZFS)
		must(t, p.Receive(t.Context(), strings.NewReader("x"), dataset(t, "tank/r"), args))
		if got := calls(); got[len(got)-1] != want {
			t.Errorf("called: %q", got)
		}
	}
}

// Whether a receive can be gone on with is asked of the program and of the pool.
func TestReceiveCanBeKept(t *testing.T) {
	t.Parallel()
	d := dataset(t, "tank/half")
	for value, want := range map[string]bool{"active": true, "enabled": true, "disabled": false, "-": false} {
		p, _ := standIn(t, openZFS)
		zpool := "#!/bin/sh\n[ \"$*\" = 'get feature@extensible_dataset tank' ] && printf 'NAME PROPERTY VALUE SOURCE\\ntank feature@extensible_dataset " + value + " local\\n'\n"
		must(t, os.WriteFile(filepath.Join(filepath.Dir(p.Words[1]), "zpool"), []byte(zpool), 0o700))
		if can, err := p.CanKeep(t.Context(), d); err != nil || can != want {
			t.Errorf("%s: %v, %v", value, can, err)
		}
	}
	old, calls := standIn(t, strings.Replace(openZFS, "receive -A <filesystem|volume>", "", 1))
	if can, err := old.CanKeep(t.Context(), d); err != nil || can || len(calls()) != 1 {
		t.Errorf("without the command: %v, %v", can, err)
	}
	p, calls := standIn(t, openZFS)
	for name, want := range map[string]string{"tank/half": "1-abc-d0-789c", "tank/whole": ""} {
		if token, err := p.Partial(t.Context(), dataset(t, name)); err != nil || token != want {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
	must(t, p.DropPartial(t.Context(), d))
	if got := calls(); got[len(got)-1] != "receive -A tank/half" {
		t.Errorf("called: %q", got)
	}
}

// If zfs can't say what it can do, nothing is received: without its guards it might be mounted.
func TestNothingIsReceivedInDoubt(t *testing.T) {
	t.Parallel()
	p, calls := standIn(t, strings.Replace(openZFS, "receive) say 2", "receive) say 1", 1))
	err := p.Receive(t.Context(), strings.NewReader("x"), dataset(t, "tank/r"), zfs.ReceiveArgs{})
	var e *zfs.Error
	if !errors.As(err, &e) || len(calls()) != 1 {
		t.Errorf("%v, called: %q", err, calls())
	}
}

// A user property may hold what looks like lines of other snapshots.
func TestForgedLinesAreRefused(t *testing.T) {
	t.Parallel()
	whole := "tank/a@s\tguid\t1\t-\ntank/a@s\tcreation\t2\t-\ntank/a@s\tcreatetxg\t3\t-\ntank/a@s\tuserrefs\t0\t-\n" +
		"tank/a@s\tused\t0\t-\ntank/a@s\treferenced\t5\t-\ntank/a@s\tzfs2cloud:snapshot\tj/r/1\treceived\n"
	answers := func(text string) zfs.Program {
		p, _ := standIn(t, "#!/bin/sh\ncat <<'E'\n"+text+"E\n")
		return p
	}
	got, err := answers(whole).Snapshots(t.Context(), dataset(t, "tank/a"))
	if err != nil || len(got) != 1 || got[0].GUID != 1 || got[0].Referenced != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	if mark, ours := got[0].Mark(); ours || mark != "j/r/1" {
		t.Errorf("mark %q, %v: a received mark marks nothing", mark, ours)
	}
	for name, text := range map[string]string{
		"a second value":   whole + "tank/a@s\tzfs2cloud:snapshot\tj/r/2\tlocal\n",
		"a line too short": whole + "tank/a@s\n",
		"no GUID":          whole + "tank/a@s2\tzfs2cloud:snapshot\tj/r/2\tlocal\n",
		"a bad number":     strings.Replace(whole, "\t3\t", "\t3x\t", 1),
	} {
		if got, err := answers(text).Snapshots(t.Context(), dataset(t, "tank/a")); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestGUIDInJSONIsAString(t *testing.T) {
	var g zfs.GUID
	must(t, g.UnmarshalText([]byte("18446744073709551615")))
	if text, err := g.MarshalText(); err != nil || string(text) != "18446744073709551615" {
		t.Errorf("%s, %v", text, err)
	}
	if g.UnmarshalText([]byte("-1")) == nil {
		t.Error("-1 is no GUID")
	}
}
