package chunk

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/secret"
	"zfs2cloud/workflow"
)

const benchSize, benchPiece = 128 << 20, 32 << 20

// BenchmarkSeal seals a stream that is cut into pieces, and reports how long that takes by what a bare gpg takes for the same
// bytes in one message, in the same round.
func BenchmarkSeal(b *testing.B) {
	stream := random(benchSize)
	world := &proc.World{}
	ours := GPG{World: world, Words: []string{"gpg"}, Passphrase: secret.Bytes("pass"), TempDir: b.TempDir()}
	dir, err := os.OpenRoot(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer dir.Close()
	b.SetBytes(benchSize)
	var sealing, bare time.Duration
	for b.Loop() {
		began := time.Now()
		cutter, err := NewCutter(bytes.NewReader(stream), benchPiece)
		if err != nil {
			b.Fatal(err)
		}
		for n := 0; ; n++ {
			piece, err := cutter.Next()
			if err == io.EOF {
				break
			}
			if err == nil {
				_, err = WriteFile(b.Context(), dir, fmt.Sprint("chunk", n), piece, ours, nil)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		sealing += time.Since(began)

		began = time.Now()
		pass, err := ours.passphrase()
		if err != nil {
			b.Fatal(err)
		}
		err = proc.Run(b.Context(), world, workflow.Spec{Stdin: bytes.NewReader(stream), Extra: []*os.File{pass},
			Argv: words([]string{"gpg"}, common, alone, seal, []string{"--passphrase-fd", "3", "--symmetric", "--output", "-"})})
		pass.Close()
		if err != nil {
			b.Fatal(err)
		}
		bare += time.Since(began)
	}
	b.ReportMetric(sealing.Seconds()/bare.Seconds(), "of-gpg")
}

// BenchmarkProve proves the beginning of a stream, and reports how long that takes by what SHA-256 alone takes.
func BenchmarkProve(b *testing.B) {
	stream := random(benchSize)
	var want []Digest
	for i := 0; i < benchSize; i += benchPiece {
		sum := sha256.Sum256(stream[i : i+benchPiece])
		want = append(want, Digest{Size: benchPiece, SHA256: fmt.Sprintf("%x", sum)})
	}
	b.SetBytes(benchSize)
	var proving, hashing time.Duration
	for b.Loop() {
		began := time.Now()
		cutter, err := NewCutter(bytes.NewReader(stream), benchPiece)
		if err != nil {
			b.Fatal(err)
		}
		for _, d := range want {
			piece, err := cutter.Next()
			if err != nil {
				b.Fatal(err)
			}
			if same, err := Prove(piece, d); err != nil || !same {
				b.Fatal(same, err)
			}
		}
		proving += time.Since(began)

		began = time.Now()
		sha256.Sum256(stream)
		hashing += time.Since(began)
	}
	b.ReportMetric(proving.Seconds()/hashing.Seconds(), "of-sha256")
}
