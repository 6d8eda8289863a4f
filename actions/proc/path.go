package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"zfs2cloud/workflow"
)

// fallbackPath has the folders that cron's PATH lacks.
const fallbackPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// searchPath is our PATH followed by the fallback, each folder once. Relative and empty entries, which
// mean the working folder, are left out: what root runs must not depend on where it stands.
func searchPath() []string {
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH") + ":" + fallbackPath) {
		if filepath.IsAbs(dir) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// LookPath finds a program by its first word: as it is if it has a slash, else in PATH and in the
// folders that cron's PATH lacks. The error wraps workflow.ErrNoProgram.
func LookPath(word string) (string, error) { return lookPathIn(word, "") }

// lookPathIn is LookPath for a child that starts in a folder, to which its relative path belongs.
func lookPathIn(word, dir string) (string, error) {
	if strings.Contains(word, "/") {
		path := word
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return "", fmt.Errorf("%s: %w", word, err)
		}
		if err := executable(path); err != nil {
			return "", fmt.Errorf("%s: %w: %w", word, workflow.ErrNoProgram, err)
		}
		return path, nil
	}
	dirs := searchPath()
	var refused error
	for _, dir := range dirs {
		path := filepath.Join(dir, word)
		err := executable(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, os.ErrNotExist) && refused == nil {
			refused = fmt.Errorf("%s: %w: %s: %w", word, workflow.ErrNoProgram, path, err)
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", fmt.Errorf("%s: %w in %s", word, workflow.ErrNoProgram, strings.Join(dirs, ":"))
}

// executable tells whether we may execute a file, with the rights that execve(2) will use.
func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return errors.Unwrap(err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a file")
	}
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("not executable: %w", err)
	}
	return nil
}
