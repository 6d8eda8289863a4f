package main

import (
	"context"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"zfs2cloud/actions/proc"
	"zfs2cloud/actions/zfs"
	"zfs2cloud/workflow"
)

// neededOfZFS is what a run does to a dataset, as zfs-allow(8) calls it.
var neededOfZFS = []string{"snapshot", "send", "hold", "release", "destroy", "mount", "userprop"}

// permissions asks what zfs has delegated to a user who is not root, and does not become root for it.
func (c *checkup) permissions(ctx context.Context, d zfs.Dataset) []finding {
	if c.app.Env.UID == 0 || slices.Contains([]string{"sudo", "doas"}, filepath.Base(c.settings.ZFS[0])) {
		return nil
	}
	unknown := func(err error) []finding {
		return []finding{c.find(noticePermissionsUnknown, args{"dataset": d.String(), "err": err.Error()})}
	}
	u, err := user.LookupId(strconv.Itoa(c.app.Env.UID))
	if err != nil {
		return unknown(err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return unknown(err)
	}
	var groups []string
	for _, id := range ids {
		if g, err := user.LookupGroupId(id); err == nil {
			groups = append(groups, g.Name)
		}
	}
	out, err := proc.Output(ctx, c.reading(), workflow.Spec{Argv: append(slices.Clone(c.settings.ZFS), "allow", d.String()), Looks: true})
	if err != nil {
		return unknown(err)
	}
	may := delegated(string(out), d.String(), u.Username, groups)
	missing := slices.DeleteFunc(slices.Clone(neededOfZFS), func(p string) bool { return may[p] })
	if len(missing) > 0 {
		return []finding{c.find(noticePermissions, args{"user": u.Username, "missing": strings.Join(missing, ","), "dataset": d.String(), "word": shellQuote(d.String())})}
	}
	if may["bookmark"] {
		return nil
	}
	has, err := c.zfs().HasBookmarks(ctx, d)
	if err != nil {
		return unknown(err)
	}
	if !has {
		return nil
	}
	return []finding{c.find(noticeBookmark, args{"user": u.Username, "dataset": d.String(), "word": shellQuote(d.String())})}
}

// delegated reads what `zfs allow DATASET` prints: a heading for the dataset and for each above it that
// delegates something, under it sections, in them lines such as "user alice hold,send" or, of sets, "@set hold,@other".
func delegated(out, dataset, username string, groups []string) map[string]bool {
	may, sets := map[string]bool{}, map[string][]string{}
	var names []string
	at, section := "", ""
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "---- Permissions on "); ok {
			at, _, _ = strings.Cut(rest, " -")
			continue
		}
		if !strings.HasPrefix(line, "\t") {
			section = strings.TrimSuffix(strings.TrimSpace(line), ":")
			continue
		}
		words := strings.Fields(line)
		if section == "Permission sets" && len(words) == 2 {
			sets[words[0]] = append(sets[words[0]], strings.Split(words[1], ",")...)
			continue
		}
		here := at == dataset
		if section == "Local permissions" && !here || section == "Descendent permissions" && here || !strings.HasSuffix(section, "ermissions") {
			continue
		}
		if len(words) > 1 && meant(words[:len(words)-1], username, groups) {
			names = append(names, strings.Split(words[len(words)-1], ",")...)
		}
	}
	for len(names) > 0 {
		name := names[0]
		if names = names[1:]; !may[name] {
			may[name] = true
			names = append(names, sets[name]...)
		}
	}
	return may
}

// meant tells whether a line is about this user: "user NAME", "group NAME", "everyone".
func meant(who []string, username string, groups []string) bool {
	switch {
	case who[0] == "everyone":
		return true
	case len(who) != 2:
		return false
	}
	return who[0] == "user" && who[1] == username || who[0] == "group" && slices.Contains(groups, who[1])
}
