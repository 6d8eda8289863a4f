// Package zfs is the zfs program, typed.
//
// Names are parsed before they become arguments: a Dataset or a Snapshot can only be had from a function
// that checked it, and one that is checked can't be read by zfs as an option, a list or a range. What zfs
// writes to stderr is parsed into errors that a caller can decide by.
//
// Everything runs through a workflow.World: with a Look, only what reads works; what changes something
// needs the Fx of an effect. How long to wait is the caller's context's affair.
//
// Two programs answer to this name. OpenZFS is what people have; zfs-fuse 0.7 (pool version 23) is what
// lacks nothing that a backup needs, but has no `zfs version`, no usable `zfs holds`, no bookmarks, no `send -n`, no
// `receive -o` and no property `clones`. So nothing here goes by a version: what both have is used, and
// what only OpenZFS has is asked for first. Two oddities were verified on zfs-fuse: it takes `receive -u`,
// which its usage text does not mention, and `createtxg` like OpenZFS, as a property that no list shows.
//
// Three answers are kept apart. ErrNoDataset and ErrNoSnapshot mean that the pool is there and the thing is
// not. A pool that is not imported is ErrNoPool, though zfs says "dataset does not exist" then too. Any
// other error means: don't know.
package zfs
