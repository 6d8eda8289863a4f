package stream_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/secret"
	"zfs2cloud/actions/stream"
)

// writes is the beginning of a stream of noise in blocks of the usual size.
func writes(size int) []byte {
	const block = 128 << 10
	b := bytes.Clone(made(binary.LittleEndian, 1, 0)[:stream.HeaderSize])
	for offset := uint64(0); len(b) < size; offset += block {
		head := make([]byte, stream.HeaderSize+block)
		binary.LittleEndian.PutUint32(head, uint32(stream.TypeWrite))
		binary.LittleEndian.PutUint64(head[8:], 7)
		binary.LittleEndian.PutUint64(head[24:], offset)
		binary.LittleEndian.PutUint64(head[32:], block)
		rand.Read(head[stream.HeaderSize:])
		b = append(b, head...)
	}
	return b
}

// BenchmarkParse parses a stream, in the pieces in which a pipe gives it, and reports how long that takes by what gpg, AES-256
// in its mode alone, and SHA-256 take for the same bytes, in the same round.
func BenchmarkParse(b *testing.B) {
	data := writes(128 << 20)
	world := &proc.World{}
	gpg := chunk.GPG{World: world, Words: []string{"gpg"}, Passphrase: secret.Bytes("pass"), TempDir: b.TempDir()}
	key, err := aes.NewCipher(make([]byte, 32))
	check(b, err)
	sink := make([]byte, 64<<10)
	b.SetBytes(int64(len(data)))
	var took [4]time.Duration
	for b.Loop() {
		for i, work := range []func() error{
			func() error {
				var p stream.Parser
				for rest := data; len(rest) > 0; {
					n, err := p.Write(rest[:min(len(rest), 64<<10)])
					if err != nil {
						return err
					}
					rest = rest[n:]
				}
				return nil
			},
			func() error { return gpg.Seal(b.Context(), bytes.NewReader(data), discard{}) },
			func() error {
				//lint:ignore SA1019 it is what OpenPGP has
				mode := cipher.NewCFBEncrypter(key, make([]byte, aes.BlockSize))
				for rest := data; len(rest) > 0; rest = rest[min(len(rest), len(sink)):] {
					n := min(len(rest), len(sink))
					mode.XORKeyStream(sink[:n], rest[:n])
				}
				return nil
			},
			func() error { sha256.Sum256(data); return nil },
		} {
			began := time.Now()
			check(b, work())
			took[i] += time.Since(began)
		}
	}
	b.ReportMetric(float64(len(data))*float64(b.N)/1e9/took[0].Seconds(), "GB/s")
	for i, of := range []string{"", "of-gpg", "of-aes-cfb", "of-sha256"} {
		if i > 0 {
			b.ReportMetric(took[0].Seconds()/took[i].Seconds(), of)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
