# The guest after the power was cut.
set -ex
mkdir -p /data /var/lib/zfs2cloud
mount /dev/vdc /data
mount --bind /data/lib /var/lib/zfs2cloud
zpool import -d /dev tank
zfs2cloud() { /data/zfs2cloud -c /data/config.ini "$@"; }
zfs2cloud status
zfs2cloud status --json | grep -q '"interrupted"'
[ "$(tail -n 1 /data/app.log)" = start ]
zfs2cloud resume
zfs2cloud status
zfs2cloud restore -y tank/new
zfs set mountpoint=/restored tank/new
zfs mount tank/new || zfs get -H -o value mounted tank/new | grep -q yes
sha256sum </restored/noise | cmp - /data/sum
zpool scrub -w tank
zpool status -x
