#!/bin/sh
# Stands in for zfs, zpool, gpg, rclone, mount and umount, and is the hooks: by its name. It says what it is called for, and stops at the
# moment that the file "moment" names: a kind of call, how many of that kind, and before, during or after.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
me=${0##*/}
dir=/run/outage
real() {
	case $me in
	start | stop)
		# As what a hook does to an application, this must be on the disk.
		echo "$me" >>/data/app.log
		sync /data/app.log /data
		;;
	mark) ;;
	*) command "$me" "$@" ;;
	esac
}
case "$me $*" in
start*) kind=start ;;
stop*) kind=stop ;;
mark*) kind=mark ;;
"zfs snapshot "*) kind=snapshot ;;
"zfs destroy "*@*) kind=prune ;;
"gpg "*--symmetric*) kind=seal ;;
"mount "*) kind=mount ;;
"umount "*) kind=umount ;;
"rclone "*" sync "*--dry-run*) exec "$(command -v "$me")" "$@" ;;
"rclone "*" sync "*) kind=sync ;;
"rclone "*" copyto "*manifest.json.gpg) kind=commit ;;
"rclone "*" copyto "*.zfs.*) kind=upload ;;
*) exec "$(command -v "$me")" "$@" ;;
esac
size=0 name=-
if [ $kind = upload ]; then
	for name; do
		[ -f "$name" ] && size=$(stat -c %s "$name")
	done
	name=${name##*/}
fi
echo "call $kind $size ${name#.z2c-tmp-}" >$dir/say
n=1
until mkdir "$dir/calls/$kind.$n" 2>/dev/null; do
	n=$((n + 1))
done
read -r wanted nth when <$dir/moment
if [ "$kind $n" != "$wanted $nth" ]; then
	real "$@"
	exit
fi
if [ "$when" = after ]; then
	real "$@"
fi
mkdir $dir/cut
echo moment >$dir/say
if [ "$when" = during ]; then
	real "$@"
	exit
fi
sleep 600
