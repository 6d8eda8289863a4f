package state

import "time"

// Foreign is what is known of a backup that the Python tool made. It is no Backup: it has no manifest, no machine moves it,
// and nothing is ever based on it.
type Foreign struct {
	Job  string `json:"job"`
	Name string `json:"name"` // its folder: STAMP or STAMP-full

	// Pieces, Bytes and the GUIDs are those of its message when it last was proved from its beginning to its end; zero: it
	// never was. Base is zero in a full.
	Pieces       int    `json:"pieces,omitempty"`
	Bytes        int64  `json:"bytes,omitempty"` // of the pieces
	SnapshotGUID string `json:"snapshot_guid,omitempty"`
	BaseGUID     string `json:"base_guid,omitempty"`
	// Verified is what the last verification at each level found.
	Verified map[string]Finding `json:"verified,omitempty"`

	// Folder is its folder in intermediate_basedir, once that was taken over.
	Folder *AdoptedFolder `json:"folder,omitempty"`
}

// AdoptedFolder is a folder of the Python tool in intermediate_basedir that was taken over.
type AdoptedFolder struct {
	Dir string    `json:"dir"` // intermediate_basedir
	Run string    `json:"run"` // that took it over
	At  time.Time `json:"at"`
	// Made is the latest that what it holds can have been made, in whole seconds: by its name, or by its files' times.
	Made   time.Time `json:"made"`
	Prefix string    `json:"prefix"` // of its pieces' names, before the number
	Pieces int       `json:"pieces"`
	Bytes  int64     `json:"bytes"`
	// Going: its removal has begun; once a piece is gone it is only ever finished.
	Going bool `json:"going,omitempty"`
}

// Adopted is a snapshot of the Python tool that was taken over: it is known by its GUID, as one of our own is by its run.
type Adopted struct {
	Job      string    `json:"job"`
	Snapshot string    `json:"snapshot"` // the part after @
	GUID     string    `json:"guid"`     // decimal
	Run      string    `json:"run"`      // that took it over
	At       time.Time `json:"at"`
	Used     int64     `json:"used"` // bytes that nothing else held then
}

// Left is what was last seen of the Python tool's that nobody has taken over.
type Left struct {
	Snapshots     int       `json:"snapshots"`
	SnapshotBytes int64     `json:"snapshot_bytes"` // that nothing else holds
	Folders       int       `json:"folders"`
	FolderBytes   int64     `json:"folder_bytes"`
	At            time.Time `json:"at"`
}

// Foreign returns what is known of a backup of the Python tool.
func (tx *Tx) Foreign(job, name string) (Foreign, bool, error) {
	return Get[Foreign](tx, BucketForeign, backupKey(job, name))
}

// PutForeign stores what is known of a backup of the Python tool.
func (tx *Tx) PutForeign(f Foreign) error { return Put(tx, BucketForeign, backupKey(f.Job, f.Name), f) }

// Foreigns lists what is known of the Python tool's backups, of a job or, if it is empty, of all jobs: by job and name, the
// oldest first.
func (tx *Tx) Foreigns(job string) ([]Foreign, error) {
	return values[Foreign](tx, BucketForeign, jobPrefix(job))
}

// DropForeign forgets a backup of the Python tool.
func (tx *Tx) DropForeign(job, name string) error {
	return Delete(tx, BucketForeign, backupKey(job, name))
}

// PutAdopted stores that a snapshot was taken over.
func (tx *Tx) PutAdopted(a Adopted) error {
	return Put(tx, BucketAdopted, adoptedKey(a.Job, a.GUID), a)
}

// DropAdopted forgets a snapshot that was taken over, and is gone. It need not be on record.
func (tx *Tx) DropAdopted(job, guid string) error {
	return Delete(tx, BucketAdopted, adoptedKey(job, guid))
}

// AdoptedBy lists the snapshots that a job has taken over.
func (tx *Tx) AdoptedBy(job string) ([]Adopted, error) {
	return values[Adopted](tx, BucketAdopted, jobPrefix(job))
}

func adoptedKey(job, guid string) string { return job + "/" + guid }
