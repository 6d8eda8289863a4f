package state

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// The gate's file remembers the number of the last transaction that was committed behind it. It is written after
// the commit, so it may lag behind the database after a crash, and never runs ahead of it. A database that is
// behind its mark has lost what was committed: bbolt goes back to the transaction before if the page that names the
// last one was damaged, and says nothing; an older copy may have been put in its place; or it is gone. And a
// file whose gate has a mark is ours, not another program's that state_db names by mistake.
type mark struct {
	Tx   uint64 `json:"tx"`
	File stamp  `json:"file,omitzero"` // of the database behind that transaction
}

// stamp tells a file to which nobody has written since from one to which somebody may have: each write through the
// kernel moves the time of change, which no program can set (inode(7)). What happened to the disk while the
// machine was down, it can't tell: so it holds for one boot.
type stamp struct {
	Boot    string `json:"boot"`
	Inode   uint64 `json:"inode"`
	Size    int64  `json:"size"`
	Changed int64  `json:"changed"` // ns
}

// stampOf is the stamp of a file, or none where that can't be told.
func stampOf(info fs.FileInfo) stamp {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	st, ok := info.Sys().(*syscall.Stat_t)
	if err != nil || !ok {
		return stamp{}
	}
	return stamp{Boot: strings.TrimSpace(string(boot)), Inode: st.Ino, Size: st.Size, Changed: st.Ctim.Nano()}
}

// untouched tells whether a file is as the last transaction of ours left it.
func (m mark) untouched(info fs.FileInfo) bool { return m.File != stamp{} && m.File == stampOf(info) }

const markPlace = "last commit"

// readMark returns the mark; not ours is a gate without one that can be relied on. Without a gate (a disk that is
// mounted read-only) there is none.
func readMark(gate *os.File) (m mark, ours bool, err error) {
	if gate == nil {
		return m, false, nil
	}
	content, err := io.ReadAll(io.NewSectionReader(gate, 0, 1<<12))
	if err != nil {
		return m, false, err
	}
	value, err := unseal(markPlace, content)
	if err != nil {
		return m, false, nil // none yet, or half written
	}
	return m, true, json.Unmarshal(value, &m)
}

func (m mark) write(gate *os.File) error {
	content, err := seal(markPlace, m)
	if err != nil {
		return err
	}
	if _, err := gate.WriteAt(content, 0); err != nil {
		return err
	}
	return gate.Truncate(int64(len(content)))
}

// markBeginning notes, for good, that the database which is about to be made is ours.
func markBeginning(gate *os.File) error {
	return errors.Join(mark{}.write(gate), gate.Sync())
}
