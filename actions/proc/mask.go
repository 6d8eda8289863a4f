package proc

import (
	"regexp"
	"strings"
)

const masked = "***"

// telling are the parts of names whose values are secrets, or may be. Too many masked words harm nobody.
const telling = `(?:pass|secret|key|token|cred|grant|auth|bearer|header|cookie|sas|signature)`

var (
	// https://user:password@host: everything up to the last @ before the path.
	userinfo = regexp.MustCompile(`(://)[^/?#\s]*@`)
	// ?token=…&sig=…
	query = regexp.MustCompile(`(?i)([?&][^=&\s]*(?:` + telling + `|sig)[^=&\s]*=)[^&#\s]*`)
	// :s3,secret_access_key=…: and remote,pass="a,b": see rclone's docs, "Connection strings". A quote
	// inside a quoted value is doubled.
	connection = regexp.MustCompile(`(?i)(,[a-z0-9_]*` + telling + `[a-z0-9_]*=)` +
		`("(?:[^"]|"")*(?:"|$)|'(?:[^']|'')*(?:'|$)|[^,:]*)`)
	secretFlag = regexp.MustCompile(`(?i)^--?[a-z0-9_-]*` + telling + `[a-z0-9_-]*(=|$)`)
)

// Mask is a command line fit to be shown: secrets in addresses, after flags and in rclone's connection
// strings are replaced.
func Mask(argv []string) []string {
	shown := make([]string, len(argv))
	isValue := false
	for i, arg := range argv {
		m := secretFlag.FindStringSubmatch(arg)
		switch {
		case isValue:
			shown[i], isValue = masked, false
		case m == nil:
			shown[i] = connection.ReplaceAllString(maskText(arg), "${1}"+masked)
		case m[1] == "=":
			shown[i] = arg[:strings.Index(arg, "=")+1] + masked
		default:
			shown[i] = arg
			isValue = !strings.HasPrefix(arg, "--no-") // such as gpg's --no-keyring: takes no value
		}
	}
	return shown
}

// maskText masks the addresses in a text.
func maskText(s string) string {
	s = userinfo.ReplaceAllString(s, "${1}"+masked+"@")
	return query.ReplaceAllString(s, "${1}"+masked)
}
