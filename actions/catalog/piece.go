package catalog

import (
	"fmt"
	"regexp"
	"strings"

	"zfs2cloud/actions/manifest"
)

// Piece is what the name of a piece of the Python tool's tells: tank-data@20240101000000.zfs.gpg.0000.
type Piece struct{ Dataset, Snapshot, Number string }

var pieceForm = regexp.MustCompile(`^(.+)@(.+)\.zfs\.gpg\.([0-9]{4,})$`)

// ParsePiece takes the name of a piece apart.
func ParsePiece(name string) (p Piece, ok bool) {
	parts := pieceForm.FindStringSubmatch(name)
	if parts == nil {
		return p, false
	}
	return Piece{parts[1], parts[2], parts[3]}, true
}

// Prefix begins the names of all pieces of a snapshot.
func (p Piece) Prefix() string { return p.Dataset + "@" + p.Snapshot + ".zfs.gpg." }

func isPiece(name string) bool { return pieceForm.MatchString(name) }

func pieceName(m *manifest.Manifest, n int) string {
	return fmt.Sprintf("%s%04d", Piece{Dataset: m.Dataset, Snapshot: m.Snapshot}.Prefix(), n)
}

// DatasetOf is the dataset that a piece's name, or what it begins with, has.
func DatasetOf(piece string) string {
	dataset, _, _ := strings.Cut(piece, "@")
	return dataset
}

// PieceError is the error of pieces that are not those of one message, as names and sizes tell.
type PieceError struct {
	File string // the piece that tells; empty: it is none alone
	What string
}

func (e *PieceError) Error() string { return e.What }

// WrittenOver says in words what is wrong with the sizes of the pieces of a backup of the Python tool, and at which; else nothing.
// They should all be of one size but for the last.
func WrittenOver(m *manifest.Manifest) (piece manifest.Chunk, what string) {
	if m.Job != "" { // a manifest knows its sizes
		return piece, ""
	}
	sizes := make([]int64, len(m.Chunks))
	for i, c := range m.Chunks {
		sizes[i] = c.Size
	}
	i := OddPiece(sizes)
	switch {
	case i < 0:
		return piece, ""
	case sizes[i] > sizes[0]:
		return m.Chunks[i], fmt.Sprintf("has %d bytes, and those before it %d: it is of an older export, which was written over", sizes[i], sizes[0])
	}
	return m.Chunks[i], fmt.Sprintf("has %d bytes instead of %d, and is not the last: an older, longer export was written over, and the pieces behind it are that one's", sizes[i], sizes[0])
}

// OddPiece is the first of some pieces behind which, as their sizes tell, there should be none, or which is larger than those
// before it; -1 if there is none such.
func OddPiece(sizes []int64) int {
	for i, size := range sizes {
		if size > sizes[0] || size < sizes[0] && i < len(sizes)-1 {
			return i
		}
	}
	return -1
}
