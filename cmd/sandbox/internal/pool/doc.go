// Package pool gives the sandbox a throwaway pool, and clears it away, also after a sandbox that was
// killed.
//
// All of it lies in one folder, Base:
//
//	lock             held while sandboxes are set up and cleared
//	zfs-fuse.pid     written by the daemon that we started, if none was there
//	z2c-7f3a.json    the record of one sandbox: whose it is
//	z2c-7f3a/        its folder: the pool's file, mount points, config, spool, remote
//
// The record is written before there is anything to clear and removed after everything was. A sandbox
// whose record names a process that is gone is a leftover, and the next sandbox clears it; one made by
// "up" names no process and stays until "down". What is not on record is never touched: a pool is
// destroyed only if it lies on a file in a folder on record, a daemon ended only if its command line has
// our pid file in it.
//
// A ZFS that answers is used as it is. Pools are made without a cache file, so that no boot imports
// them again.
package pool
