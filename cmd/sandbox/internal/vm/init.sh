#!/bin/sh
# The first process of the guest, on its root. early.sh has mounted /dev, /proc, /sys and /run.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
# However this ends, so does the guest: QEMU is told to end where a machine would boot again.
trap 'sync; echo b >/proc/sysrq-trigger' EXIT
set -e
mkdir -p /dev/pts /dev/shm /guest
mount -t devpts devpts /dev/pts
hostname guest
ip link set lo up
/lib/systemd/systemd-udevd --daemon
modprobe virtio_console
modprobe virtio_rng
modprobe zfs
# Only what is needed: every device would load drivers for seconds.
udevadm trigger --action=add --subsystem-match=block --subsystem-match=virtio-ports
# In one of some seven hundred boots that said "Broken pipe", and nothing said whether udevd had died.
udevadm settle || {
	dmesg | tail -n 4
	echo "systemd-udevd: $(pgrep -x systemd-udevd || echo 'its process is gone')"
	exit 1
}
cd /guest
tar -xf /dev/vdb
status=0
./run </dev/null >/dev/virtio-ports/z2c.output 2>&1 || status=$?
echo "$status" >/dev/virtio-ports/z2c.status
