// Package pages reads a bbolt file and believes nothing that it says.
//
// bbolt believes its file. Where a page leads back to one above it, its search overflows the stack, its cursor
// goes round for ever, and a list of free pages that a bit was flipped in makes it write over what is in use; it
// finds some of that only when it is too late, and no recover catches a stack that overflows. Its own check walks
// the same way. So before bbolt is let near a file, Walk goes through it: it reads (and maps nothing), looks
// at each page at most once, and at every number before it is used. Whatever the file holds, that ends soon, takes
// little memory, and has one of three answers: sound, damaged (a *Broken), or could not be read.
//
// A file that Walk finds sound is one that bbolt can read and write: every page is in use once or free once, each
// page is what it is taken for, and all keys are in the order by which they are searched for. What it can't
// judge are the values. Those are handed out, to be compared with a checksum.
//
// # The file
//
// It is pages of one size, numbered from 0. A page begins with its own number, its kind, how many elements it has,
// and how many pages more belong to it. Pages 0 and 1 are metas: the one with the higher transaction is in force,
// and names the root bucket's page, the page with the list of free ones, and the number of pages. Branches lead
// to leaves, and leaves have keys with values; a bucket is such a value: the number of its root page, or, if it
// is small, that page itself. Numbers are in the machine's byte order. (go.etcd.io/bbolt/internal/common, format
// version 2.)
package pages
