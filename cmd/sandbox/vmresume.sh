# In the guest of vm resume: datasets of several kinds are backed up, in full and incrementally, and restored. The restore is
# killed with SIGKILL in the middle of the full, and again in the middle of the increment, and each time it has to go on there,
# and to fetch no chunk from before. Of each kind a line is said that begins with "resume passed" or "resume failed".
set -u
exec 3>&1
mkdir -m 755 /halves
cd /halves
head -c 32 /dev/urandom >key
truncate -s 4G pool
zpool create -o ashift=12 -m /tank tank /halves/pool || exit 1
printf '[store]\ntype = local\n' >rclone.conf
# rclone that waits for ever before it gives a chunk that is named in the file hold.
cat >rclone <<'end'
#!/bin/sh
echo "$*" >>/halves/calls
if [ -s /halves/hold ]; then
	pattern=$(cat /halves/hold)
	case "$*" in
	*cat*$pattern) touch /halves/held; exec sleep 100000 ;;
	esac
fi
exec rclone "$@"
end
chmod 700 rclone
export RCLONE_PATH=/halves/rclone

at() { echo "$kind: $*" >&3; }
tool() { /guest/zfs2cloud -c "/halves/$kind/config.ini" "$@"; }

# try KIND FLAGS OPTIONS…: a dataset of that kind.
try() {
	kind=$1 flags=$2
	shift 2
	began=$(date +%s)
	said=$(trial "$@" 2>&1)
	if [ $? = 0 ]; then # not in the condition itself, where the shell would not end at the first error
		echo "resume passed: $kind $(printf '%s\n' "$said" | tail -n 1), $(($(date +%s) - began))s"
	else
		echo "resume failed: $kind $(printf '%s\n' "$said" | tail -n 30 | tr '\n' '/')"
	fi
}

trial() (
	set -e
	dataset=tank/$kind new=tank/$kind-new
	zfs create "$@" $dataset
	mkdir $kind $kind/spool $kind/remote $kind/tmp
	cat >$kind/config.ini <<-end
		[main]
		zfs_fs = $dataset
		intermediate_basedir = /halves/$kind/spool
		remote = store:/halves/$kind/remote
		rclone_conf = /halves/rclone.conf
		encryption = none
		split_size = 2M
		state_db = /halves/$kind/state.db
	end
	[ -z "$flags" ] || echo "zfs_send_flags = $flags" >>$kind/config.ini
	fill 1
	at full
	tool run
	sleep 1
	fill 2
	at incremental
	tool run
	full=$(ls -d $kind/remote/*-full) last=$(ls -d $kind/remote/2*[0-9])
	stamp=${last##*/}

	at restore
	killed full 4 -v restore -y --spool /halves/$kind/tmp $new
	id=$(sed -n 's/.* run=\([a-z0-9]*\) .*/\1/p' $kind/killed-full.log | head -n 1)
	[ -n "$id" ] || { cat $kind/killed-full.log; exit 1; }
	at resume
	killed incremental 4 -v resume $id
	goes_on $kind/killed-incremental.log $full
	one=$went
	at resume
	: >calls
	tool -v resume $id 2>$kind/resumed.log || { cat $kind/resumed.log; exit 1; }
	goes_on $kind/resumed.log $last
	[ "$(zfs get -H -o value receive_resume_token $new)" = - ]
	[ "$(zfs get -Hp -o value guid $dataset@$stamp)" = "$(zfs get -Hp -o value guid $new@$stamp)" ]
	at compare
	same
	echo "full: $one; incremental: $went"
)

# fill N: the Nth state of the dataset.
fill() {
	if [ -b /dev/zvol/$dataset ] || [ "$(zfs get -H -o value type $dataset)" = volume ]; then
		udevadm settle
		head -c 20M /dev/urandom | dd of=/dev/zvol/$dataset bs=1M seek=$((($1 - 1) * 15)) iflag=fullblock conv=notrunc status=none
		sync
		return
	fi
	for i in $(seq 60); do echo "$1 $i" >/$dataset/small$i; done
	head -c 7M /dev/urandom >/$dataset/large
	for i in $(seq 3); do head -c 2M /dev/urandom >/$dataset/file$i; done
	seq 100000 >/$dataset/text
	truncate -s 100M /$dataset/sparse
	echo end >>/$dataset/sparse
	ln -sf $(head -c 90 /dev/zero | tr '\0' x) /$dataset/link$1
	sync
}

# killed WHICH CHUNK ARGUMENTS…: zfs2cloud with these arguments, killed once it waits for that chunk of the full or of the
# incremental, and what came before it has reached the disk.
killed() {
	case $1 in
	full) printf -- '-full/*.zfs.%06d' $2 >hold ;;
	*) printf "/$stamp/*.zfs.%06d" $2 >hold ;;
	esac
	log=$kind/killed-$1.log
	shift 2
	rm -f held
	/guest/zfs2cloud -c /halves/$kind/config.ini "$@" >$log 2>&1 &
	pid=$!
	until [ -e held ]; do
		kill -0 $pid || { cat $log; exit 1; }
		sleep 0.2
	done
	token=none
	until [ "$token" = "$(zfs get -H -o value receive_resume_token $new)" ] && [ ${#token} -gt 100 ]; do
		token=$(zfs get -H -o value receive_resume_token $new)
		sleep 1
		zpool sync tank
	done
	kill -9 $pid
	wait $pid || :
	: >hold
	token=$(zfs get -H -o value receive_resume_token $new)
}

# goes_on LOG FOLDER: the log says from which chunk on it went on, and no chunk before that was fetched.
goes_on() {
	from=$(sed -n 's/.*the receive goes on.* chunk=\([0-9]*\) .*/\1/p' $1)
	[ -n "$from" ] || { cat $1; exit 1; }
	if grep 'received again' $1; then exit 1; fi
	went="on from chunk $from of $(ls $2/*.zfs.* | wc -l)"
}

# same: what was restored is what was there.
same() {
	if [ "$(zfs get -H -o value type $dataset)" = volume ]; then
		zfs set snapdev=visible tank
		udevadm settle
		cmp /dev/zvol/$dataset@$stamp /dev/zvol/$new@$stamp
		return
	fi
	case $(zfs get -H -o value keystatus $new) in
	unavailable) zfs load-key -L file:///halves/key $new ;;
	esac
	zfs set mountpoint=/$new $new
	mountpoint -q /$new || zfs mount $new
	first=${full##*/}
	first=${first%-full}
	for s in $first $stamp; do
		diff -r --no-dereference /$dataset/.zfs/snapshot/$s /$new/.zfs/snapshot/$s
	done
}

for word in ${WORD:-plain large properties raw volume}; do
	case $word in
	plain) try plain '' ;;
	large) try large '-L -c -e' -o recordsize=1M -o compression=lz4 ;;
	properties) try properties -p -o compression=zstd ;;
	raw) try raw -w -o encryption=on -o keyformat=raw -o keylocation=file:///halves/key ;;
	volume) try volume -c -V 40M -o snapdev=visible ;;
	esac
done
