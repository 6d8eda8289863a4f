package stream_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zfs2cloud/actions/stream"
)

// openZFSStreams are streams that an OpenZFS sent, and what it sent for tokens that name a place in them:
// `go run ./cmd/sandbox vm streams --golden actions/stream/testdata/golden`.
func openZFSStreams(t testing.TB) (streams map[string]sent, resent map[string][]resending) {
	t.Helper()
	list, err := os.ReadFile(filepath.Join("testdata", "golden", "openzfs.txt"))
	check(t, err)
	streams, resent = map[string]sent{}, map[string][]resending{}
	for line := range strings.Lines(string(list)) {
		var what, name, third, fourth string
		_, err := fmt.Sscan(line, &what, &name, &third, &fourth)
		check(t, err)
		switch what {
		case "stream": // to, from
			s := sent{bytes: golden(t, "openzfs-"+name)}
			_, err := fmt.Sscan(third+" "+fourth, &s.to, &s.from)
			check(t, err)
			streams[name] = s
		case "sent": // token, SHA-256
			resent[name] = append(resent[name], resending{third, fourth})
		default:
			t.Fatalf("line %q", line)
		}
	}
	return streams, resent
}

// resending is a token, and the SHA-256 of what was sent for it.
type resending struct{ token, sha256 string }

func sum256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// features are those that each kind of stream has to have.
var features = map[string]stream.Features{
	"large": stream.FeatureLargeBlocks | stream.FeatureEmbed | stream.FeatureCompressed, "zstd": stream.FeatureCompressed, "raw": stream.FeatureRaw,
}

func TestGoldenOpenZFS(t *testing.T) {
	t.Parallel()
	streams, resent := openZFSStreams(t)
	if len(streams) != 2*len(shapes("")) {
		t.Errorf("%d streams", len(streams))
	}
	random := rand.New(rand.NewPCG(3, 4))
	for name, s := range streams {
		p := stream.Of(s.to, s.from)
		if err := parse(p, s.bytes, 4096); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		kind, form, _ := strings.Cut(name, "-")
		begin, _ := p.Begin()
		if want := features[kind]; !begin.Features.Has(want) || begin.Volume != (kind == "volume") || (begin.From != 0) != (form == "incremental") || p.Wrapper() != (kind == "properties") {
			t.Errorf("%s: %+v", name, begin)
		}
		for range 200 {
			at := random.IntN(len(s.bytes))
			flipped := with(s.bytes, at, s.bytes[at]^1<<random.IntN(8))
			if err := parse(stream.Of(s.to, s.from), flipped, 4096); err == nil && !unsummed(s.bytes, at) {
				t.Errorf("%s: a bit flipped in byte %d is not found", name, at)
			}
		}
		if len(resent[name]) < 2 {
			t.Errorf("%s: sent for %d tokens", name, len(resent[name]))
		}
	}
}

// unsummed tells whether a byte is one of an END, in which nothing reads what is beside the sum and the GUID.
func unsummed(b []byte, at int) bool {
	return slices.ContainsFunc(records(b), func(record int) bool {
		return b[record] == byte(stream.TypeEnd) && record+4 <= at && at < record+stream.HeaderSize
	})
}

// What a receive is gone on with is what OpenZFS itself would send for the token, made of the stored stream; and that
// continues the stream behind a mark whose token it is.
func TestResentByOpenZFS(t *testing.T) {
	t.Parallel()
	const split = 10_000
	streams, resent := openZFSStreams(t)
	for name, s := range streams {
		table, known := indexOf(t, s, split), map[[2]uint64]string{}
		for _, r := range resent[name] {
			token, err := stream.ParseToken(r.token)
			check(t, err)
			piece, e, err := stream.Find(bytes.NewReader(table), token)
			check(t, err)
			got, err := io.ReadAll(stream.Restart(bytes.NewReader(s.bytes[piece*split:]), uint64(piece*split), e, token))
			if err != nil || sum256(got) != r.sha256 {
				t.Errorf("%s, object %d, offset %d: %d bytes, %v", name, token.Object, token.Offset, len(got), err)
			}
			known[[2]uint64{token.Object, token.Offset}] = r.sha256
		}
		continued := 0
		for _, at := range records(s.bytes) {
			m, ok := markAt(t, s, at)
			if !ok {
				continue
			}
			token := m.Token("")
			want, ok := known[[2]uint64{token.Object, token.Offset}]
			if !ok {
				continue
			}
			again, err := io.ReadAll(stream.Restart(bytes.NewReader(s.bytes), 0, stream.Entry{}, token))
			check(t, err)
			rest, err := io.ReadAll(stream.Continue(m, bytes.NewReader(again)))
			if err != nil || !bytes.Equal(rest, s.bytes[at:]) || sum256(again) != want {
				t.Errorf("%s, cut at %d: %d of %d bytes, %v", name, at, len(rest), len(s.bytes)-at, err)
			}
			continued++
		}
		if continued < 2 {
			t.Errorf("%s: continued at %d places", name, continued)
		}
	}
}
