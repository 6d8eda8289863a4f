// Package chunk makes and reads the files that a backup consists of.
//
// A stream of zfs send is cut every so many bytes of plaintext (Cutter), and each piece becomes one file
// (WriteFile): one OpenPGP message of its own, made by the gpg program, which stock gpg -d reads. What a
// Sealer does is all that is known here about encryption; GPG is the real one, Plain the one for remotes
// that encrypt by themselves.
//
// Digests are taken as the bytes flow by, in the same pass. Those of the plaintext let a resumed run prove
// that a stream sent again is the one that was sealed (Prove); those of the file prove it before gpg sees a
// byte of it (OpenFile).
//
// # What gpg's word is worth
//
// Less than its exit status: an unencrypted message is released with exit 0, and a line in
// /etc/gnupg/gpg.conf, which --no-options does not keep away, can make every chunk unreadable, exit 0. So
// all options are pinned, and two functions, judgeSealed and judgeOpened, say what counts as sealed and as
// opened; no part of what they ask suffices alone. What gpg is given to open has the form of ours, byte for
// byte, or it is stopped (framed). A run also seals and opens a Canary first.
//
// # Caveat
//
// gpg releases plaintext before it knows that the message is genuine. Whoever calls Open must make nothing
// of what was written until Open has returned nil, or have proved the ciphertext by its digest before.
package chunk
