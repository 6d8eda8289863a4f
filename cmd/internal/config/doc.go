// Package config turns the INI file into the typed settings of package settings. Nothing behind it sees
// a raw string of the file.
//
// # The idea
//
// Config files of the Python tool of the same name are in use, and a passphrase that is read in another
// way than it was then is a backup lost. So each value goes through what it went through there, and where
// that can't be said for sure, it is refused with a text that says what to write instead:
//
//	scan.go         the lines, as Python's configparser takes them: which line is a key, which goes on
//	document.go     the same text read by ini.v1; a key on which the two differ is refused.
//	interpolate.go  %(name)s and %%, as configparser has them
//	shell.go        the words that /bin/sh would make of a value, which that tool left to `sh -c`
//	keys.go         every key, a row each: what it means and who reads it
//	steps.go        [backup-sequences]; bracket.go what is odd about the order
//	check.go        what no key can tell alone
//	owner.go        whose files may be obeyed: security is not a matter of one key
//
// # Caveats
//
// Load reports everything that is wrong at once, so a reader of a key notes a problem and goes on; what
// it stored for a bad value is never seen, since Load then returns no settings.
//
// Peek is for those who must take a dataset before they may complain: an open bracket, with the
// application stopped, is closed even if the passphrase file is gone. It obeys nothing in a file that
// others may write.
package config
