package config

import "zfs2cloud/actions/settings"

// Bare is what a remote is read with on a machine that has no config: the programs that the environment names,
// and rclone's config where it always lies. If RCLONECONF, which is absolute, is not empty, it is that file.
func Bare(remote, rcloneConf string, env Env) (*settings.Settings, error) {
	l := newLoader("", env, parse(""))
	l.s.Remote, l.s.RcloneConf = trimSlash(remote), rcloneConf
	l.readPrograms()
	if rcloneConf != "" {
		l.owned(field{entry: entry{key: "rclone's config"}}, rcloneConf)
	} else {
		l.checkRclone()
	}
	if len(l.problems) > 0 {
		return nil, &Errors{Path: "without a config", Problems: l.problems}
	}
	return l.s, nil
}
