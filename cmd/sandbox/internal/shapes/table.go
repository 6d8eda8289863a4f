package shapes

// shape is a kind of dataset. In its commands DATASET is its name and DIR where it is mounted.
type shape struct {
	name  string
	flags string // of zfs_send_flags
	// before is done first, then the dataset is created with these options.
	before  string
	options string
	// open has the dataset mounted at DIR, so that it can be written, and shut leaves it as it is backed up; if they are
	// empty, it is mounted all the time. look makes its snapshots readable in the end.
	open, shut, look string
	fill, change     string // beside the usual files
	// after is what must hold of what was restored, RESTORED.
	after string
	// bare has none of the usual files.
	bare bool
	// volume is one, not a file system.
	volume bool
	// user runs zfs2cloud as an ordinary user, whom this was allowed to.
	user string
	pool string // tank if empty
	// days go by before each change, so that what is older than two is pruned: the base's snapshot, for which a bookmark stands.
	days int
}

const noise = `head -c 3000000 /dev/urandom >DIR/noise; `

// more is written each time.
const more = `head -c 500000 /dev/urandom >>DIR/noise; date >DIR/last; date >DIR/on-$(date +%N)`

// shapes are all of them. RESTORED is what was restored.
var shapes = []shape{
	{name: "lz4", options: "-o compression=lz4", flags: "-c"},
	{name: "zstd", options: "-o compression=zstd", flags: "-c -p", after: `[ "$(zfs get -H -o value compression RESTORED)" = zstd ]`},
	{name: "large-blocks", options: "-o recordsize=1M", flags: "-L -c", fill: noise},
	{name: "large-records-split", options: "-o recordsize=1M", fill: noise},
	{name: "small-records", options: "-o recordsize=512"},
	{name: "embedded-data", options: "-o compression=lz4", flags: "-e -c", fill: `for i in $(seq 100); do echo $i >DIR/small$i; done`},
	{name: "dedup", options: "-o dedup=on", fill: noise + `cp DIR/noise DIR/again`, change: `cp DIR/noise DIR/thrice`},
	{name: "volume", volume: true, options: "-V 16M -o snapdev=visible", flags: "-c",
		fill:   `head -c 3000000 /dev/urandom | dd of=DEVICE bs=1M oflag=direct iflag=fullblock conv=sync,notrunc status=none`,
		change: `head -c 65536 /dev/urandom | dd of=DEVICE bs=64k seek=3 oflag=direct conv=notrunc status=none`},
	{name: "volume-sparse", volume: true, options: "-s -V 64M -b 64k -o snapdev=visible", flags: "-L",
		fill:   `head -c 65536 /dev/urandom | dd of=DEVICE bs=64k seek=900 oflag=direct conv=notrunc status=none`,
		change: `head -c 65536 /dev/urandom | dd of=DEVICE bs=64k seek=1 oflag=direct conv=notrunc status=none`},
	{name: "children", fill: `zfs create DATASET/child; echo x >DIR/child/file`, change: `zfs create DATASET/child2; zfs snapshot -r DATASET@mine`,
		after: `[ "$(zfs list -H -r -o name RESTORED)" = RESTORED ]`},
	{name: "clone", before: `zfs create tank/source; echo x >/tank/source/file; zfs snapshot tank/source@o; zfs clone tank/source@o DATASET`,
		options: "-", after: `[ "$(zfs get -H -o value origin RESTORED)" = - ]`},
	{name: "origin", fill: `zfs snapshot DATASET@o; zfs clone DATASET@o tank/cloned`, change: `echo x >/tank/cloned/other`},
	{name: "full-quota", open: `used=$(zfs get -Hp -o value used DATASET); zfs set quota=$((used + 3000000)) DATASET`,
		fill: untilFull, change: untilFull},
	{name: "readonly", open: `zfs set readonly=off DATASET`, shut: `zfs set readonly=on DATASET`, flags: "-p",
		after: `[ "$(zfs get -H -o value readonly RESTORED)" = on ]`},
	{name: "canmount-off", open: `zfs set canmount=noauto DATASET; zfs mount DATASET || mountpoint -q DIR`, shut: `zfs unmount DATASET; zfs set canmount=off DATASET`},
	{name: "legacy", options: "-o mountpoint=legacy", open: `mkdir -p DIR; mount -t zfs DATASET DIR`, shut: `umount DIR`},
	{name: "encrypted", flags: "-w", options: "-o encryption=on -o keyformat=raw -o keylocation=file:///shapes/key -o canmount=noauto",
		open: `[ "$(zfs get -H -o value keystatus DATASET)" = available ] || zfs load-key DATASET; zfs mount DATASET`, shut: `zfs unmount DATASET; zfs unload-key DATASET`,
		look: `zfs load-key DATASET; zfs load-key -L file:///shapes/key RESTORED`, after: `[ "$(zfs get -H -o value encryption RESTORED)" = aes-256-gcm ]`},
	{name: "encrypted-sent-plain", options: "-o encryption=on -o keyformat=raw -o keylocation=file:///shapes/key",
		after: `[ "$(zfs get -H -o value encryption RESTORED)" = off ]`},
	{name: "raw-not-encrypted", options: "-o compression=lz4 -o recordsize=1M", flags: "-w", fill: noise},
	{name: "pool-without-features", pool: "old", flags: "-c -L -e"},
	{name: "bookmark", days: 3, bare: true, flags: "-L -e -c", fill: noise, change: more},
	{name: "bookmark-encrypted", days: 3, bare: true, flags: "-w", options: "-o encryption=on -o keyformat=raw -o keylocation=file:///shapes/key",
		fill: noise, change: more, look: `zfs load-key -L file:///shapes/key RESTORED`},
	{name: "ordinary-user", user: "snapshot,send,hold,release,destroy,mount,userprop"},
	{name: "many-files", bare: true, fill: manyFiles, change: `rm -r DIR/7; echo x >DIR/8/9`},
}

// untilFull writes until the quota stops it.
const untilFull = `! cat /dev/urandom >>DIR/noise; sync`

// manyFiles are 50,000.
const manyFiles = `for d in $(seq 50); do mkdir DIR/$d; (cd DIR/$d && seq 1000 | split -l 1 -a 3 - f); done`
