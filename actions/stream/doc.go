// Package stream reads the two ends of a ZFS send stream as it flows by.
//
// A `zfs send` that was killed leaves a stream that is cut off but otherwise sound, and once it is
// encrypted nothing tells it from a whole one. And what comes back from a remote must be the snapshot
// that its manifest names before `zfs receive` gets a byte of it. Both questions are answered by the
// records at the ends: BEGIN names the snapshot and its base by GUID, END says that nothing is missing.
//
// Ends watches a stream on its way out, in any slicing and in constant memory. Verify looks at the
// beginning of one on its way in.
//
// A stream is a row of records, each with a header of 312 bytes, in the byte order of the machine that
// sent it. A compound one (`zfs send -p`) is wrapped once more: a BEGIN without GUIDs and with a list of
// properties behind it, its END, then the stream itself, then an END of zeros. (OpenZFS
// include/sys/zfs_ioctl.h, lib/libzfs/libzfs_sendrecv.c; seen on zfs-fuse 0.7 too.)
//
// What lies between the ends is not read here, and no sum is computed: that the bytes are the right ones
// is for the digests of the manifest to say, and for `zfs receive`.
package stream
