package actions

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/actions/zfs/zfstest"
	"zfs2cloud/state"
	"zfs2cloud/workflow"
)

// What was taken over is ours only with the mark on the snapshot itself and its GUID on record. Each alone, and the mark of
// another job, is worth nothing; what bears no mark, or only that, may be taken over.
func TestAdoptedIsOurs(t *testing.T) {
	t.Parallel()
	pool := zfstest.Pool(t, 96)
	dataset := pool + "/data"
	zfstest.Run(t, "zfs", "create", dataset)
	mine, theirs := adoptedMark(oneJob).String(), adoptedMark(anotherJob).String()
	marks := map[string]string{"20240101000000": mine, "20240102000000": mine, "20240103000000": "", "20240104000000": theirs, "20240105000000": "",
		"20240106000000": mark{oneJob, "r1", 1}.String(), "daily": "", "20241399000000": ""}
	for name, mark := range marks {
		zfstest.Run(t, "zfs", "snapshot", dataset+"@"+name)
		if mark != "" {
			zfstest.Run(t, "zfs", "set", zfs.Property+"="+mark, dataset+"@"+name)
		}
	}
	ours, free := []string{"20240101000000"}, []string{"20240102000000", "20240103000000", "20240105000000"}
	look := func() {
		t.Helper()
		d, err := zfs.ParseDataset(dataset)
		if err != nil {
			t.Fatal(err)
		}
		snapshots, err := zfs.Program{World: &proc.World{}, Words: []string{"zfs"}}.Snapshots(t.Context(), d)
		if err != nil || len(snapshots) != len(marks) {
			t.Fatal(snapshots, err)
		}
		h := holdings{job: state.Job{ID: oneJob}}
		for _, s := range snapshots {
			switch s.Snapshot.Name() {
			case "20240101000000", "20240105000000": // the second of them lost its mark again
				h.adopted = append(h.adopted, state.Adopted{GUID: s.GUID.String()})
			case "20240102000000": // was destroyed, and made again under its name
				h.adopted = append(h.adopted, state.Adopted{GUID: "1", Snapshot: s.Snapshot.Name()})
			}
		}
		for _, s := range snapshots {
			name := s.Snapshot.Name()
			if h.isOurs(s) != slices.Contains(ours, name) || h.isPythons(s) != slices.Contains(free, name) {
				t.Errorf("%s: ours %v, the Python tool's %v", name, h.isOurs(s), h.isPythons(s))
			}
		}
	}
	look()
	// What the dataset says is no mark of its snapshots.
	zfstest.Run(t, "zfs", "set", zfs.Property+"="+mine, dataset)
	look()
}

// Of what was taken over ZFS tells the age: the name is local time.
func TestAdoptedAge(t *testing.T) {
	s := snapshotNamed(t, "20261102120000", 7, 150)
	s.Creation = at("20261102150000")
	b := backupIn(t, state.Backup{Name: "20261102130000-full", Full: true, SnapshotGUID: "gone"}, toCommitted...)
	h := holdings{backups: []state.Backup{b}, strategy: settings.SinceLastFull}
	if why := h.keepSnapshot(s, nil); why != "" {
		t.Errorf("by its name, it is older than the backup: %s", why)
	}
	h.adopted = []state.Adopted{{GUID: s.GUID.String()}}
	if why := h.keepSnapshot(s, nil); why == "" {
		t.Error("a snapshot that was made after the last backup would go")
	}
	if now := at("20261103140000"); h.oldEnough(s, now, 1) || !h.oldEnough(s, now.Add(61*time.Minute), 1) {
		t.Error("its age is not that since ZFS made it")
	}
}

// A folder that was taken over goes only where a full of our own that is newer can be restored, and no incremental hangs on it
// that stays.
func TestKeepAdopted(t *testing.T) {
	full := backupIn(t, state.Backup{Name: "20260201000000-full", Full: true, Job: oneJob}, toCommitted...)
	half := backupIn(t, state.Backup{Name: "20260201000000-full", Full: true, Job: oneJob}, workflow.BackupExport)
	gone := backupIn(t, state.Backup{Name: "20260201000000-full", Full: true, Job: oneJob}, expired...)
	incr := backupIn(t, state.Backup{Name: "20260202000000", Base: &state.Base{Name: "20260201000000-full"}, Job: oneJob}, toCommitted...)
	second := backupIn(t, state.Backup{Name: "20260301000000-full", Full: true, Job: oneJob}, toCommitted...)
	python := func(name string, made string) (state.Foreign, PythonFolder) {
		return state.Foreign{Job: oneJob, Name: name, Folder: &state.AdoptedFolder{Made: at(made), Prefix: "p"}},
			PythonFolder{Name: name, Prefix: "p", Pieces: 1, claims: []string{oneJob}}
	}
	base, baseThere := python("20260101000000-full", "20260101003000")
	hanging, hangingThere := python("20260102000000", "20260102000000")
	late, lateThere := python("20260102000000", "20260201000001")
	unclaimed := hangingThere
	unclaimed.claims = nil
	_, next := python("20260103000000-full", "20260103000000")
	for _, c := range []struct {
		name    string
		backups []state.Backup
		of      state.Foreign
		others  []state.Foreign
		there   []PythonFolder
		inPlace bool
		keep    settings.Keep
		stays   bool
	}{
		{"no backup of ours", nil, base, nil, nil, false, settings.Keep{}, true},
		{"a full since", []state.Backup{full}, base, nil, nil, false, settings.Keep{}, false},
		{"a full of the same second", []state.Backup{full}, func() state.Foreign { f, _ := python("20260201000000", "20260201000000"); return f }(), nil, nil, false, settings.Keep{}, false},
		{"a full before", []state.Backup{full}, late, nil, nil, false, settings.Keep{}, true},
		{"a full that is not committed", []state.Backup{half}, base, nil, nil, false, settings.Keep{}, true},
		{"a full that is gone", []state.Backup{gone, incr}, base, nil, nil, false, settings.Keep{}, true},
		{"a full that was found bad", spoiled([]state.Backup{full, incr}, 0), base, nil, nil, false, settings.Keep{}, true},
		{"an incremental that goes too", []state.Backup{full}, base, []state.Foreign{hanging}, []PythonFolder{baseThere, hangingThere}, false, settings.Keep{}, false},
		{"an incremental that is newer", []state.Backup{full}, base, []state.Foreign{late}, []PythonFolder{baseThere, lateThere}, false, settings.Keep{}, true},
		{"an incremental that was not taken over", []state.Backup{full}, base, nil, []PythonFolder{baseThere, unclaimed}, false, settings.Keep{}, true},
		{"an incremental of another full", []state.Backup{full}, base, []state.Foreign{late}, []PythonFolder{baseThere, next, {Name: "20260104000000", Prefix: "p"}}, false, settings.Keep{}, false},
		{"an incremental behind another dataset's full", []state.Backup{full}, base, []state.Foreign{late}, []PythonFolder{baseThere, {Name: "20260101120000-full", Prefix: "q@1"}, lateThere}, false, settings.Keep{}, true},
		{"an incremental of another dataset", []state.Backup{full}, base, nil, []PythonFolder{baseThere, {Name: "20260102000000", Prefix: "q@2"}}, false, settings.Keep{}, false},
		{"an incremental in one folder with another dataset's", []state.Backup{full}, base, nil, []PythonFolder{baseThere, {Name: "20260102000000", Prefix: "o@2", others: []string{"p@2.zfs.gpg.0000"}}}, false, settings.Keep{}, true},
		{"limits hold on the remote alone", []state.Backup{full}, base, nil, nil, false, settings.Keep{Fulls: 2, Days: 400}, false},
		{"in place: as many fulls", []state.Backup{full, second}, base, nil, nil, true, settings.Keep{Fulls: 2}, false},
		{"in place: fewer fulls", []state.Backup{full}, base, nil, nil, true, settings.Keep{Fulls: 2}, true},
		{"in place: not old enough", []state.Backup{full}, base, nil, nil, true, settings.Keep{Days: 400}, true},
	} {
		h := holdings{job: state.Job{ID: oneJob}, backups: c.backups, foreign: append(c.others, c.of), strategy: settings.SinceLastFull}
		if why := h.keepAdopted(c.of, c.there, c.inPlace, c.keep, at("20260401000000")); (why != "") != c.stays {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}

// Only a folder with nothing in it but the pieces of this dataset's snapshot can be taken over.
func TestPythonFolders(t *testing.T) {
	dir := t.TempDir()
	put := func(folder string, files ...string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if err := os.WriteFile(filepath.Join(dir, folder, file), []byte("piece"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	piece := func(of string) string { return of + ".zfs.gpg.0000" }
	put("20240101000000-full", piece("tank-data@20240101000000"), "tank-data@20240101000000.zfs.gpg.0001")
	put("20240102000000", piece("tank-data@20240102000000"), "zfs2cloud-job-"+oneJob)
	put("20240103000000", piece("tank-www@20240103000000"))
	put("20240104000000", piece("tank-data@20240103000000"))
	put("20240105000000", piece("tank-data@20240105000000"), "a")
	put("20240106000000", piece("tank-data@20240106000000"), "zfs2cloud-job-"+anotherJob)
	put("20240107000000", piece("tank-data@20240107000000"), piece("tank-data@20240108000000"))
	put("20240108000000")
	put("elsewhere", piece("tank-data@20240109000000"))
	if err := os.Symlink("elsewhere", filepath.Join(dir, "20240109000000")); err != nil {
		t.Fatal(err)
	}
	folders, err := PythonFolders(dir)
	if err != nil || len(folders) != 7 {
		t.Fatal(folders, err)
	}
	var free []string
	for _, f := range folders {
		if f.keep(dir, "tank/data", []string{"tank", "tank/data"}, oneJob) == "" {
			free = append(free, f.Name)
		}
		if why := f.keep(dir, "tank/data", []string{"tank/data", "tank-data"}, oneJob); why == "" {
			t.Errorf("%s may be another dataset's", f.Name)
		}
	}
	if !slices.Equal(free, []string{"20240101000000-full", "20240102000000"}) || folders[0].Pieces != 2 || folders[0].Bytes != 10 {
		t.Errorf("%q %+v", free, folders[0])
	}
}
