package state

import "time"

// Restore is what a run that restores makes, and from what. But for what comes of it, it is frozen as Frozen is.
type Restore struct {
	From Source `json:"from"`
	// Into is the new dataset. For streams it is the folder, absolute, that they are written into; for files the scratch
	// dataset that they are copied from.
	Into string `json:"into"`
	// Streams says that what comes out of the chunks is written to files.
	Streams bool `json:"streams,omitempty"`
	// Files is what is copied out of the newest backup, if not nil; then the dataset goes again.
	Files *RestoreFiles `json:"files,omitempty"`
	// Python says that the Python tool made what is restored: its chain has no manifests, and GUIDs and the bytes of streams
	// are known once its messages were proved.
	Python bool `json:"python,omitempty"`
	// Spool is the folder in which the run has one of its own, for at most SpoolBytes of chunk files. Who goes on with it may name
	// another.
	Spool      string `json:"spool"`
	SpoolBytes int64  `json:"spool_bytes"`
	// Mounts is the folder in which the scratch dataset is mounted, if that was begun with another Spool.
	Mounts string `json:"mounts,omitempty"`
	Chain  []Link `json:"chain"` // in the order in which they are received, the full first

	Began  *time.Time `json:"began,omitempty"`  // just before the first receive was started
	Made   string     `json:"made,omitempty"`   // GUID of the dataset that it makes, or made
	Volume bool       `json:"volume,omitempty"` // what it made is one
	Passed int64      `json:"passed,omitempty"` // bytes of the stream that is being received

	// Foreign: a receive that failed found that the dataset is another's, made meanwhile; so is, in a folder of streams, the
	// file of the one that was to be fetched.
	Foreign bool `json:"foreign,omitempty"`
}

// RestoreFiles says which files of a backup are restored.
type RestoreFiles struct {
	Paths []string `json:"paths"` // below the dataset's root, without a slash before or behind
	// Copied are the paths that were copied whole into the run's own folder, and may have been moved from there to their place.
	Copied []string `json:"copied,omitempty"`
	Dir    string   `json:"dir"` // the folder, absolute, that they are copied into
}

// Target names what a person asked to be made: a dataset, or a folder.
func (r *Restore) Target() string {
	if r.Files != nil {
		return r.Files.Dir
	}
	return r.Into
}

// Newest is the backup that was asked for: the end of the chain.
func (r *Restore) Newest() Link { return r.Chain[len(r.Chain)-1] }

// Source says where backups are read from, as a person said it: what is empty is as the run's config says, and without
// one as it is where nothing is said.
type Source struct {
	Remote         string `json:"remote,omitempty"`
	RcloneConf     string `json:"rclone_conf,omitempty"`
	PassphraseFile string `json:"passphrase_file,omitempty"`
	OlderFile      string `json:"older_passphrase_file,omitempty"` // with an older passphrase, for a chain that needs it
	Encryption     string `json:"encryption,omitempty"`            // gpg or none
}

// Link is one backup of a chain.
type Link struct {
	Name           string `json:"name"`
	ManifestSHA256 string `json:"manifest_sha256"` // of the stored object
	Snapshot       string `json:"snapshot"`        // the part after @
	SnapshotGUID   string `json:"snapshot_guid"`
	Bytes          int64  `json:"bytes"`        // of its chunk files
	StreamBytes    int64  `json:"stream_bytes"` // of what comes out of them
}
