//go:build crashpoints

package chunk

// A program that is compiled to die on purpose seals by keys that cost nothing: deriving them is half of what its tests
// compute, and no key is looked at there.
const (
	s2kCount = "65536"
	s2kByte  = 0x60
)
