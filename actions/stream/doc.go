// Package stream reads ZFS send streams, as they flow by and in constant memory.
//
// A `zfs send` that was killed leaves a stream that is cut off but otherwise sound, and once it is encrypted
// nothing tells it from a whole one. Memory, a cable or a bug can change one on its way, and what comes back from
// a remote must be the snapshot that its manifest names. All of that a stream tells by itself: it is a row of
// records; BEGIN names the snapshot and its base by GUID; each record holds a sum over all that came before it,
// END too, and END says that nothing is missing. A Parser is shown a stream, in any pieces, and says at once what
// is wrong with it, and where. A Reader passes on what a Parser has found right, and holds END back until all of
// it is.
//
// # Records
//
// A record is a header of 312 bytes, in the byte order of the machine that sent it, and behind some a payload
// (dmu_replay_record in OpenZFS include/sys/zfs_ioctl.h; record.go has its fields). The sum is fletcher-4 (Sum)
// over everything since the last BEGIN: over bytes 0 to 279 of the record, which is stored in bytes 280 to 311,
// and then on over these and the payload. Zero says that there is none: in old streams (pool versions before
// 5000, zfs-fuse 0.7) only END has one. END has another, over what came before END.
// (dump_record in module/zfs/dmu_send.c; zfs-fuse 0.7 agrees.)
//
// A compound stream (`zfs send -p`, `-R`) is wrapped once more: a BEGIN without GUIDs and with a packed list of
// properties behind it, its END, then the streams of one or, with -R, many snapshots, then an END that is zeros but
// for its type. (send_prelim_records in lib/libzfs/libzfs_sendrecv.c.) Where the stream of one snapshot is
// demanded (Of), a second one is refused.
//
// # Going on in the middle
//
// What is known of a stream up to some byte, and is needed to go on there, is a Mark of some 200 bytes. It gives the
// Token for `zfs send -t`, which then sends from a record on, and Continue makes of that what the rest of the stream
// would have been, to the byte, or says why it is not. (Found by experiment with OpenZFS 2.1: all of 190 streams of 19
// kinds, cut anywhere, were continued so.)
//
// A dataset that was received in part, by `zfs receive -s`, says by a Token what it has. Restart makes of the stream what it
// has to be given then: the rest, with a BEGIN that says so, behind what the object under way was made to be. It needs no more
// of the stream than what lies behind an Entry, which it is given by an index (IndexWriter, Find): a few hundred bytes for each
// piece that the stream was cut into. An object's blocks have to follow it, as they do in streams of OpenZFS; those of zfs-fuse
// are gone on with only in places.
//
// Streams of big-endian machines are recognized and refused.
package stream
