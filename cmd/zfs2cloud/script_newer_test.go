package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"zfs2cloud/actions/stream"
	"zfs2cloud/actions/stream/streamtest"
)

// A newer stands in the place of an old zfs: `newer DIR ARGS…` does what the program does that DIR is called after, but that its
// streams have sums in each record, that it knows `send -t`, that it takes properties for what it receives, which come to nothing,
// rolls nothing back unasked, and says that it keeps what it received of a stream: that of which DIR/keeps has "TO FROM OBJECT OFFSET",
// until `receive -A`, or nothing. Each receive goes to DIR/receives, a line. Each send goes to DIR/sends, a line: what it begins with, and its bytes. It looks for the files DIR/differs,
// with which it sends another stream than before, DIR/refuses, with which no token is good, and DIR/breaks, with which what it sends
// for one is cut short.
func newer() {
	n := newerZFS{dir: os.Args[1]}
	if err := n.run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type newerZFS struct{ dir string }

func (n newerZFS) has(file string) bool {
	_, err := os.Stat(filepath.Join(n.dir, file))
	return err == nil
}

func (n newerZFS) run(args []string) error {
	switch {
	case slices.Equal(args, []string{"receive"}):
		fmt.Fprintln(os.Stderr, "usage:\n\treceive [-vMnsFhu] [-o <property>=<value>] ... [-x <property>] ... <filesystem|volume|snapshot>\n\treceive -A <filesystem|volume>")
		os.Exit(2)
	case args[0] == "receive":
		if err := n.note("receives", strings.Join(args, " ")); err != nil {
			return err
		}
		if args[1] == "-A" {
			return os.Remove(filepath.Join(n.dir, "keeps"))
		}
		args = slices.DeleteFunc(without(args, "-o", "-x"), func(word string) bool { return word == "-s" })
	case args[0] == "get" && slices.Contains(args, "feature@extensible_dataset"):
		fmt.Printf("NAME PROPERTY VALUE SOURCE\n%s feature@extensible_dataset enabled local\n", args[len(args)-1])
		return nil
	case args[0] == "get":
		if at := slices.Index(args, "receive_resume_token"); at >= 0 {
			if kept, err := os.ReadFile(filepath.Join(n.dir, "keeps")); err == nil {
				t := stream.Token{Name: "pool/fs@x", Bytes: 1}
				_, err := fmt.Sscan(string(kept), &t.To, &t.From, &t.Object, &t.Offset)
				fmt.Println(t)
				return err
			}
			args[at] = "newer:none" // a property that nothing has, either
		}
	case args[0] == "inherit":
		args = slices.DeleteFunc(slices.Clone(args), func(word string) bool { return word == "-S" })
	}
	if name := filepath.Base(n.dir); name != "zfs" || args[0] != "send" || len(args) == 1 || slices.Contains(args, "-nP") {
		program, err := exec.LookPath(name)
		if err != nil {
			return err
		}
		return unix.Exec(program, append([]string{name}, args...), os.Environ())
	}
	at := slices.Index(args, "-t")
	if at < 0 {
		b, err := n.send(args[1:])
		return errors.Join(err, n.write("whole", b))
	}
	token, err := stream.ParseToken(args[at+1])
	if err != nil {
		return err
	}
	if n.has("refuses") {
		return fmt.Errorf("cannot resume send: '%s' used in the initial send no longer exists", token.Name)
	}
	if slices.Contains(args, "-nvP") {
		return nil
	}
	whole := []string{token.Name}
	if token.From != 0 {
		base, err := n.named(token.Name, token.From)
		if err != nil {
			return err
		}
		whole = []string{"-i", base, token.Name}
	}
	b, err := n.send(whole)
	if err != nil {
		return err
	}
	if b, err = streamtest.Sent(b, token); err != nil {
		return err
	}
	if n.has("breaks") { // behind what was there, or there would be no talk of continuing
		b = b[:len(b)-100_000]
	}
	return n.write(fmt.Sprintf("object %d at %d", token.Object, token.Offset), b)
}

// named is the snapshot with a GUID.
func (n newerZFS) named(of string, guid uint64) (string, error) {
	dataset, _, _ := strings.Cut(of, "@")
	out, err := exec.Command("zfs", "list", "-H", "-r", "-t", "snapshot", "-o", "name", dataset).Output()
	if err != nil {
		return "", err
	}
	for _, name := range strings.Fields(string(out)) {
		is, err := exec.Command("zfs", "get", "-Hp", "-o", "value", "guid", name).Output()
		if err == nil && strings.TrimSpace(string(is)) == fmt.Sprint(guid) {
			return name, nil
		}
	}
	return "", fmt.Errorf("no snapshot has the GUID %d", guid)
}

// send is what zfs sends, with sums.
func (n newerZFS) send(args []string) ([]byte, error) {
	out, err := exec.Command("zfs", append([]string{"send"}, args...)...).Output()
	if err != nil {
		return nil, err
	}
	if n.has("differs") {
		other(out)
	}
	return streamtest.Resummed(out)
}

// other makes the content of files another from a quarter over the first chunk on, as if it were compressed otherwise now.
func other(b []byte) {
	const plainFile = 19 // DMU_OT_PLAIN_FILE_CONTENTS
	for at := 0; at < len(b); {
		h := stream.Header(b[at : at+stream.HeaderSize])
		size, _ := h.Payload()
		if at += stream.HeaderSize; h.Type() == stream.TypeWrite && h[16] == plainFile && at > 5<<18 {
			b[at] ^= 1
		}
		at += int(size)
	}
}

// without leaves flags out, and the word behind each.
func without(args []string, flags ...string) (left []string) {
	for i := 0; i < len(args); i++ {
		if slices.Contains(flags, args[i]) {
			i++
			continue
		}
		left = append(left, args[i])
	}
	return left
}

func (n newerZFS) write(what string, b []byte) error {
	err := n.note("sends", fmt.Sprintf("%s: %d bytes", what, len(b)))
	if err == nil {
		_, err = os.Stdout.Write(b)
	}
	return err
}

func (n newerZFS) note(file, line string) error {
	f, err := os.OpenFile(filepath.Join(n.dir, file), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}
