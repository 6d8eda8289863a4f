# The guest until the power is cut. What the hooks write must be on the disk then, as what they do to an application is.
set -e
mkfs.ext4 -q /dev/vdc
mkdir /data
mount /dev/vdc /data
mkdir -p /data/lib /var/lib/zfs2cloud
mount --bind /data/lib /var/lib/zfs2cloud
mkdir -m 700 /data/spool /data/remote
zpool create -m none tank /dev/vdd
zfs create -o mountpoint=/data/tank tank/data
head -c 12M /dev/urandom >/data/tank/noise
sha256sum </data/tank/noise >/data/sum
cp -p zfs2cloud /data/zfs2cloud
cat >/data/stop <<'X'
#!/bin/sh
echo stop >>/data/app.log
sync /data/app.log /data
X
cat >/data/start <<'X'
#!/bin/sh
echo start >>/data/app.log
sync /data/app.log /data
X
cat >/data/rclone <<'X'
#!/bin/sh
case "$*" in *000002*) touch /run/moment ;; esac
exec /usr/bin/rclone "$@"
X
chmod 700 /data/stop /data/start /data/rclone
echo a-passphrase-for-the-guest >/data/passphrase
printf '[store]\ntype = local\n' >/data/rclone.conf
cat >/data/config.ini <<'X'
[main]
zfs_fs = tank/data
intermediate_basedir = /data/spool
remote = store:/data/remote
rclone_conf = /data/rclone.conf
encryption_passphrase_file = /data/passphrase
split_size = 2M
[backup-sequences]
01 = lock
02 = /data/stop
03 = snapshot
04 = /data/start
05 = export-intermediate
06 = prune-intermediates -y
07 = prune-snapshots -y
08 = upload-intermediate-to-remote
09 = unlock
X
chmod 600 /data/passphrase /data/rclone.conf /data/config.ini
sync
RCLONE_PATH=/data/rclone /data/zfs2cloud -c /data/config.ini run &
run=$!
until [ -e /run/moment ]; do
	kill -0 $run
	sleep 0.1
done
echo the moment has come
wait $run
