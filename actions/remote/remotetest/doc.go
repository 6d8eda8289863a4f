// Package remotetest has stores for tests and measurements: an S3 server on the loopback.
//
// The server speaks the protocol by way of gofakes3, and keeps its objects as plain files, so that its memory
// does not grow with what is stored, and so that a test can look at an object, or spoil it, behind the
// server's back. gofakes3's own keeping of uploads in parts is in memory, and its keeping of files has one
// lock for all.
//
// # What it leaves out
//
// A signature is not computed again: whoever knows the access key's name may do everything. A key is also a
// file's name: one that another key continues as a folder, or that leads out of its bucket, is refused. Nothing
// is synced to the disk: the server stands for another machine, whose disk would not be ours to wait for.
package remotetest
