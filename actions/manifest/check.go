package manifest

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"zfs2cloud/actions/chunk"
	"zfs2cloud/actions/settings"
	"zfs2cloud/actions/zfs"
)

// check holds all that a manifest must be by itself. It is asked before writing and after reading.
func (m *Manifest) check() error {
	if err := m.checkHeader(); err != nil {
		return err
	}
	if len(m.Chunks) == 0 {
		return errors.New("no chunks")
	}
	enc := m.Encryption()
	var sum int64
	for i, c := range m.Chunks {
		if err := m.checkChunk(i, c, enc); err != nil {
			return err
		}
		if c.Plain > math.MaxInt64-sum {
			return errors.New("the chunks' lengths add up to more than any stream has")
		}
		sum += c.Plain
		if last := i == len(m.Chunks)-1; !last && c.Plain != m.SplitSize {
			return fmt.Errorf("chunk %d has %d bytes, and is not the last, with a split size of %d", i, c.Plain, m.SplitSize)
		}
	}
	if err := m.checkIndex(enc); err != nil {
		return err
	}
	if sum != m.StreamBytes {
		return fmt.Errorf("the chunks' lengths add up to %d, the stream has %d bytes", sum, m.StreamBytes)
	}
	return nil
}

func (m *Manifest) checkHeader() error {
	stamp, full, ok := ParseFolder(m.Name)
	if !ok {
		return fmt.Errorf("name %q is not a folder's", m.Name)
	}
	if m.Kind != Full && m.Kind != Incremental || (m.Kind == Full) != full || (m.Base == nil) != full {
		return fmt.Errorf("name %q, kind %q and base do not agree", m.Name, m.Kind)
	}
	if c := m.Created; c.Location() != time.UTC || c.Nanosecond() != 0 || c.Year() < 1970 || c.Year() > 9999 {
		return fmt.Errorf("created %v: not in whole seconds of UTC", c)
	}
	dataset, err := zfs.ParseDataset(m.Dataset)
	if err != nil {
		return err
	}
	// A snapshot that another tool made has another name than the folder.
	if _, err := dataset.Snapshot(m.Snapshot); err != nil {
		return err
	}
	if m.SplitSize < 1 {
		return fmt.Errorf("split size %d", m.SplitSize)
	}
	return errors.Join(
		checkText("tool", m.Tool), checkText("host", m.Host),
		checkHex("job", m.Job, 32),
		checkGUID("pool", m.PoolGUID), checkGUID("dataset", m.DatasetGUID), checkGUID("snapshot", m.SnapshotGUID),
		checkHex("stream's SHA-256", m.StreamSHA256, 64),
		checkFlags(m.SendFlags),
		m.checkBase(stamp), m.checkPrevious(),
	)
}

// checkBase demands an older base: stamps grow, so a chain of bases has an end.
func (m *Manifest) checkBase(stamp string) error {
	if m.Base == nil {
		return nil
	}
	base, _, ok := ParseFolder(m.Base.Name)
	if !ok || base >= stamp {
		return fmt.Errorf("base %q of %q: not an older backup", m.Base.Name, m.Name)
	}
	return errors.Join(checkGUID("base's snapshot", m.Base.SnapshotGUID), checkHex("base's hash", m.Base.ManifestSHA256, 64))
}

func (m *Manifest) checkPrevious() error {
	if m.Previous == nil {
		return nil
	}
	if _, _, ok := ParseFolder(m.Previous.Name); !ok || m.Previous.Name == m.Name {
		return fmt.Errorf("previous %q of %q: not another backup", m.Previous.Name, m.Name)
	}
	return checkHex("previous backup's hash", m.Previous.ManifestSHA256, 64)
}

func (m *Manifest) checkChunk(i int, c Chunk, enc settings.Encryption) error {
	switch {
	case c.N != i:
		return fmt.Errorf("chunk %d stands in place %d", c.N, i)
	case c.Gen < 1:
		return fmt.Errorf("chunk %d: generation %d", i, c.Gen)
	case c.Name != m.chunkName(c, enc):
		return fmt.Errorf("chunk %d: name %q, not %q", i, c.Name, m.chunkName(c, enc))
	case len(c.Name) > chunk.MaxName:
		return fmt.Errorf("chunk %d: its name is too long for a file", i)
	case c.Plain < 1 || c.Plain > m.SplitSize:
		return fmt.Errorf("chunk %d: %d bytes, with a split size of %d", i, c.Plain, m.SplitSize)
	case c.Size < 1:
		return fmt.Errorf("chunk %d: a file of %d bytes", i, c.Size)
	case enc == settings.None && (c.Size != c.Plain || c.SHA256 != c.PlainSHA256):
		return fmt.Errorf("chunk %d: not encrypted, and yet the file is not its plaintext", i)
	}
	if err := errors.Join(checkHex("SHA-256", c.SHA256, 64), checkHex("plaintext's SHA-256", c.PlainSHA256, 64)); err != nil {
		return fmt.Errorf("chunk %d: %w", i, err)
	}
	return nil
}

func (m *Manifest) checkIndex(enc settings.Encryption) error {
	x := m.Index
	switch {
	case x == nil:
		return nil
	case x.Gen < 1:
		return fmt.Errorf("index: generation %d", x.Gen)
	case x.Name != IndexName(x.Gen, enc):
		return fmt.Errorf("index: name %q, not %q", x.Name, IndexName(x.Gen, enc))
	case x.Plain < 1 || x.Size < 1:
		return fmt.Errorf("index: %d bytes in a file of %d", x.Plain, x.Size)
	case enc == settings.None && (x.Size != x.Plain || x.SHA256 != x.PlainSHA256):
		return errors.New("index: not encrypted, and yet the file is not its plaintext")
	}
	return errors.Join(checkHex("index's SHA-256", x.SHA256, 64), checkHex("index's plaintext's SHA-256", x.PlainSHA256, 64))
}

func (m *Manifest) chunkName(c Chunk, enc settings.Encryption) string {
	stamp, _, _ := ParseFolder(m.Name)
	return chunk.Name(m.Dataset, stamp, c.N, c.Gen, enc)
}

func checkHex(what, s string, length int) error {
	if len(s) != length || !only(s, "0123456789abcdef") {
		return fmt.Errorf("%s %q is not %d digits of lower-case hex", what, s, length)
	}
	return nil
}

func checkGUID(what, s string) error {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != s {
		return fmt.Errorf("%s's GUID %q is not a decimal number", what, s)
	}
	return nil
}

// checkText keeps out what could play tricks on a terminal, or in RESTORE.txt.
func checkText(what, s string) error {
	const most = 255
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if s == "" || len(s) > most || !utf8.ValidString(s) || strings.ContainsFunc(s, odd) {
		return fmt.Errorf("%s %q is not a printable text of 1 to %d bytes", what, s, most)
	}
	return nil
}

// checkFlags allows the flags of zfs send that zfs_send_flags allows.
func checkFlags(flags []string) error {
	for _, f := range flags {
		if letters, ok := strings.CutPrefix(f, "-"); !ok || letters == "" || !only(letters, "cLewp") {
			return fmt.Errorf("%q is no flag of zfs send that we use", f)
		}
	}
	return nil
}
