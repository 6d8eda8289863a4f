# In the guest of vm bench: a dataset of each size is backed up by runs that are killed when a part of the chunks is there. They
# are resumed by a zfs that can continue a send, and by one that can't; and a run begins from the start. Of each a line is said:
# "bench" SIZE PERCENT WAY NANOSECONDS BYTES-READ-FROM-THE-POOL, where the pool has just been imported, so that nothing of it is in
# memory.
set -eu
mkdir -m 755 /bench
cd /bench
printf '[store]\ntype = local\n' >rclone.conf
echo secret >pass
chmod 600 pass
# A zfs that knows no tokens, and its zpool.
mkdir replays
cat >replays/zfs <<'end'
#!/bin/sh
[ "$1 ${2-}" != "send -t" ] || { echo "zfs: unknown option" >&2; exit 2; }
exec zfs "$@"
end
chmod 700 replays/zfs
ln -s "$(command -v zpool)" replays/zpool

tool() { /guest/zfs2cloud -c /bench/home/config.ini "$@"; }

# laid MIB: a pool with that much in it that nothing compresses.
laid() {
	zpool create -f -o ashift=12 -m /tank tank /dev/vdc
	zfs create tank/data
	for i in $(seq 10); do head -c $(($1 / 10))M /dev/urandom >/tank/data/$i; done
}

# fresh MIB: no snapshots, and a job of which nothing is there yet, with chunks of a tenth of the data.
fresh() {
	for s in $(zfs list -H -o name -t snapshot -d 1 tank/data); do
		zfs holds -H $s | while IFS='	' read -r name tag when; do zfs release "$tag" $name; done
		zfs destroy $s
	done
	rm -rf home
	mkdir -p home/spool home/remote
	cat >home/config.ini <<-end
		[main]
		zfs_fs = tank/data
		intermediate_basedir = /bench/home/spool
		remote = store:/bench/home/remote
		rclone_conf = /bench/rclone.conf
		encryption_passphrase_file = /bench/pass
		keep_intermediates = no
		split_size = $(($1 / 10))M
		state_db = /bench/home/state.db
	end
}

# killed CHUNKS: a run, until so many are there.
killed() {
	/guest/zfs2cloud -c /bench/home/config.ini run >log 2>&1 & # not by way of tool, a shell of which would be killed
	pid=$!
	until [ $(find home/remote -name '*.zfs.??????.gpg' | wc -l) -ge $1 ]; do
		kill -0 $pid || { cat log; exit 1; }
		sleep 0.1
	done
	kill -9 $pid
	wait $pid || :
}

# measured SIZE PERCENT WAY COMMAND
measured() {
	until zpool export tank 2>/dev/null; do sleep 0.2; done # what the killed run had started is ending
	sync
	echo 3 >/proc/sys/vm/drop_caches
	zpool import tank
	before=$(awk '{ print $3 }' /sys/block/vdc/stat)
	began=$(date +%s%N)
	tool -v $4 >log 2>&1 || { cat log; exit 1; }
	ended=$(date +%s%N)
	after=$(awk '{ print $3 }' /sys/block/vdc/stat)
	echo "bench $1 $2 $3 $((ended - began)) $(((after - before) * 512))"
}

for size in $SIZES; do
	laid $size
	fresh $size
	measured $size 0 begun run
	for percent in $PERCENTS; do
		for way in continued replayed; do
			fresh $size
			killed $((percent / 10))
			if [ $way = replayed ]; then export ZFS_PATH=/bench/replays/zfs; fi
			measured $size $percent $way resume
			unset ZFS_PATH
			case $way in
			continued) grep -q 'continued behind' log ;;
			replayed) grep -q 'sent again' log ;;
			esac || { cat log; exit 1; }
		done
	done
	zpool destroy tank
done
