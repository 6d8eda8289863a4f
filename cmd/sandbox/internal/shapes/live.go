package shapes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"zfs2cloud/cmd/sandbox/internal/host"
	"zfs2cloud/cmd/sandbox/internal/tree"
)

// What the guest says of a shape begins with one of these words, and goes on with its name and, after a blank, what was
// seen.
const (
	Passed = "shape passed: "
	Failed = "shape failed: "
)

// Count is how many shapes there are.
var Count = len(shapes)

const home = "/shapes"

type guest struct{ *host.Host }

// Live tries all of them whose name has that word in it, two at a time, and says of each how it ended.
func Live(ctx context.Context, log io.Writer, word string) error {
	g := &guest{&host.Host{Log: log, Home: "/root"}}
	if err := g.sh(ctx, pools); err != nil {
		return err
	}
	turn, all := make(chan struct{}, 2), sync.WaitGroup{}
	for _, s := range shapes {
		if !strings.Contains(s.name, word) {
			continue
		}
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			began := time.Now()
			text, err := g.try(ctx, s)
			if err != nil {
				fmt.Printf(Failed+"%s %s\n", s.name, strings.ReplaceAll(err.Error(), "\n", " / "))
				return
			}
			fmt.Printf(Passed+"%s %s, %.0fs\n", s.name, text, time.Since(began).Seconds())
		})
	}
	all.Wait()
	// Nothing of a drill stays.
	return errors.Join(ctx.Err(), g.sh(ctx, `if zfs list -H -o name -t all | grep zfs2cloud-verify; then exit 1; fi`))
}

// pools has one with all features and one with none.
const pools = `
mkdir -m 755 /shapes
head -c 32 /dev/urandom >/shapes/key
truncate -s 4G /shapes/tank.pool /shapes/old.pool
zpool create -o ashift=12 -m /tank tank /shapes/tank.pool
zpool create -d -m /old old /shapes/old.pool
mkdir -m 700 /shapes/home
chown 1000:1000 /shapes/home
echo 'z2c:x:1000:1000::/shapes/home:/bin/sh' >>/etc/passwd
echo 'z2c:x:1000:' >>/etc/group`

// try is one shape from its making to its comparison.
func (g *guest) try(ctx context.Context, s shape) (string, error) {
	t := &trial{guest: g, shape: s, dir: filepath.Join(home, s.name)}
	if t.pool == "" {
		t.pool = "tank"
	}
	t.dataset = t.pool + "/" + s.name
	type step struct {
		doing string
		do    func(context.Context) error
	}
	steps := []step{{"make", t.make}, {"full", t.full}, {"change", t.changed}, {"incremental", t.incremental}}
	if t.days > 0 {
		steps = append(steps, step{"prune", t.pruned}, step{"change", t.changed}, step{"incremental", t.incremental})
	}
	steps = append(steps, step{"restore", t.restore}, step{"compare", t.compare}, step{"drill", t.drill})
	if t.days > 0 {
		steps = append(steps, step{"full", t.anew})
	}
	for _, step := range steps {
		if err := step.do(ctx); err != nil {
			return "", fmt.Errorf("%s: %w", step.doing, err)
		}
	}
	return t.said, nil
}

// trial is a shape that is tried.
type trial struct {
	*guest
	shape
	dataset  string
	restored string
	dir      string
	stamps   []string // of the backups
	said     string
}

// sh runs a script with this shape's names in it.
func (t *trial) sh(ctx context.Context, script string) error {
	return t.guest.sh(ctx, strings.NewReplacer(
		"DATASET", t.dataset, "RESTORED", t.restored, "DIR", "/"+t.dataset, "DEVICE", "/dev/zvol/"+t.dataset).Replace(script))
}

func (g *guest) sh(ctx context.Context, script string) error {
	if script == "" {
		return nil
	}
	return g.Do(ctx, host.Command{Argv: []string{"sh", "-ec", script}})
}

func (t *trial) make(ctx context.Context) error {
	create := "zfs create " + t.options + " DATASET"
	if t.options == "-" {
		create = ""
	}
	if err := errors.Join(t.sh(ctx, t.before), t.sh(ctx, create)); err != nil {
		return err
	}
	if err := t.write(ctx, t.shape.fill, fill); err != nil {
		return err
	}
	return t.configure(ctx)
}

// write changes the dataset as it can be changed.
func (t *trial) write(ctx context.Context, script string, usual func(dir string) error) error {
	if t.volume {
		script = "udevadm settle; " + script + "; sync"
	}
	if err := t.sh(ctx, t.open); err != nil {
		return err
	}
	if !t.volume && !t.bare {
		if err := usual("/" + t.dataset); err != nil {
			return err
		}
	}
	return errors.Join(t.sh(ctx, script), t.sh(ctx, t.shut))
}

// configure writes the config, for whoever is to use it.
func (t *trial) configure(ctx context.Context) error {
	for _, dir := range []string{t.dir, t.dir + "/spool", t.dir + "/remote"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("[main]\nzfs_fs = %s\nintermediate_basedir = %s/spool\nremote = %s/remote\nencryption = none\nsplit_size = 4M\nstate_db = %s/state.db\n",
		t.dataset, t.dir, t.dir, t.dir)
	if t.flags != "" {
		text += "zfs_send_flags = " + t.flags + "\n"
	}
	if t.days > 0 {
		text += "full_every_x_days = 1\noldest_snapshot_days = 2\n[backup-sequences]\n" +
			"1 = snapshot\n2 = export-intermediate -i\n3 = prune-snapshots -y\n4 = upload-intermediate-to-remote\n"
	}
	if err := os.WriteFile(t.config(), []byte(text), 0o600); err != nil || t.user == "" {
		return err
	}
	return t.sh(ctx, "chown -R 1000:1000 "+t.dir+"; zfs allow z2c "+t.user+" DATASET")
}

func (t *trial) config() string { return t.dir + "/config.ini" }

// product runs zfs2cloud.
func (t *trial) product(ctx context.Context, out io.Writer, args ...string) error {
	argv := append([]string{"/guest/zfs2cloud", "-c", t.config()}, args...)
	if t.user != "" {
		argv = append([]string{"setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--reset-env"}, argv...)
	}
	return t.Do(ctx, host.Command{Argv: argv, Stdout: out})
}

func (t *trial) full(ctx context.Context) error { return t.run(ctx, true) }

func (t *trial) changed(ctx context.Context) error {
	if t.days > 0 {
		if err := t.sh(ctx, fmt.Sprintf("date -s '%d days'", t.days)); err != nil {
			return err
		}
	}
	return t.write(ctx, t.shape.change, change)
}

// pruned looks whether a bookmark stands for the full's snapshot, which is gone.
func (t *trial) pruned(ctx context.Context) error {
	return t.sh(ctx, "if zfs list DATASET@"+t.stamps[0]+"; then exit 1; fi; zfs list -H -t bookmark -d 1 -o name DATASET | grep ':"+t.stamps[0]+"$'")
}

// anew begins another chain: then no bookmark is needed.
func (t *trial) anew(ctx context.Context) error {
	for _, step := range [][]string{{"snapshot"}, {"export-intermediate", "-f"}, {"upload-intermediate-to-remote"}, {"prune-snapshots", "-y"}} {
		if err := t.product(ctx, nil, append([]string{"-v"}, step...)...); err != nil {
			return err
		}
	}
	return t.sh(ctx, `[ -z "$(zfs list -H -t bookmark -d 1 DATASET)" ]`)
}

func (t *trial) incremental(ctx context.Context) error { return t.run(ctx, false) }

// status is what status --json says, as far as it is looked at here.
type status struct {
	Error   *string
	Backups []struct {
		Name, State string
		Base        *string
		Bytes       int64
	}
}

// status asks until it is told: a reader of the database gives up after 700 ms, which a busy guest may take.
func (t *trial) status(ctx context.Context) (s status, err error) {
	for range 10 {
		var out strings.Builder
		if err := t.product(ctx, &out, "status", "--json"); err != nil {
			return s, err
		}
		s = status{}
		if err := json.Unmarshal([]byte(out.String()), &s); err != nil {
			return s, fmt.Errorf("status --json: %w", err)
		}
		if s.Error == nil {
			return s, nil
		}
	}
	return s, fmt.Errorf("status --json: %s", *s.Error)
}

// run backs up, and looks what came of it.
func (t *trial) run(ctx context.Context, full bool) error {
	if err := t.product(ctx, nil, "-v", "run"); err != nil {
		return err
	}
	s, err := t.status(ctx)
	if err != nil {
		return err
	}
	if len(s.Backups) != len(t.stamps)+1 {
		return fmt.Errorf("%d backups after run %d", len(s.Backups), len(t.stamps)+1)
	}
	for _, b := range s.Backups { // the newest is the one that is not known yet
		stamp := strings.TrimSuffix(b.Name, "-full")
		if slices.Contains(t.stamps, stamp) {
			continue
		}
		if b.State != "committed" || (b.Base == nil) != full {
			return fmt.Errorf("backup %s is %s, full %v", b.Name, b.State, b.Base == nil)
		}
		t.stamps = append(t.stamps, stamp)
		t.said += fmt.Sprintf("%s %d bytes, ", map[bool]string{true: "full", false: "incremental"}[full], b.Bytes)
	}
	return nil
}

func (t *trial) restore(ctx context.Context) error {
	t.restored = t.pool + "/r-" + t.name
	user := t.user
	if t.user = ""; user != "" { // to make a dataset is root's
		if err := t.sh(ctx, "chown -R 0:0 "+t.dir); err != nil {
			return err
		}
	}
	return t.product(ctx, nil, "-v", "restore", "-y", t.restored)
}

// compare compares each snapshot, and what must hold beside.
func (t *trial) compare(ctx context.Context) error {
	if err := t.sh(ctx, t.look); err != nil {
		return err
	}
	n := 0
	stamps := t.stamps
	if t.days > 0 {
		stamps = stamps[len(stamps)-1:] // the others were past their days
	}
	for _, stamp := range stamps {
		if t.volume {
			pair := "/dev/zvol/" + t.dataset + "@" + stamp + " /dev/zvol/" + t.restored + "@" + stamp
			if err := t.sh(ctx, "zfs set snapdev=visible RESTORED; udevadm settle; cmp "+pair); err != nil {
				return err
			}
			continue
		}
		was, err := t.scan(ctx, t.dataset+"@"+stamp)
		if err != nil {
			return err
		}
		is, err := t.scan(ctx, t.restored+"@"+stamp)
		if err != nil {
			return err
		}
		if d := was.Diff(is); len(d) > 0 {
			return fmt.Errorf("@%s: %d differences, first %s", stamp, len(d), d[0])
		}
		n, _ = is.Files()
	}
	if !t.volume {
		if n == 0 {
			return errors.New("nothing was compared")
		}
		t.said += fmt.Sprintf("%d files ", n)
	}
	t.said += "equal"
	return t.sh(ctx, t.after)
}

// drill has each backup received once more, looked through and sent again.
func (t *trial) drill(ctx context.Context) error {
	var out strings.Builder
	if err := t.product(ctx, &out, "-v", "verify", "--level", "received", "--all"); err != nil {
		return err
	}
	for _, stamp := range t.stamps {
		if !regexp.MustCompile(`(?m)^ok +` + stamp + `(-full)? +received: `).MatchString(out.String()) {
			return fmt.Errorf("%s was not seen to be right: %s", stamp, out.String())
		}
	}
	t.said += ", drilled"
	return nil
}

// scan mounts a snapshot and reads it.
func (t *trial) scan(ctx context.Context, snapshot string) (tree.Tree, error) {
	dir := t.dir + "/look"
	if err := t.sh(ctx, "mkdir -p "+dir+"; mount -t zfs "+snapshot+" "+dir); err != nil {
		return nil, err
	}
	found, err := tree.Scan(dir)
	return found, errors.Join(err, t.sh(ctx, "umount "+dir))
}
