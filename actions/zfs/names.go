package zfs

import (
	"fmt"
	"strings"
)

// maxName is ZFS_MAX_DATASET_NAME_LEN less the final NUL; it counts a snapshot's whole name.
const maxName = 255

// Dataset is the name of a file system or a volume.
type Dataset struct{ name string }

// Snapshot is the name of a snapshot.
type Snapshot struct {
	dataset Dataset
	name    string
}

// ParseDataset checks a dataset's name by the rules of zfs (OpenZFS module/zcommon/zfs_namecheck.c). They
// leave no room for what else zfs would read in an argument: a first "-", "@", "#", ",", "%".
func ParseDataset(s string) (Dataset, error) {
	for i, part := range strings.Split(s, "/") {
		if err := checkPart(part); err != nil {
			return Dataset{}, fmt.Errorf("dataset %q: %w", s, err)
		}
		if i == 0 && !isLetter(part[0]) {
			return Dataset{}, fmt.Errorf("dataset %q: a pool's name begins with a letter", s)
		}
	}
	if len(s) > maxName {
		return Dataset{}, fmt.Errorf("dataset %q: longer than %d bytes", s, maxName)
	}
	return Dataset{s}, nil
}

// ParseSnapshot checks a snapshot's whole name, DATASET@NAME.
func ParseSnapshot(s string) (Snapshot, error) {
	dataset, name, ok := strings.Cut(s, "@")
	if !ok {
		return Snapshot{}, fmt.Errorf("snapshot %q: no @", s)
	}
	d, err := ParseDataset(dataset)
	if err != nil {
		return Snapshot{}, err
	}
	return d.Snapshot(name)
}

// Snapshot is the snapshot NAME of the dataset.
func (d Dataset) Snapshot(name string) (Snapshot, error) {
	s := Snapshot{d, name}
	if err := checkPart(name); err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %q: %w", s, err)
	}
	if len(s.String()) > maxName {
		return Snapshot{}, fmt.Errorf("snapshot %q: longer than %d bytes", s, maxName)
	}
	return s, nil
}

// Pool is the dataset that the pool itself is.
func (d Dataset) Pool() Dataset {
	pool, _, _ := strings.Cut(d.name, "/")
	return Dataset{pool}
}

func (d Dataset) String() string { return d.name }

// Dataset is what it is a snapshot of.
func (s Snapshot) Dataset() Dataset { return s.dataset }

// Name is what stands behind the @.
func (s Snapshot) Name() string { return s.name }

func (s Snapshot) String() string { return s.dataset.name + "@" + s.name }

// checkPart checks what stands between two slashes, or behind an @.
func checkPart(s string) error {
	switch s {
	case "":
		return fmt.Errorf("an empty part")
	case ".", "..":
		return fmt.Errorf("%q is no name", s)
	}
	for _, c := range []byte(s) {
		if !isLetter(c) && !isDigit(c) && !strings.ContainsRune("-_.: ", rune(c)) {
			return fmt.Errorf("%q is not allowed in a name", string(rune(c)))
		}
	}
	return nil
}

// checkTag checks the tag of a hold more strictly than zfs does, which takes nearly everything.
func checkTag(tag string) error {
	if err := checkPart(tag); err != nil {
		return fmt.Errorf("tag %q: %w", tag, err)
	}
	if !isLetter(tag[0]) {
		return fmt.Errorf("tag %q: does not begin with a letter", tag)
	}
	if len(tag) > maxName {
		return fmt.Errorf("tag %q: longer than %d bytes", tag, maxName)
	}
	return nil
}

// checkProperty checks that a user property is one, and is read back as it was written: Snapshots parses
// lines and tabs.
func checkProperty(name, value string) error {
	if !strings.Contains(name, ":") || !isLetter(name[0]) {
		return fmt.Errorf("property %q: not a user property", name)
	}
	for _, c := range []byte(name) {
		if c >= 'A' && c <= 'Z' || !isLetter(c) && !isDigit(c) && !strings.ContainsRune(":+-._", rune(c)) {
			return fmt.Errorf("property %q: %q is not allowed in a name", name, string(rune(c)))
		}
	}
	if len(name) > maxName || len(value) > 1023 {
		return fmt.Errorf("property %q: too long", name)
	}
	for _, c := range []byte(value) {
		if c < ' ' || c > '~' {
			return fmt.Errorf("property %q: value %q is not plain text", name, value)
		}
	}
	return nil
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
