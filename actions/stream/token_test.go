package stream_test

import (
	"bytes"
	"errors"
	"testing"

	"zfs2cloud/actions/stream"
)

// Tokens that ZFS made, and what `zfs send -nvP -t` or a changed zstream said of them.
var realTokens = map[string]stream.Token{
	// FreeBSD; zrepl's tests
	"1-9baebea70-b8-789c636064000310a500c4ec50360710e72765a52697303030419460caa7a515a79680647ce0f26c48f2499525a9c5405ac3c90fabfe92fcf4d2cc140686b30972c7850efd0cd24092e704cbe725e6a632305415e5e797e803cd2ad14f743084b805001b201795": {To: 0x52f9c212c71e60cd, Object: 2, Offset: 0x4c0000, Bytes: 0x4e4228, Name: "zroot/test/a@1"},
	// ZFS on Linux 0.8; tests of nvlist for OCaml
	"1-badbdec4c-c0-789c636064000310a500c4ec50360710e72765a52697303028439460caa7a515a79630c001489e0d493ea9b224b518486fd0c2aebf243fbd343305a86edbd65e4f45a6650648f29c60f9bcc4dc54209d5b509556ec50945a9093a96b646064a06b60aa6b6006361300c1bf18b7": {To: 0xa60221498db5b662, Object: 0x23, Bytes: 0x2ab0, Name: "tmpzfs@repli-2020-05-06"},
	// OpenZFS 2.1; openzfs/zfs#14153
	"1-fd3f3ea61-130-789c636064000310a501c49c50360710a715e5e7a69766a6304081e4c3753e7696b1cd0a40363b92bafca4acd4e412081f0430e4d3d28a534b18e00024cf86249f5459925acc802a8facbf241fe28aaa90ef315b8e16ea3920c97382e5f312735319188a528b4b7353816695e8a7e62517e9266764e6a43894679664e826eaa665e6a42299cfcd80f077727e6e01506f717e36444c02ea3e987c5162394c8a010013de2bc9": {From: 9465784931539935513, To: 3346673376557487226, Object: 1, Name: "resumetest/encr-child@with-a-file", Compress: true, Raw: true},
}

func TestTokensOfZFS(t *testing.T) {
	for text, want := range realTokens {
		got, err := stream.ParseToken(text)
		if err != nil || got != want {
			t.Errorf("%s\n%+v, %v\nwant %+v", text, got, err, want)
		}
		theirs, err := stream.Packed(text)
		check(t, err)
		ours, err := stream.Packed(want.String())
		if err != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("%+v\n%x, %v\nZFS has\n%x", want, ours, err, theirs)
		}
	}
}

func TestTokenThereAndBack(t *testing.T) {
	for _, want := range []stream.Token{
		{},
		{To: 1<<64 - 1, From: 1 << 63, Object: 1<<64 - 1, Offset: 1<<64 - 1, Bytes: 1<<64 - 1, Name: "a", LargeBlocks: true, Embed: true, Compress: true, Raw: true},
		{To: 1, Name: "pool/with a blank@1234567", LargeBlocks: true},
		{To: 1, Name: "pool/seven@7", Embed: true},
	} {
		if got, err := stream.ParseToken(want.String()); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
}

func TestWhatIsNoToken(t *testing.T) {
	good := stream.Token{To: 1, Name: "tank@a"}.String()
	for _, bad := range []string{"", "-", "1-2-3", "2" + good[1:], good + "00", good[:len(good)-2], "1-0" + good[3:], good + "-", "1-0-0-", "1-zz-1-00"} {
		if got, err := stream.ParseToken(bad); !errors.Is(err, stream.ErrToken) {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

// No text makes it panic, and what it reads it writes as something that says the same.
func FuzzToken(f *testing.F) {
	for text := range realTokens {
		f.Add(text)
	}
	f.Add(stream.Token{}.String())
	f.Fuzz(func(t *testing.T, text string) {
		got, err := stream.ParseToken(text)
		if err != nil {
			return
		}
		if again, err := stream.ParseToken(got.String()); err != nil || again != got {
			t.Errorf("%+v, %v, was %+v", again, err, got)
		}
	})
}

// No list makes it panic.
func FuzzNvlist(f *testing.F) {
	for text := range realTokens {
		packed, err := stream.Packed(text)
		check(f, err)
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) { stream.Unpack(packed) })
}
