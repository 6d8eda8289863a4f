package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"syscall"

	"zfs2cloud/workflow"
)

// What callers decide by.
var (
	ErrNotThere = errors.New("not there")
	ErrFull     = errors.New("no space left, or over quota")
	ErrDenied   = errors.New("not permitted")
	ErrNoRemote = errors.New("no such remote in rclone's config")
	ErrTooOld   = errors.New("this rclone does not know what is asked of it; 1.60 or newer is needed")
	ErrNoRoot   = errors.New("the folder is not there: is the disk mounted?")
	ErrNotEmpty = errors.New("folder not empty")
	ErrTooBig   = errors.New("larger than it may be")
	// ErrArchived is the error of what is listed and can't be read before somebody has asked the store for it.
	ErrArchived = errors.New("in cold storage, from where the store has to bring it back first (S3: rclone backend restore; Azure: rclone settier hot)")
	// ErrDamaged is the error of an object that a remote that encrypts can't decrypt, though it can others.
	ErrDamaged = errors.New("damaged in the store: it can't be decrypted any more")
)

// Error says which operation on what did not work. The message of a program stands in Err.
type Error struct {
	Op     string // "put"
	Remote string // as the user spelled it
	Name   string // of the object or folder, empty for the root
	Kind   error  // one of the above, or nil
	Err    error  // what came back

	passes bool // it may pass by itself
}

func (e *Error) Error() string {
	where := e.Remote
	if e.Name != "" {
		where = join(e.Remote, e.Name)
	}
	if e.Kind == nil {
		return fmt.Sprintf("%s %q: %v", e.Op, where, e.Err)
	}
	if e.Err == nil || errors.Is(e.Err, e.Kind) {
		return fmt.Sprintf("%s %q: %v", e.Op, where, e.Kind)
	}
	return fmt.Sprintf("%s %q: %v: %v", e.Op, where, e.Kind, e.Err)
}

func (e *Error) Unwrap() []error {
	var all []error
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// Conflict is the error of a Put whose name is taken by something else. Nothing was written.
type Conflict struct {
	Remote string
	Name   string
	There  Object
	Size   int64 // of what was to be stored
}

func (e *Conflict) Error() string {
	what := fmt.Sprintf("an object of %d bytes", e.There.Size)
	if e.There.IsDir {
		what = "a folder"
	}
	if e.There.Size == e.Size && !e.There.IsDir {
		what += " with other content"
	}
	return fmt.Sprintf("put %q: %s is there already, and is not overwritten (to be stored: %d bytes)",
		join(e.Remote, e.Name), what, e.Size)
}

// Temporary tells whether an operation may work when tried again soon: limits of rate, errors of the
// server's, timeouts, connections that were cut or refused. What it doesn't know is not.
func Temporary(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var e *Error
	return errors.As(err, &e) && e.passes
}

// join puts a name behind a remote. After "name:" a slash would mean the server's root (sftp, local).
func join(remote, name string) string {
	if name == "" || strings.HasSuffix(remote, ":") || strings.HasSuffix(remote, "/") {
		return remote + name
	}
	return remote + "/" + name
}

// The words by which backends say the same: where an exit status says nothing, they are all there is.
var (
	sayNoRemote = regexp.MustCompile(`didn't find section in config file`)
	sayFull     = regexp.MustCompile(`(?i)no space left|remaining disk space|disk (quota|full)|quota ?exceeded|over ?quota|` +
		`insufficient[_ ]?(storage|space)|out of (storage|space)|storage ?(limit|full)|\b507 |status code: 507`)
	// Google calls what is asked in a minute a quota as well.
	sayRate = regexp.MustCompile(`(?i)rateLimitExceeded|quota metric`)
	// Stores that keep what they have for a time (Google, Azure), or let nothing be deleted (WebDAV), say so in words of their own.
	sayDenied = regexp.MustCompile(`(?i)permission denied|operation (is )?not permitted|read-only file system|access ?denied|` +
		`retention ?policy|immutable|object ?lock|legal ?hold|method not allowed|` +
		`unauthori[sz]ed|forbidden|invalid_?grant|InvalidAccessKeyId|SignatureDoesNotMatch|expired_?(access_)?token|` +
		`unable to authenticate|bad_auth_token`)
	// rclone's own words (of S3's and Azure's), and, where it passes on an answer, the store's.
	sayArchived = regexp.MustCompile(`in GLACIER, restore first|InvalidObjectState|(?i)archive tier|archived blob`)
	// The words of rclone's crypt. Of the last block of an object it says what a lost connection says.
	sayDamaged = regexp.MustCompile(`failed to authenticate decrypted block|bad magic string|too short to be encrypted|truncated block header`)
	sayCut     = regexp.MustCompile(`unexpected EOF`)
	sayTooOld  = regexp.MustCompile(`unknown (shorthand )?(flag|command)`)
	sayPasses  = regexp.MustCompile(`(?i)\b429 too many|too[ _]?many[ _]?(requests|write_operations)|rate ?limit|quota metric|slow ?down|` +
		`\b(408|500|502|503|504) [a-z]|(error|status|status ?code|http)[:= ]+(408|429|500|502|503|504)\b|` +
		`time-?out|timed out|deadline exceeded|connection (reset|refused|closed|lost|(was )?abort)|use of closed (network )?connection|` +
		`server closed idle connection|connection broken|broken pipe|unexpected eof|: eof\b|\bgoaway\b|\bstream error|bad record mac|` +
		`no such host|name resolution|server misbehaving|network is (unreachable|down)|no route to host|` +
		`internal ?error|service ?unavailable|temporarily|corrupted on transfer`)
)

// rcloneError makes sense of how an rclone ended. Some stores answer 403 for a rate limit, so what
// passes is looked at before what is denied; a full store is full also where it calls that retriable.
func rcloneError(err error) (kind error, passes bool) {
	var exit *workflow.ExitError
	if !errors.As(err, &exit) {
		return nil, false
	}
	said, text := verdictOf(exit), exit.Stderr
	switch {
	case sayNoRemote.MatchString(text):
		return ErrNoRemote, false
	case sayFull.MatchString(text) && !sayRate.MatchString(text):
		return ErrFull, false
	case sayTooOld.MatchString(text):
		return ErrTooOld, false
	case sayArchived.MatchString(text):
		return ErrArchived, false
	case sayDamaged.MatchString(text):
		return ErrDamaged, false
	case said == final || said == absent:
		return nil, false
	case sayPasses.MatchString(text):
		return nil, true
	case sayDenied.MatchString(text):
		return ErrDenied, false
	}
	return nil, said == again
}

// fileError is rcloneError for a local folder. The errors that pass are a network file system's.
func fileError(err error) (kind error, passes bool) {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ErrFull, false
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return ErrDenied, false
	case errors.Is(err, syscall.ENOTEMPTY):
		return ErrNotEmpty, false
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.EAGAIN),
		errors.Is(err, syscall.EHOSTDOWN), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETDOWN):
		return nil, true
	}
	return nil, false
}
