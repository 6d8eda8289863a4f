// Package manifest has the format of a backup on the remote: its manifest, the chain of bases behind it, and
// what lies beside it for people: the text that tells how to restore it without this program, and the script that does.
//
// A backup is a folder, named by its stamp: chunk files, an index of them, RESTORE.txt, restore.sh.gpg, and, written last, the manifest. The
// manifest is the commit, and the only thing on the remote that is believed: it names every chunk with its
// size and hash, and its base with the hash of the base's manifest, so that one opened manifest proves a
// whole chain.
//
// # Why it can be believed
//
// It is one sealed message like a chunk, but under a passphrase of its own, derived from the passphrase. Under
// the same one, someone who owns a file in the dataset could have us encrypt, as a chunk, what reads as a
// manifest. And it is read strictly: parsed and encoded again it must be the same bytes, since Go takes the
// last of two equal keys, matches names without regard to case, and ignores what trails. Every name is
// computed, none is taken from it, so that no file name leads out of the folder.
//
// # Text and script
//
// Whoever can write to the remote can change RESTORE.txt, so it is for reading. The script would be run by root, so it
// is sealed, under a third passphrase, and so that nothing in it depends on a backup, it is one text, the same in every
// backup of a version, whose hash can be printed on paper. It obeys the rules by which this program reads, in sh.
//
// # Formats
//
// A manifest that names an index (the file that tells what begins in which chunk, sealed as they are) is of format 2, one that
// names none of format 1, which has no such key: so a backup of one chunk can be read by programs of before.
//
// # Caveat
//
// What was genuine once stays genuine: an older manifest that someone puts back under its own name opens. Only
// a database, or a person, knows which is the newest.
package manifest
