package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"zfs2cloud/state/durable"
)

// Note is a small file in the fixed folder, for what must be known even if the database is lost, or if a
// command uses another one: open brackets, locks of operators.
type Note struct {
	Kind string // what it is about, such as "bracket"
	GUID string // of the dataset
	ID   string // which of several, such as a run; empty if there is one a dataset
	// Err says why the content can't be read. That the note is there is known all the same, and counts.
	Err   error
	value json.RawMessage
}

// Decode parses the content.
func (n Note) Decode(v any) error {
	if n.Err != nil {
		return n.Err
	}
	return json.Unmarshal(n.value, v)
}

const noteSuffix = ".json"

// PutNote writes a note, in place of the one there. When it returns, the note survives a power cut.
func (f Folder) PutNote(kind, guid, id string, v any) error {
	name, err := noteName(kind, guid, id)
	if err != nil {
		return err
	}
	content, err := seal(name, v)
	if err != nil {
		return err
	}
	folder, err := f.make()
	if err != nil {
		return err
	}
	defer folder.Close()
	return durable.Write(folder, name, append(content, '\n'))
}

// DropNote removes a note, which need not be there.
func (f Folder) DropNote(kind, guid, id string) error {
	name, err := noteName(kind, guid, id)
	if err != nil {
		return err
	}
	folder, err := openFolder(f.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer folder.Close()
	return durable.Remove(folder, name)
}

// Notes returns the notes of a kind about a dataset, or about all if guid is empty, in the order of their
// names.
func (f Folder) Notes(kind, guid string) ([]Note, error) {
	folder, err := openFolder(f.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	entries, err := fs.ReadDir(folder.FS(), ".")
	if err != nil {
		return nil, err
	}
	var notes []Note
	for _, entry := range entries {
		note, ok := parseNoteName(entry.Name())
		if !ok || note.Kind != kind || guid != "" && note.GUID != guid {
			continue
		}
		err := note.read(folder, entry.Name())
		if errors.Is(err, fs.ErrNotExist) { // dropped since we listed it
			continue
		}
		note.Err = err
		notes = append(notes, note)
	}
	return notes, nil
}

func (n *Note) read(folder *os.Root, name string) error {
	content, err := folder.ReadFile(name)
	if err != nil {
		return err
	}
	n.value, err = unseal(name, []byte(strings.TrimSuffix(string(content), "\n")))
	if err != nil {
		return fmt.Errorf("note %s: %w", name, err)
	}
	return nil
}

// noteName is GUID.KIND.json or GUID.KIND.ID.json.
func noteName(kind, guid, id string) (string, error) {
	err := errors.Join(checkWord("GUID", guid), checkWord("kind", kind))
	parts := []string{guid, kind}
	if id != "" {
		err = errors.Join(err, checkWord("id", id))
		parts = append(parts, id)
	}
	return strings.Join(parts, ".") + noteSuffix, err
}

func parseNoteName(name string) (n Note, ok bool) {
	base, ok := strings.CutSuffix(name, noteSuffix)
	parts := strings.Split(base, ".")
	if !ok || len(parts) < 2 || len(parts) > 3 {
		return n, false
	}
	n = Note{GUID: parts[0], Kind: parts[1]}
	if len(parts) == 3 {
		n.ID = parts[2]
	}
	return n, true
}
