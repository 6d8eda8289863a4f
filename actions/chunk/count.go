//go:build !crashpoints

package chunk

// How often gpg hashes the passphrase: the most that OpenPGP can say, and the byte that says it (RFC 4880, 3.7.1.3).
const (
	s2kCount = "65011712"
	s2kByte  = 0xff
)
