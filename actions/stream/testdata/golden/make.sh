#!/bin/sh -e
# Makes the streams in this folder with the ZFS that answers, in a pool of its own called golden. They were made with
# zfs-fuse 0.7. The tests name their GUIDs, which are others each time.
out=$(dirname "$(readlink -f "$0")")
dir=$(mktemp -d)
truncate -s 96M "$dir/image"
zpool create -m "$dir/golden" golden "$dir/image"
cd "$dir/golden"
for i in 1 2 3 4 5 6; do yes "line $i of a file" | head -c $((i * 9000)) >file$i; done
mkdir -p folder deep/er
yes block | head -c 300000 >folder/blocks
echo x >deep/er/x
ln -s file1 link
: >empty
truncate -s 3M sparse
printf end >>sparse
zfs snapshot golden@a
rm file2
echo more >>file3
yes new | head -c 20000 >file7
printf Z | dd of=folder/blocks bs=1 seek=150000 conv=notrunc 2>/dev/null
zfs snapshot golden@b
zfs set test:note=hello golden
zfs create golden/child
echo child >child/c
zfs snapshot -r golden@c
cd /
send() { zfs send "$@" | gzip -9n >"$out/$name.gz"; }
name=full send golden@a
name=incremental send -i @a golden@b
name=properties send -p golden@b
name=incremental-properties send -p -i @a golden@b
name=package send -R golden@c
name=all-between send -I @a golden@c
zpool destroy golden
rm -r "$dir"
