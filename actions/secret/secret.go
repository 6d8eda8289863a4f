// Package secret has the one type in which a passphrase travels: it prints as ***.
package secret

import "log/slog"

// Bytes is a secret. Whoever needs the bytes themselves converts it, visibly: []byte(s).
type Bytes []byte

const masked = "***"

// String, GoString, MarshalText and LogValue keep the secret out of every text.
func (Bytes) String() string               { return masked }
func (Bytes) GoString() string             { return masked }
func (Bytes) MarshalText() ([]byte, error) { return []byte(masked), nil }
func (Bytes) LogValue() slog.Value         { return slog.StringValue(masked) }
