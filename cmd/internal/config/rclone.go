package config

import (
	"regexp"
	"slices"
	"strings"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/settings"
)

// verdict is what becomes of a flag in rclone_args or rclone_global_flags.
type verdict int

const (
	passed  verdict = iota
	quiet           // what it prints would end in a cron mail; progress is ours to show
	object          // means something to a sync, nothing or harm to a single object
	filter          // chooses files of a folder: fails with a single object
	refused         // changes what a command means, or obeys others
)

// flagRule is a flag of rclone's that is not just passed on; a name that ends in * stands for all that
// begin so. The first that fits counts.
type flagRule struct {
	name  string
	value bool // a word of its own may follow, even one that begins with a dash: --filter "- *.bak"
	verdict
}

// deleteExcluded would delete what is kept out of a sync, the job's marker too.
const deleteExcluded = "delete-excluded"

// flagRules: rclone 1.60's and 1.76's. Anything else is passed on.
var flagRules = []flagRule{
	{"dry-run", false, refused}, {"interactive", false, refused}, {"config", true, refused},
	{"immutable", false, refused}, {"ignore-existing", false, refused}, {"password-command", true, refused},
	{"dump*", true, refused}, {"rc", false, refused}, {"rc-*", true, refused},
	{"help", false, refused}, {"version", false, refused},

	{"max-size", true, filter}, {"max-age", true, filter}, {"min-*", true, filter}, {"max-*", true, refused},
	{"include*", true, filter}, {"exclude*", true, filter}, {"filter*", true, filter},
	{"files-from*", true, filter}, {"metadata-include*", true, filter}, {"metadata-exclude*", true, filter},
	{"metadata-filter*", true, filter}, {"hash-filter", true, filter},
	{"ignore-case", false, filter}, {deleteExcluded, false, filter},

	{"verbose", false, quiet}, {"quiet", false, quiet}, {"progress*", false, quiet},
	{"stats-one-line", false, quiet}, {"stats-one-line-date", false, quiet}, {"stats*", true, quiet},
	{"log-systemd", false, quiet}, {"log-*", true, quiet}, {"syslog", false, quiet}, {"syslog-*", true, quiet},
	{"use-json-log", false, quiet}, {"human-readable", false, quiet}, {"color", true, quiet},

	{"create-empty-src-dirs", false, object}, {"delete-*", false, object}, {"track-renames", false, object},
	{"track-renames-strategy", true, object}, {"backup-dir", true, object}, {"suffix", true, object},
	{"suffix-keep-extension", false, object}, {"compare-dest", true, object}, {"copy-dest", true, object},
	{"update", false, object}, {"size-only", false, object}, {"checksum", false, object},
	{"ignore-times", false, object}, {"ignore-size", false, object}, {"ignore-checksum", false, object},
	{"ignore-errors", false, object}, {"ignore-case-sync", false, object}, {"fix-case", false, object},
	{"error-on-no-transfer", false, object}, {"no-traverse", false, object}, {"no-check-dest", false, object},
	{"order-by", true, object},
}

// shortFlags are rclone's one-letter spellings.
var shortFlags = map[byte]string{
	'n': "dry-run", 'i': "interactive", 'v': "verbose", 'q': "quiet", 'P': "progress", 'f': "filter",
	'c': "checksum", 'u': "update", 'I': "ignore-times", 'h': "help", 'V': "version",
}

// rcloneFlag is one flag with the words that belong to it.
type rcloneFlag struct {
	rule  flagRule
	shown string // without its value, which may be a secret
	argv  []string
}

// sorted is what comes of the words.
type sortedFlags struct {
	passed  []string
	object  []string // of passed, what a call for a single object takes
	dropped []rcloneFlag
	refused []string // as shown
}

// sortFlags sorts the words of a key. Filters in rclone_global_flags are refused where the mode is
// intermediate: that key was never a sync's.
func sortFlags(all []string, mode settings.Mode, global bool) sortedFlags {
	var out sortedFlags
	for len(all) > 0 {
		var flags []rcloneFlag
		flags, all = nextFlags(all)
		for _, f := range flags {
			switch {
			case f.rule.verdict == refused, f.rule.verdict == filter && global && mode != settings.File,
				f.rule.name == deleteExcluded && mode == settings.File:
				out.refused = append(out.refused, f.shown)
			case f.rule.verdict == quiet, f.rule.verdict != passed && mode != settings.File:
				out.dropped = append(out.dropped, f)
			default:
				out.passed = append(out.passed, f.argv...)
				if f.rule.verdict == passed {
					out.object = append(out.object, f.argv...)
				}
			}
		}
	}
	return out
}

// nextFlags takes the first flag off the words, with its value; of -vc it makes two.
func nextFlags(all []string) ([]rcloneFlag, []string) {
	word, rest := all[0], all[1:]
	switch {
	case strings.HasPrefix(word, "--") && len(word) > 2:
		name, _, joined := strings.Cut(word[2:], "=")
		// pflag, which reads rclone's arguments there, takes --dry_run for --dry-run.
		f := rcloneFlag{rule: ruleFor(strings.ReplaceAll(name, "_", "-")), shown: "--" + name, argv: []string{word}}
		if !joined {
			rest = f.takeValue(rest)
		}
		return []rcloneFlag{f}, rest
	case strings.HasPrefix(word, "-") && len(word) > 1 && word != "--":
		return shortCluster(word[1:], rest)
	}
	// -, -- or a bare word: rclone would take it for a path.
	return []rcloneFlag{{rule: flagRule{verdict: refused}, shown: word, argv: []string{word}}}, rest
}

// takeValue adds the word that follows, if it is the flag's.
func (f *rcloneFlag) takeValue(rest []string) []string {
	if len(rest) == 0 || !f.rule.value && (f.rule.verdict != passed || strings.HasPrefix(rest[0], "-")) {
		return rest
	}
	f.argv = append(f.argv, rest[0])
	return rest[1:]
}

func shortCluster(letters string, rest []string) ([]rcloneFlag, []string) {
	var flags []rcloneFlag
	for i := range len(letters) {
		short := "-" + letters[i:i+1]
		f := rcloneFlag{rule: flagRule{name: short}, shown: short, argv: []string{short}}
		if long, known := shortFlags[letters[i]]; known {
			f.rule = ruleFor(long)
		}
		if f.rule.value { // what is left of the cluster is its value
			f.argv[0] += letters[i+1:]
			if i+1 == len(letters) {
				rest = f.takeValue(rest)
			}
			return append(flags, f), rest
		}
		flags = append(flags, f)
	}
	return flags, rest
}

func ruleFor(name string) flagRule {
	at := slices.IndexFunc(flagRules, func(r flagRule) bool {
		prefix, open := strings.CutSuffix(r.name, "*")
		return r.name == name || open && strings.HasPrefix(name, prefix)
	})
	if at < 0 {
		return flagRule{name: name}
	}
	return flagRules[at]
}

// parameter is one of a remote that is described in place: rclone's docs, "Connection strings". A quote inside a quoted value is
// doubled.
var parameter = regexp.MustCompile(`^,([^=,:]*)(?:=("(?:[^"]|"")*(?:"|$)|'(?:[^']|'')*(?:'|$)|[^,:]*))?`)

// noSecrets are names that look like a secret's and are none, of rclone 1.60's and 1.76's.
var noSecrets = regexp.MustCompile(`(?i)^(?:auth|auth_owner_only|resource_key)$|_(?:id|file|name|version|expiry|duration|command|agent|md5|algorithms|exchange)$|(?:auth|token)_url$`)

// secretParameter names the first parameter of a remote described in place that looks like a secret's, or whose value has one, as an
// address with a password; empty if there is none.
func secretParameter(remote string) string {
	name := strings.TrimPrefix(remote, ":")
	at := strings.IndexAny(name, ",:/")
	if at < 0 {
		return ""
	}
	for rest := name[at:]; ; {
		m := parameter.FindStringSubmatch(rest)
		if m == nil {
			return ""
		}
		whole, name, value := m[0], m[1], m[2]
		inValue := proc.Mask([]string{value})[0] != value
		inName := proc.Mask([]string{"--" + name + "=" + value})[0] != "--"+name+"="+value
		if inValue || inName && !noSecrets.MatchString(name) && value != "" && value != "true" && value != "false" {
			return name
		}
		rest = rest[len(whole):]
	}
}
