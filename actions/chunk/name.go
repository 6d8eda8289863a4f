package chunk

import (
	"fmt"
	"regexp"
	"strings"

	"zfs2cloud/actions/settings"
)

// MaxName is the longest file name that Linux's file systems take, in bytes.
const MaxName = 255

// Name is the file name of chunk N of a backup, without a folder: tank-data@20261125035200.zfs.000000.gpg.
// Chunks of a later generation say so (.g2), and without encryption there is no .gpg. Whatever the
// arguments, the name holds no slash, no blank and no control character, and is neither "." nor "..".
func Name(dataset, stamp string, n, gen int, enc settings.Encryption) string {
	name := fmt.Sprintf("%s%06d", NamePrefix(dataset, stamp), n)
	if gen >= 2 {
		name += fmt.Sprintf(".g%d", gen)
	}
	if enc != settings.None {
		name += ".gpg"
	}
	return name
}

// NamePrefix is what the names of all chunks of a backup begin with.
func NamePrefix(dataset, stamp string) string { return inName(dataset) + "@" + inName(stamp) + ".zfs." }

// IsName tells whether a name has the form of a chunk's.
func IsName(name string) bool { return nameForm.MatchString(name) }

var nameForm = regexp.MustCompile(`@[0-9]{14}\.zfs\.[0-9]{6,}(\.g[0-9]+)?(\.gpg)?$`)

// LongestName is as long as any that a chunk of a dataset will have.
func LongestName(dataset string) string {
	const stamp, numbers, generations = "20261125035200", 9_999_999, 999
	return Name(dataset, stamp, numbers, generations, settings.GPG)
}

// CheckName tells beforehand whether every chunk of a dataset will have a name of at most so many bytes.
func CheckName(dataset string, most int) error {
	if n := len(LongestName(dataset)); n > most {
		return fmt.Errorf("a name of %d bytes is too long: those of its chunk files would have %d, %d are possible", len(dataset), n, most)
	}
	return nil
}

func inName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '/':
			return '-'
		case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', strings.ContainsRune("._:-", r):
			return r
		}
		return '_'
	}, s)
}
