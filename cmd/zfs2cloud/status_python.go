package main

import (
	"fmt"
	"strings"
	"time"

	"zfs2cloud/actions"
	"zfs2cloud/state"
)

// What status says of what the Python tool made.

// leftWords says what the Python tool has left, and nothing prunes. A restore leaves snapshots of the same looks.
func leftWords(l state.Left) string {
	var parts []string
	if l.Snapshots > 0 {
		parts = append(parts, fmt.Sprintf("%s (%s) of the Python tool or a restore", counted(l.Snapshots, "snapshot"), size(l.SnapshotBytes)))
	}
	if l.Folders > 0 {
		parts = append(parts, fmt.Sprintf("%s (%s) of the Python tool", counted(l.Folders, "folder"), size(l.FolderBytes)))
	}
	return strings.Join(parts, " and ") + ", which nothing prunes"
}

// badForeign are the Python tool's backups that were found bad, and not found good again since, the oldest first.
func (s *sight) badForeign(job string) (names []string) {
	for _, f := range s.foreign {
		if last, _ := actions.LastVerifiedOf(f.Verified, s.now); f.Job == job && last.Bad != "" {
			names = append(names, f.Name)
		}
	}
	return names
}

// statusForeign is a backup of the Python tool, in JSON.
type statusForeign struct {
	Name     string        `json:"name"`
	Verified *verifiedJSON `json:"verified"`
	Adopted  *time.Time    `json:"adopted"` // when its folder was taken over, while that is there
}

func (s *sight) foreignJSON(job string) []statusForeign {
	list := []statusForeign{}
	for _, f := range s.foreign {
		if f.Job == job {
			last, known := actions.LastVerifiedOf(f.Verified, s.now)
			j := statusForeign{Name: f.Name, Verified: verifiedToJSON(last, known)}
			if f.Folder != nil {
				j.Adopted = utc(&f.Folder.At)
			}
			list = append(list, j)
		}
	}
	return list
}
