package actions

import (
	"context"

	"zfs2cloud/actions/manifest"
	"zfs2cloud/actions/remote"
	"zfs2cloud/state"
)

// A store tells a hash of three kinds: one that it computes when it is asked, over what it has (a disk, sftp); one that it
// computed when it got the object as a whole; or, of an object that came in parts, what the uploader said it should be
// (S3). Of the last nothing is proved, and which of the two a kept hash is, nobody tells: but no store that rclone knows
// takes an object of this size in parts, by default.
const keptHashMost = 64 << 20

// At most so many objects are asked for at once, and so many bytes where the store has to read them for it.
const (
	askObjects = 64
	askBytes   = 256 << 20
)

// askStore has the store tell what is in chunks, and returns those of which it does not, or says otherwise: they are
// fetched.
func (p *proving) askStore(ctx context.Context, todo []manifest.Chunk) (fetch []manifest.Chunk, err error) {
	var kind string
	var kept bool
	err = p.kit.retry(ctx, func(ctx context.Context) (err error) {
		if kind, err = p.remote.HashKind(ctx, p.look); err == nil {
			kept, err = p.remote.KeepsHash(ctx, p.look)
		}
		return err
	})
	if err != nil || kind == "" {
		return todo, err
	}
	known, err := p.knownHashes(kind)
	if err != nil {
		return nil, err
	}
	for len(todo) > 0 {
		var ask []manifest.Chunk
		var bytes int64
		for _, c := range todo {
			if len(ask) == askObjects || len(ask) > 0 && !kept && bytes+c.Size > askBytes {
				break
			}
			ask, bytes = append(ask, c), bytes+c.Size
		}
		todo = todo[len(ask):]
		rest, err := p.ask(ctx, ask, kind, kept, known)
		if err != nil {
			return nil, err
		}
		fetch = append(fetch, rest...)
	}
	return fetch, nil
}

func (p *proving) ask(ctx context.Context, ask []manifest.Chunk, kind string, kept bool, known map[int]string) (rest []manifest.Chunk, err error) {
	var names []string
	for _, c := range ask {
		if tells(c, kept, known) {
			names = append(names, c.Name)
		}
	}
	there := map[string]remote.Object{}
	if len(names) > 0 {
		err = p.kit.retry(ctx, func(ctx context.Context) (err error) {
			there, err = p.remote.StatSome(ctx, p.look, p.manifest.Name, names, kind)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for _, c := range ask {
		same, hashed := there[c.Name].Matches(c.Size, map[string]string{kind: known[c.N]})
		if !same || !hashed || !tells(c, kept, known) {
			rest = append(rest, c)
			continue
		}
		if err := p.proved(c, ""); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// tells says whether the store's hash of a chunk would prove something.
func tells(c manifest.Chunk, kept bool, known map[int]string) bool {
	return known[c.N] != "" && (!kept || c.Size <= keptHashMost)
}

// knownHashes are those of a kind that are known of the backup's chunks: the manifest has their SHA-256, the database what
// else was computed when they were sealed.
func (p *proving) knownHashes(kind string) (map[int]string, error) {
	known := map[int]string{}
	if kind == "sha256" {
		for _, c := range p.manifest.Chunks {
			known[c.N] = c.SHA256
		}
		return known, nil
	}
	if p.ledger == nil {
		return known, nil
	}
	err := eachBlock(p.ledger.view, p.ledger.of.Job, p.manifest.Name, func(block []state.Chunk) error {
		for _, c := range block {
			// The manifest says which file it is: the record adds what else that file hashes to.
			if c.N < len(p.manifest.Chunks) && c.SHA256 == p.manifest.Chunks[c.N].SHA256 {
				known[c.N] = c.Hashes[kind]
			}
		}
		return nil
	})
	return known, err
}
