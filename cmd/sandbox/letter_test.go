package main

import "testing"

func TestCommands(t *testing.T) {
	t.Parallel()
	const text = `Do NOT
   20261125035200-full

1. Name it

    NEW=newpool/data
    PASS=/root/pass
    GPG=gpg

And:

    [ -e "$PASS" ] || ask

2. By the script

    sh script

3. Restore

    (
    for f in \
      one
    do
      cat "$f"
    done
    ) | zfs receive -u "$NEW"

4. Use it

    zfs mount "$NEW"
`
	const want = `NEW='z2c-1/letter'
PASS='/dir/pass'
GPG=gpg
[ -e "$PASS" ] || ask
(
for f in \
  one
do
  cat "$f"
done
) | zfs receive -u "$NEW"
`
	names := map[string]string{"NEW": "z2c-1/letter", "PASS": "/dir/pass"}
	got, err := commands(text, names, "13")
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	got, err = commands(text, names, "134")
	if err != nil || got != want+"zfs mount \"$NEW\"\n" {
		t.Errorf("%v\n%s", err, got)
	}
	if _, err := commands("1. Nothing\n\n    ls\n", names, "1"); err == nil {
		t.Error("no error though there is no name to put in")
	}
}
