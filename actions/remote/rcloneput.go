package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"zfs2cloud/workflow"
)

// maxFeatures bounds what `rclone backend features` writes: some kilobytes.
const maxFeatures = 1 << 20

// features is what we want to know of a remote.
type features struct {
	String   string // in rclone's words
	Hashes   []string
	Features struct {
		// BucketBased stores show an object when it is whole. SMB says that it is one, too, but has folders.
		BucketBased, CanHaveEmptyDirectories bool
		// SlowHash: a hash is computed by reading the object (local, SFTP), not kept with it.
		SlowHash bool
		// ListR: the store lists all below a name in one go.
		ListR bool
		// Move and Copy: by the server.
		Move, Copy bool
		// PartialUploads: an upload can be seen before it is whole, as far as rclone knows (of WebDAV it does not). Since 1.63, where
		// rclone itself uploads under a temporary name then; before, the key is not there.
		PartialUploads *bool
	}
}

// features asks rclone once. An error isn't kept.
func (r *rclone) features(ctx context.Context, w workflow.World) (*features, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.knows != nil {
		return r.knows, nil
	}
	var out bytes.Buffer
	c := call{
		op: "features of", verb: "backend", flags: []string{"features"}, operands: []string{r.remote},
		looks: true, stdout: &capped{to: &out, left: maxFeatures, err: ErrTooBig},
	}
	if err := r.run(ctx, w, c); err != nil {
		return nil, err
	}
	var known features
	if err := json.Unmarshal(out.Bytes(), &known); err != nil {
		return nil, r.error(c.op, "", nil, fmt.Errorf("what rclone answers: %w", err))
	}
	r.knows = &known
	return r.knows, nil
}

// hides tells whether the store shows an object when it is whole.
func (f *features) hides() bool { return f.Features.BucketBased && !f.Features.CanHaveEmptyDirectories }

// encrypts tells whether it is rclone's crypt.
func (f *features) encrypts() bool { return strings.HasPrefix(f.String, "Encrypted drive ") }

// union tells whether it is rclone's union, which lists what its upstreams have, less those that are not there.
func (f *features) union() bool { return strings.HasPrefix(f.String, "union root ") }

// viaTemp tells whether an upload needs a temporary name of ours: rclone has none, the store doesn't
// hide what isn't whole, and it can rename.
func (f *features) viaTemp() bool {
	return f.Features.PartialUploads == nil && !f.hides() && (f.Features.Move || f.Features.Copy)
}

func (r *rclone) Put(ctx context.Context, w workflow.World, name string, from Source, progress func(int64)) error {
	if err := errors.Join(ValidName(name), mayWrite(w, "put", name)); err != nil {
		return err
	}
	file, err := from.open()
	if err != nil {
		return r.error("put", name, nil, err)
	}
	defer file.Close()
	if !from.Fresh {
		there, _, err := taken(ctx, r, w, name, from.Size, from.Hashes)
		if err != nil || there {
			return err
		}
	}
	return r.upload(ctx, w, name, from.Path, progress)
}

func (r *rclone) PutBytes(ctx context.Context, w workflow.World, name string, data []byte, fresh bool) error {
	if err := errors.Join(ValidName(name), mayWrite(w, "put", name)); err != nil {
		return err
	}
	if !fresh {
		there, err := takenBytes(ctx, r, w, name, data)
		if err != nil || there {
			return err
		}
	}
	return r.withFile(name, data, func(file string) error { return r.upload(ctx, w, name, file, nil) })
}

func (r *rclone) Touch(ctx context.Context, w workflow.World, name string, data []byte) error {
	if err := errors.Join(ValidName(name), mayWrite(w, "put", name)); err != nil {
		return err
	}
	known, err := r.features(ctx, w)
	if err != nil {
		return err
	}
	flags := []string{"--ignore-times"}
	if known.Features.PartialUploads != nil {
		flags = append(flags, "--inplace")
	}
	return r.withFile(name, data, func(file string) error {
		return r.run(ctx, w, call{op: "put", name: name, verb: "copyto", flags: flags, operands: []string{file, join(r.remote, name)}, transfers: true})
	})
}

// withFile has what is small in a file for as long as it is used.
func (r *rclone) withFile(name string, data []byte, use func(file string) error) error {
	dir, err := os.MkdirTemp(r.temp, "zfs2cloud-put-")
	if err != nil {
		return r.error("put", name, nil, err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "object")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return r.error("put", name, nil, err)
	}
	return use(file)
}

// upload copies a file to a name that is free.
func (r *rclone) upload(ctx context.Context, w workflow.World, name, file string, progress func(int64)) error {
	known, err := r.features(ctx, w)
	if err != nil {
		return err
	}
	to := name
	if known.viaTemp() {
		to = tempName(name)
	}
	// --ignore-times: a leftover of the same size and time is no reason to copy nothing.
	flags := []string{"--ignore-times"}
	if known.Features.PartialUploads != nil {
		flags = append(flags, "--inplace=false") // a flag of ours that older ones don't know
	}
	c := call{
		op: "put", name: name, verb: "copyto", flags: flags, operands: []string{file, join(r.remote, to)},
		transfers: true, progress: progress,
	}
	if err := r.run(ctx, w, c); err != nil || to == name {
		return err
	}
	return r.run(ctx, w, call{
		op: "put", name: name, verb: "moveto", operands: []string{join(r.remote, to), join(r.remote, name)},
	})
}
