package config

import "testing"

func TestAt(t *testing.T) {
	p := newPlace(t)
	path := p.write("config.ini", minimal(), 0o600)
	err := At(path, p.env, "zfs_fs", "no such dataset", "did you mean "+Nearest("tank/dta", []string{"tank/data", "tank/www"})+"?")
	p.isBad(err, ": 1 error\n  line 2  [main] zfs_fs = tank/data\n          no such dataset; did you mean tank/data?")
	err = At(path, p.env, "encryption_passphrase", "does not open the canary", "")
	p.isBad(err, "line 4  [main] encryption_passphrase\n")
	p.isBad(At(path, p.env, "remote", "missing", ""), "  [main] remote\n  missing")
}
