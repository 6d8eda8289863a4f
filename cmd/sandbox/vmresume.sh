# In the guest of vm resume: datasets of several kinds are backed up, in full and incrementally, and restored. The restore is
# killed with SIGKILL in the middle of the full, and again in the middle of the increment, and each time it has to go on there,
# and to fetch no chunk from before; what it fetched is said, and what one fetches that has to begin again. Then come restores
# that can't go on as easily, or not at all, and those that are given up. Of each a line is said that begins with
# "resume passed" or "resume failed".
set -u
exec 3>&1
mkdir -m 755 /halves
cd /halves
head -c 32 /dev/urandom >key
truncate -s 6G pool
zpool create -o ashift=12 -m /tank tank /halves/pool || exit 1
printf '[store]\ntype = local\n' >rclone.conf
echo secret >pass
chmod 600 pass
encryption='encryption = none'
# rclone that waits for ever before it gives a chunk that is named in the file hold, and a gpg, before it opens one.
cat >rclone <<'end'
#!/bin/sh
if [ -s /halves/hold ]; then
	pattern=$(cat /halves/hold)
	case "$*" in
	*cat*$pattern) touch /halves/held; exec sleep 100000 ;;
	esac
fi
echo "$*" >>/halves/calls
exec rclone "$@"
end
cat >gpg <<'end'
#!/bin/sh
if [ -s /halves/hold ]; then
	pattern=$(cat /halves/hold)
	case $(readlink /proc/$$/fd/0) in
	*$pattern) touch /halves/held; exec sleep 100000 ;;
	esac
fi
exec gpg "$@"
end
chmod 700 rclone gpg
export RCLONE_PATH=/halves/rclone

at() { echo "$kind: $*" >&3; }
tool() { /guest/zfs2cloud -c "/halves/$home/config.ini" "$@"; }

# try KIND TRIAL HOME FLAGS OPTIONS…: a trial with a dataset of that kind, and its backups in the folder HOME, which other trials
# may have made.
try() {
	kind=$1 trial=$2 home=$3 flags=$4
	shift 4
	began=$(date +%s)
	said=$($trial "$@" 2>&1)
	if [ $? = 0 ]; then # not in the condition itself, where the shell would not end at the first error
		echo "resume passed: $kind $(printf '%s\n' "$said" | tail -n 1), $(($(date +%s) - began))s"
	else
		echo "resume failed: $kind $(printf '%s\n' "$said" | tail -n 30 | tr '\n' '/')"
	fi
}

# --- trials ------------------------------------------------------------------------------------------------------

# goes_on_twice: killed in the full and in the increment.
goes_on_twice() (
	set -e
	laid "$@"
	killed full 4 -v restore -y --spool /halves/$home/wait $new
	killed incremental 4 -v resume $id
	went_on $full
	one="full: $went, $(fetched $full) of $(all $full) bytes fetched"
	finished
	if keeps_increments; then
		went_on $last
	else
		if grep 'the receive goes on' $log; then exit 1; fi
		went="begun again"
	fi
	same
	echo "$one; increment: $went, $(fetched $last) of $(all $last)"
)

# begun_again: killed in the full, which zfs then has nothing of any more: what that fetches is what going on spares.
begun_again() (
	set -e
	laid
	killed full 4 -v restore -y --spool /halves/$home/wait $new
	zfs receive -A $new
	finished
	if grep 'the receive goes on' $log; then exit 1; fi
	[ $(fetched $full) = $(all $full) ]
	same
	echo "full: $(fetched $full) of $(all $full) bytes fetched"
)

# without_index CHANGE: killed in the full, and CHANGE is done to its index.
without_index() (
	set -e
	change=$1
	laid
	cp -p $full/index $home/index
	killed full 4 -v restore -y --spool /halves/$home/wait $new
	$change
	finished
	grep -q 'the index is not used' $log
	from_the_first
	cp -p $home/index $full/index
)

lost() { rm $full/index; }
altered() { printf x | dd of=$full/index bs=1 seek=100 conv=notrunc status=none; }

# older: a backup of before there was an index.
older() (
	set -e
	laid
	was=$(sha256sum <$full/manifest.json)
	for b in $full $last; do
		grep -q '^"index":' $b/manifest.json
		sed -i -e '/^"index":/d' -e 's/zfs2cloud-manifest-2/zfs2cloud-manifest-1/' $b/manifest.json
		rm $b/index
		is=$(sha256sum <$full/manifest.json)
		sed -i "s/\"manifest_sha256\":\"${was%% *}\"/\"manifest_sha256\":\"${is%% *}\"/" $last/manifest.json
	done
	killed full 4 -v restore -y --spool /halves/$home/wait $new
	finished
	if grep 'the index is not used' $log; then exit 1; fi
	from_the_first
)

# from_the_first: the receive went on, by chunks that were read from the first on.
from_the_first() {
	went_on $full
	[ $from = 0 ]
	[ $(objects $full | grep -c '\.zfs\.') = $(ls $full/*.zfs.* | wc -l) ]
	same
	echo "full: $went, $(fetched $full) bytes fetched, and nothing received again"
}

# given_up: of a full nothing stays, of an increment the full.
given_up() (
	set -e
	laid
	killed full 4 -v restore -y --spool /halves/$home/wait $new
	tool abort $id
	if zfs list $new; then exit 1; fi
	killed incremental 4 -v restore -y --spool /halves/$home/wait $new
	tool abort $id
	[ "$(zfs get -H -o value receive_resume_token $new)" = - ]
	[ "$(zfs list -H -o name -t snapshot -d 1 $new)" = $new@$first ]
	[ -z "$(ls $home/wait)" ]
	echo "full: nothing left; increment: the full left"
)

# locked: the key of the dataset above is not loaded when the restore goes on: what was received stays.
locked() (
	set -e
	laid
	new=tank/$kind-lock/new
	zfs create -o encryption=on -o keyformat=raw -o keylocation=file:///halves/key -o canmount=off ${new%/*}
	killed full 4 -v restore -y --spool /halves/$home/wait $new
	zfs unload-key ${new%/*}
	if tool -v resume $id >$home/locked.log 2>&1; then exit 1; fi
	grep -q 'inherited key must be loaded' $home/locked.log || { cat $home/locked.log; exit 1; }
	zfs load-key ${new%/*}
	finished
	went_on $full
	same
	echo "key not loaded: failed, and what was received stayed; loaded: $went"
)

# single_file: one file, by way of a scratch dataset; given up in the increment before.
single_file() (
	set -e
	laid
	new=tank/$kind-scratch/received
	killed incremental 4 -v restore -y --spool /halves/$home/wait --path large --into /halves/$home/files ${new%/*}
	tool abort $id
	if zfs list ${new%/*}; then exit 1; fi
	killed full 4 -v restore -y --spool /halves/$home/wait --path large --into /halves/$home/files ${new%/*}
	killed incremental 4 -v resume $id
	went_on $full
	finished
	went_on $last
	cmp /$dataset/.zfs/snapshot/$stamp/large $home/files/large
	if zfs list ${new%/*}; then exit 1; fi
	echo "one file: $went"
)

# by_script: restore.sh, which keeps nothing of a receive that is cut off, killed in the full, and in the increment.
by_script() (
	set -e
	encryption='encryption_passphrase_file = /halves/pass'
	laid
	echo "$(cat pass) zfs2cloud-restore-1" |
		gpg --batch --no-options --no-autostart --homedir /halves --pinentry-mode loopback --passphrase-fd 0 -o $home/restore.sh -d $full/restore.sh.gpg
	script_killed full 4
	for i in $(seq 60); do
		zfs list $new || break # zfs takes away what the killed receive had made, in its own time
		sleep 0.5
	done
	if zfs list $new; then exit 1; fi
	script_killed incremental 4
	[ "$(zfs list -H -o name -t snapshot -d 1 $new)" = $new@$first ]
	at script
	log=$home/script.log
	sh $home/restore.sh -p pass $last $new >$log 2>&1 || { cat $log; exit 1; }
	grep -q '^SKIPPED .*-full' $log
	same
	at refusals
	[ "$(zfs list -H -o name -t snapshot -d 1 $dataset | wc -l)" = 2 ]
	zfs unmount $dataset
	exists $dataset "$dataset exists: "
	zfs mount $dataset
	date >/$new/since # it was mounted to be compared
	zfs unmount $new
	exists $new "$new exists, and was written to"
	echo "restore.sh: full begun again; increment begun again, the full kept; the source, and what was used since, left alone"
)

# exists: restore.sh refuses a dataset, as that.
exists() (
	set -e
	log=$home/refused.log
	if sh $home/restore.sh -p pass $last $1 >$log 2>&1; then exit 1; fi
	grep -q "^STOPPED: $2" $log || { cat $log; exit 1; }
)

# --- what they are made of ---------------------------------------------------------------------------------------

# laid OPTIONS…: a dataset with these, backed up in full and incrementally.
laid() {
	dataset=tank/$home new=tank/$kind-new
	[ -e $home ] || backed_up "$@"
	full=$(ls -d $home/remote/*-full) last=$(ls -d $home/remote/2*[0-9])
	stamp=${last##*/} first=${full##*/}
	first=${first%-full}
}

backed_up() {
	zfs create "$@" $dataset
	mkdir $home $home/spool $home/remote $home/wait
	cat >$home/config.ini <<-end
		[main]
		zfs_fs = $dataset
		intermediate_basedir = /halves/$home/spool
		remote = store:/halves/$home/remote
		rclone_conf = /halves/rclone.conf
		$encryption
		split_size = 2M
		state_db = /halves/$home/state.db
	end
	[ -z "$flags" ] || echo "zfs_send_flags = $flags" >>$home/config.ini
	fill 1
	at full
	tool run
	sleep 1
	fill 2
	at incremental
	tool run
}

# fill N: the Nth state of the dataset.
fill() {
	zfs set test:state=$1 $dataset
	if [ "$(zfs get -H -o value type $dataset)" = volume ]; then
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
	at "$*"
	which=$1
	hold "$@"
	log=$home/killed.log
	shift 2
	: >calls
	/guest/zfs2cloud -c /halves/$home/config.ini "$@" >$log 2>&1 &
	pid=$!
	awaited
	token=none
	until kept; do
		token=$(zfs get -H -o value receive_resume_token $new)
		sleep 1
		zpool sync tank
	done
	kill -9 $pid
	wait $pid || :
	: >hold
	id=$(sed -n 's/.* run=\([a-z0-9]*\) .*/\1/p' $log | head -n 1)
	[ -n "$id" ] || { cat $log; exit 1; }
}

# hold WHICH CHUNK: who is to give that chunk of the full or of the incremental, or to open it, waits for ever.
hold() {
	case $1 in
	full) printf -- '-full/*.zfs.%06d*' $2 >hold ;;
	*) printf "/$stamp/*.zfs.%06d*" $2 >hold ;;
	esac
	rm -f held
}

# awaited: the process $pid has come to what it waits for.
awaited() {
	until [ -e held ]; do
		kill -0 $pid || { cat $log; exit 1; }
		sleep 0.2
	done
}

# script_killed WHICH CHUNK: restore.sh and all that it started, killed once it is about to open that chunk.
script_killed() {
	at restore.sh "$@"
	hold "$@"
	log=$home/killed.log
	setsid sh $home/restore.sh -p pass -g /halves/gpg $last $new >$log 2>&1 &
	pid=$!
	awaited
	sleep 1
	zpool sync tank
	kill -9 -$pid
	wait $pid || :
	: >hold
}

# kept: the dataset keeps as much as it did a moment ago.
kept() {
	[ $which = full ] || keeps_increments || return 0
	[ "$token" = "$(zfs get -H -o value receive_resume_token $new)" ] && [ ${#token} -gt 100 ]
}

# finished: the run goes on to its end.
finished() {
	at resume
	log=$home/resumed.log
	: >calls
	tool -v resume $id >$log 2>&1 || { cat $log; exit 1; }
}

# went_on FOLDER: the log says from which chunk of it on it went on, and no chunk before that was fetched.
went_on() {
	from=$(sed -n 's/.*the receive goes on.* chunk=\([0-9]*\) .*/\1/p' $log)
	[ -n "$from" ] || { cat $log; exit 1; }
	if grep 'received again' $log; then exit 1; fi
	for n in $(objects $1 | sed -n 's/.*\.zfs\.0*\([0-9]\)/\1/p'); do [ $n -ge $from ]; done
	went="on from chunk $from of $(ls $1/*.zfs.* | wc -l)"
}

# keeps_increments: with properties none is gone on with.
keeps_increments() { case $flags in *-p*) return 1 ;; esac; }

# objects FOLDER: those of a backup that were fetched since calls was emptied.
objects() { sed -n "s|.*cat .*/\(${1##*/}/[^ ]*\)\$|\1|p" calls | grep -v manifest; }

# fetched FOLDER: their bytes.
fetched() {
	for object in $(objects $1); do
		[ ! -e $home/remote/$object ] || stat -c %s $home/remote/$object
	done | awk '{ sum += $1 } END { print sum + 0 }'
}

# all FOLDER: the bytes of all its chunks.
all() { stat -c %s $1/*.zfs.* | awk '{ sum += $1 } END { print sum }'; }

# same: what was restored is what was there.
same() {
	at compare
	[ "$(zfs get -H -o value receive_resume_token $new)" = - ]
	[ "$(zfs get -Hp -o value guid $dataset@$stamp)" = "$(zfs get -Hp -o value guid $new@$stamp)" ]
	case $flags in
	*-p*)
		[ "$(zfs get -H -o value,source test:state $new)" = '2	received' ] || { zfs get all $new; exit 1; }
		[ "$(zfs get -H -o value compression $dataset)" = "$(zfs get -H -o value compression $new)" ]
		;;
	esac
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
	for s in $first $stamp; do
		diff -r --no-dereference /$dataset/.zfs/snapshot/$s /$new/.zfs/snapshot/$s
	done
}

for word in ${WORD:-plain begun-again index-lost index-altered given-up locked single-file format-1 large properties raw volume script}; do
	case $word in
	plain) try plain goes_on_twice plain '' ;;
	begun-again) try begun-again begun_again plain '' ;;
	index-lost) try index-lost without_index plain '' lost ;;
	index-altered) try index-altered without_index plain '' altered ;;
	given-up) try given-up given_up plain '' ;;
	locked) try locked locked plain '' ;;
	single-file) try single-file single_file plain '' ;;
	format-1) try format-1 older plain '' ;; # the index is gone for ever
	large) try large goes_on_twice large '-L -c -e' -o recordsize=1M -o compression=lz4 ;;
	properties) try properties goes_on_twice properties -p -o compression=zstd ;;
	raw) try raw goes_on_twice raw -w -o encryption=on -o keyformat=raw -o keylocation=file:///halves/key ;;
	volume) try volume goes_on_twice volume -c -V 40M -o snapdev=visible ;;
	script) try script by_script sealed '' ;;
	esac
done
