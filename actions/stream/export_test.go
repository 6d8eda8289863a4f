package stream

// Packed is a token's list, as it is before it is deflated.
func Packed(text string) ([]byte, error) { return packedOf(text) }

// Unpack reads a packed list.
func Unpack(b []byte) error { _, err := unpack(b); return err }
