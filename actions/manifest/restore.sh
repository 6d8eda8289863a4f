#!/bin/sh
# Restores a ZFS dataset from backups that zfs2cloud made, without zfs2cloud. It needs gpg (2.2 or newer, or 1.4),
# zfs, sha256sum, and what every system has.
#
#   sh restore.sh [-p FILE] [-g GPG] [-t DIR] FOLDER NEW
#
# FOLDER   the folder of the backup, fetched from the remote; those that it is based on lie beside it
# NEW      the dataset to make, such as newpool/data; its pool, or what it lies in, must be there
# -p FILE  has the passphrase on its first line, and on further lines older ones, if the chain needs them;
#          without it they are asked for
# -g GPG   another gpg: gpg1
# -t DIR   where a piece at a time is opened, in clear, in a folder of its own ($TMPDIR, else /var/tmp)
#
# Whoever can write to the remote may have changed what lies there. So:
# - A message counts as opened only if gpg exits with 0 and says exactly once each DECRYPTION_OKAY, GOODMDC, PLAINTEXT.
#   None of that by itself is enough: of an unencrypted message gpg gives out the text, and exits with 0.
# - Only the manifest is believed, which opens by a passphrase of its own. It names the SHA-256 of each file, which is
#   compared before gpg sees a byte, and of what comes out of it, which is compared before zfs sees a byte; and the
#   SHA-256 of its base's manifest, so that one manifest proves a chain.
# - No name is taken from it but one that is the one computed here, and nothing of it is ever run.
# - What exists is not touched, but for what an earlier call of this made: cut off, it goes on when called again.

set -u
set +a +x # variables would go to all children, or be shown
umask 077
ulimit -c 0 2>/dev/null
unset CDPATH ENV BASH_ENV IFS passes pass line # what comes from outside would be exported
LC_ALL=C
export LC_ALL
nl='
'
manifest_label=' zfs2cloud-manifest-1'
largest=67108864 # bytes that a manifest may have

say() { printf '%s\n' "$*" >&2; }

stop() {
	say "STOPPED: $*."
	exit 1
}

usage() {
	say 'usage: sh restore.sh [-p FILE] [-g GPG] [-t DIR] FOLDER NEW
FOLDER is the folder of the backup, with those that it is based on beside it; NEW the dataset to make.'
	exit 2
}

# plain TEXT: what can play no tricks on a terminal.
plain() { printf '%s' "$1" | tr -c '[:print:]' '?'; }

# --- passphrases -------------------------------------------------------------------------------------------------

# Those that are known, a line each. They are never written to a file, and go to gpg by a pipe.
passes=
was= # how the terminal was set

add_pass() { # LINE
	line=${1%"$(printf '\r')"}
	[ -z "$line" ] || passes=$passes$line$nl
}

read_passes() { # FILE
	[ -f "$1" ] && [ -r "$1" ] || stop "there is no file $1 that can be read"
	while IFS= read -r line || [ -n "$line" ]; do
		add_pass "$line"
	done <"$1"
	[ -n "$passes" ] || stop "$1 has no passphrase"
}

# ask PROMPT asks for one, if somebody is there.
ask() {
	[ -t 0 ] || return 1
	printf '%s: ' "$1" >&2
	was=$(stty -g) && stty -echo || stop 'the terminal can not be told to show nothing'
	IFS= read -r line || line=
	stty "$was"
	was=
	say ''
	[ -n "$line" ] || return 1
	add_pass "$line"
}

# use N makes the N-th the one that opened takes.
use() {
	set -f
	IFS=$nl
	set -- "$1" $passes
	unset IFS
	set +f
	shift "$1"
	pass=$1
}

# --- messages ----------------------------------------------------------------------------------------------------

# is FILE SHA256: a file of this folder has exactly that hash.
is() { [ "$(sha256sum <"$1")" = "$2  -" ]; }

# ordinary PATH: an ordinary file, and not a link to one.
ordinary() { [ -f "$1" ] && [ ! -L "$1" ]; }

# opened FILE LABEL MOST opens a message into $W/plain, by $pass with LABEL behind it. MOST is the most that may come out.
# A gpg that did not look at it at all, such as one too old for its options, ends all.
opened() {
	# Made as zfs2cloud has it made: a passphrase's AES256 with SHA-256 and the highest count, then encrypted data with integrity.
	case $(od -A n -t x1 -N 16 "$1" | tr -d ' \n') in
	8c0d04090308????????????????ffd2) ;;
	*) return 1 ;;
	esac
	rm -rf "$W/home"
	mkdir "$W/home" || stop "no room in $W"
	# The environment is made, not inherited; --no-options does not keep all of /etc/gnupg/gpg.conf away.
	printf '%s%s\n' "$pass" "$2" |
		env -i PATH="$PATH" LC_ALL=C HOME=/nonexistent "$gpg" --batch --no-tty --no-options --no-greeting --homedir "$W/home" \
			$alone --max-output "$3" --passphrase-fd 3 --status-fd 4 --decrypt --output - \
			3<&0 <"$1" >"$W/plain" 4>"$W/said" 2>"$W/err" || {
			grep -q '^\[GNUPG:] [^F]' "$W/said" && return 1
			why
			stop "$gpg does not run as it should"
		}
	for said in DECRYPTION_OKAY GOODMDC PLAINTEXT; do
		[ "$(grep -c -e "^\[GNUPG:] $said\$" -e "^\[GNUPG:] $said " "$W/said")" = 1 ] || return 1
	done
}

# why shows what gpg had against the last message.
why() { sed -n '1,5p' "$W/err" | tr -c '[:print:]\n' '?' >&2; }

# --- manifests ---------------------------------------------------------------------------------------------------

# stamp_of FOLDER: a folder is named by 14 digits, and -full behind them if it is based on no other.
stamp_of() {
	stamp=${1%-full}
	full=
	[ "$stamp" = "$1" ] || full=yes
	case $stamp in
	*[!0-9]*) return 1 ;;
	??????????????) return 0 ;;
	esac
	return 1
}

# get LINE REGEX [PART] gives what is in the parentheses of a whole line of the manifest, and nothing if it is not of that form.
get() { sed -n "$1s/^$2\$/${3:-\\1}/p" "$W/manifest"; }

guid='[1-9][0-9]\{0,19\}'
hash='[0-9a-f]\{64\}'
folder='[0-9]\{14\}\(-full\)\{0,1\}'
count='[1-9][0-9]\{0,17\}'

# open_manifest FOLDER opens its manifest into $W/manifest, and sets $key to which passphrase it was.
open_manifest() {
	object=$1/manifest.json.gpg
	[ ! -e "$1/manifest.json" ] || stop "$1 has manifest.json, which is not encrypted and proves nothing; by hand, RESTORE.txt goes on"
	ordinary "$object" || stop "there is no $object: is all of $1 fetched, and beside the others?"
	[ "$(wc -c <"$object")" -le "$largest" ] || stop "$object is larger than a manifest"
	key=0
	prompt=Passphrase
	while :; do
		key=$((key + 1))
		known=$(printf '%s' "$passes" | grep -c '')
		if [ "$key" -gt "$known" ]; then
			if [ "$known" -gt 0 ]; then
				! grep -q '^\[GNUPG:] PLAINTEXT ' "$W/said" || { why; stop "$object does not open to its end: it was changed by someone, or there is no room in $W"; }
				say "$object does not open: wrong passphrase, or changed by someone."
				why
				prompt="Passphrase of $1, if it is an older one"
			fi
			ask "$prompt" || stop "$object does not open: a passphrase is missing, or it was changed by someone (-p FILE: a file with the passphrase)"
		fi
		use "$key"
		! opened "$object" "$manifest_label" "$largest" || break
	done
	mv -f "$W/plain" "$W/manifest"
}

# read_manifest FOLDER takes the opened manifest apart, and holds it against what it must be. It sets the variables that
# it assigns, and makes the table of the files: number, generation, name, bytes in clear, size, SHA-256 of file and of
# what is in it, a line each.
read_manifest() {
	stamp_of "$1"
	kind=incremental
	[ -z "$full" ] || kind=full
	bad="the manifest of $1"
	above=8 # lines before the list of files
	case $(get 1 '{"format":"\(.*\)",') in
	zfs2cloud-manifest-1) ;;
	zfs2cloud-manifest-2) # names an index of the files, too, which is of no use here
		[ -n "$(get 8 "\"index\":{\"gen\":[1-9][0-9]\{0,8\},\"name\":\"\(index[.0-9gp]*\)\",\"plain\":$count,\"size\":$count,\"sha256\":\"$hash\",\"plain_sha256\":\"$hash\"},")" ] ||
			stop "$bad: line 8 is not as it should be"
		above=9
		;;
	*) stop "$bad is of another format than this script reads: take the script that lies beside the newest backup" ;;
	esac
	created=$(get 2 "\"name\":\"$1\",\"kind\":\"$kind\",\"created\":\"\([-0-9T:Z]\{20\}\)\",\"tool\":\".*\",")
	[ -n "$created" ] || stop "$bad is that of another backup"
	host=$(get 3 '"host":"\(.*\)","job":"[0-9a-f]\{32\}","pool_guid":.*,')
	owner=$(get 3 "\"host\":\".*\",\"job\":\"\([0-9a-f]\{32\}\)\",\"pool_guid\":\"$guid\",\"dataset\":\".*\",\"dataset_guid\":\"\($guid\)\"," '\1 \2')
	dataset=$(get 3 "\"host\":\".*\",\"job\":\"[0-9a-f]\{32\}\",\"pool_guid\":\"$guid\",\"dataset\":\"\([A-Za-z][A-Za-z0-9_.: \/-]*\)\",\"dataset_guid\":\"$guid\",")
	[ -n "$host" ] && [ -n "$owner" ] && [ -n "$dataset" ] || stop "$bad: line 3 is not as it should be"
	snapshot=$(get 4 "\"snapshot\":\"\([A-Za-z0-9_.: -]\{1,\}\)\",\"snapshot_guid\":\"$guid\",\"send_flags\":\[.*\],")
	snapshot_guid=$(get 4 "\"snapshot\":\".*\",\"snapshot_guid\":\"\($guid\)\",\"send_flags\":\[.*\],")
	flags=$(get 4 "\"snapshot\":\".*\",\"snapshot_guid\":\"$guid\",\"send_flags\":\[\([-cLewp\",]*\)\]," 'flags \1')
	[ -n "$snapshot" ] && [ -n "$snapshot_guid" ] && [ -n "$flags" ] || stop "$bad: line 4 is not as it should be"
	if [ -n "$full" ]; then
		base=$(get 5 '"base":null,' none)
	else
		base=$(get 5 "\"base\":{\"name\":\"\($folder\)\",\"snapshot_guid\":\"\($guid\)\",\"manifest_sha256\":\"\($hash\)\"}," '\1 \3 \4')
	fi
	[ -n "$base" ] || stop "$bad: line 5 is not as it should be"
	[ -n "$(get 6 '"previous":\(.*\),')" ] || stop "$bad: line 6 is not as it should be"
	sizes=$(get 7 "\"split_size\":\($count\),\"stream_bytes\":\($count\),\"stream_sha256\":\"$hash\"," '\1 \2')
	[ -n "$sizes" ] && [ "$(get "$above" '\("chunks":\[\)')" = '"chunks":[' ] && [ "$(get '$' '\(\]}\)')" = ']}' ] ||
		stop "$bad is not as it should be"
	split=${sizes% *}
	bytes=${sizes#* }
	sed -n "$((above + 1)),\$s/^{\"n\":\([0-9]\{1,9\}\),\"gen\":\([1-9][0-9]\{0,8\}\),\"name\":\"\([A-Za-z0-9._:@-]*\)\",\"plain\":\($count\),\"size\":\($count\),\"sha256\":\"\($hash\)\",\"plain_sha256\":\"\($hash\)\"},\{0,1\}\$/\1 \2 \3 \4 \5 \6 \7/p" \
		"$W/manifest" >"$W/files"
	files=$(wc -l <"$W/files")
	files=$((files))
	[ "$files" -gt 0 ] && [ "$(wc -l <"$W/manifest")" -eq $((files + above + 1)) ] || stop "$bad: the list of files is not as it should be"
	read_files
}

# read_files holds the table against what it must be.
read_files() {
	prefix=$(printf '%s' "$dataset" | tr / - | tr -c 'A-Za-z0-9._:-' _)@$stamp.zfs.
	i=0
	sum=0
	while read -r n gen name length rest; do
		[ "$n" = "$i" ] || stop "$bad: file $n stands in place $i"
		number=$i
		if [ "$i" -lt 1000000 ]; then
			number=$((1000000 + i))
			number=${number#1}
		fi
		[ "$gen" = 1 ] || number=$number.g$gen
		[ "$name" = "$prefix$number.gpg" ] || stop "$bad: file $n is not named $prefix$number.gpg"
		i=$((i + 1))
		[ "$length" -eq "$split" ] || { [ "$i" -eq "$files" ] && [ "$length" -lt "$split" ]; } || stop "$bad: file $n has another length than the others"
		sum=$((sum + length))
	done <"$W/files"
	[ "$sum" -eq "$bytes" ] || stop "$bad: the lengths of the files do not add up"
}

# read_chain FOLDER opens the manifests from there on to the full. Of the K-th, $W/K.link has folder, which passphrase, GUID,
# $W/K.snapshot the snapshot's name, $W/K.files the table.
read_chain() {
	links=0
	next=$1
	all_bytes=0
	all_guids=
	want=
	while [ "$next" != none ]; do
		open_manifest "$next"
		read_manifest "$next"
		if [ "$links" -eq 0 ]; then
			newest_owner=$owner
			raw=
			case ${flags#flags} in *w*) raw=", and its data is encrypted by ZFS too: zfs load-key '$new'" ;; esac
			say "FROM     $(plain "$host"): $dataset, as it was at $created"
		fi
		[ "$owner" = "$newest_owner" ] || stop "$bad is of another job or dataset"
		[ -z "$want" ] || [ "$snapshot_guid" = "$want" ] || stop "$bad is of another snapshot than $last was made from"
		links=$((links + 1))
		say "CHAIN    $next, $files files, $bytes bytes"
		printf '%s\n' "$next $key $snapshot_guid" >"$W/$links.link"
		printf '%s\n' "$snapshot" >"$W/$links.snapshot"
		mv "$W/files" "$W/$links.files"
		all_bytes=$((all_bytes + bytes))
		all_guids=$all_guids$snapshot_guid$nl
		last=$next
		last_stamp=$stamp
		next=none
		if [ "$base" != none ]; then
			sha=${base##* }
			next=${base%% *}
			want=${base#* }
			want=${want%% *}
			stamp_of "$next" && [ "$stamp" -lt "$last_stamp" ] || stop "$bad names a base that is not older"
			ordinary "$next/manifest.json.gpg" || stop "$last is based on $next: fetch that folder too, and put it beside $last"
			is "$next/manifest.json.gpg" "$sha" || stop "$next/manifest.json.gpg is not the one that $last was based on"
		fi
	done
}

# --- zfs ---------------------------------------------------------------------------------------------------------

# there NAME: the dataset or snapshot is there; its GUID goes to $W/guid. What can't be told ends all.
there() {
	zfs get -H -p -o value guid "$1" >"$W/guid" 2>"$W/err" </dev/null && return 0
	grep -q 'does not exist' "$W/err" || stop "zfs does not tell whether $1 is there: $(cat "$W/err")"
	return 1
}

# received K: the K-th backup is in $new.
received() {
	read -r name key snapshot_guid <"$W/$1.link"
	IFS= read -r snapshot <"$W/$1.snapshot"
	there "$new@$snapshot" || return 1
	[ "$(cat "$W/guid")" = "$snapshot_guid" ] || stop "$new@$snapshot is another snapshot than that of $name: do not use it"
}

# made VALUE-OR-SOURCE: what zfs says of the property by which a dataset is known as one that this made. Its snapshots tell
# nothing: the source itself has the same.
made() { zfs get -H -o "$1" zfs2cloud:restored "$new" 2>/dev/null; }

# may_go_on: $new is there. Only what this made earlier, and nobody has used since, is gone on with.
may_go_on() {
	[ "$(made value)" = "$last" ] && [ "$(made source)" = local ] && received "$links" || stop "$new exists: a backup is only restored into a new dataset (or half of it is there, of a call that was cut off: zfs destroy takes that away)"
	zfs get -H -p -r -o name,value guid "$new" >"$W/all" 2>"$W/err" || stop "zfs does not tell what is in $new: $(cat "$W/err")"
	while IFS='	' read -r name value; do
		case $name in
		"$new") ;;
		"$new@"*)
			case $nl$all_guids in
			*"$nl$value$nl"*) ;;
			*) stop "$new exists, and has a snapshot that is none of this chain: $name" ;;
			esac
			;;
		*) stop "$new exists, and $name in it" ;;
		esac
	done <"$W/all"
	[ "$(zfs get -H -o value mounted "$new")" != yes ] || stop "$new exists, and is mounted: a backup is only restored into a new dataset"
	# Of a volume only this tells that somebody has used it. zfs-fuse has no such property.
	case $(zfs get -H -p -o value written "$new" 2>/dev/null) in
	'' | 0) ;;
	*) stop "$new exists, and was written to since it was restored: a backup is only restored into a new dataset" ;;
	esac
	say "GOES ON  $new has the beginning of this chain"
}

# check_new: $new is a name, what it is to lie in is there, and it is not, or may be gone on with.
check_new() {
	case $new in
	[!A-Za-z]* | *[!A-Za-z0-9_.:\ /-]* | *//* | */) stop "$(plain "$new") is no name of a dataset" ;;
	*/*) ;;
	*) stop "$new is a pool: name a new dataset in it, such as $new/restored" ;;
	esac
	there "${new%/*}" || stop "there is no ${new%/*}, in which ${new##*/} is to be"
	! there "$new" || may_go_on
}

# piece opens a file of the backup into $W/plain, and proves it.
piece() { # NAME BYTES SIZE SHA256 SHA256-OF-CONTENT
	object=$folder_now/$1
	ordinary "$object" || stop "there is no $object: is all of $folder_now fetched?"
	is "$object" "$4" || stop "$object is not as it was made: fetch it again"
	opened "$object" '' "$2" || { why; stop "$object does not open"; }
	is "$W/plain" "$5" || stop "$object has another content than was put in"
}

# word AT LENGTH: an unsigned number in $W/plain.
word() { od -A n -t "u$2" -j "$1" -N "$2" "$W/plain" | tr -d ' \n'; }

# begins GUID BASE looks at how the stream in $W/plain begins: with the record BEGIN of this snapshot, and of that base (0: none).
# It sets $volume. Properties (send -p) are wrapped around it, with a BEGIN of their own, and an END. A record has 312 bytes.
begins() {
	volume=
	at=0
	[ "$(wc -c <"$W/plain")" -ge 312 ] || return 0 # pieces of a few bytes: zfs and the GUID that is there in the end tell
	[ "$(word 0 4)" = 0 ] && [ "$(word 8 8)" = 12712594348 ] || stop "$folder_now holds no ZFS stream, or that of a machine of another byte order"
	if [ $(($(word 16 1) % 4)) -eq 2 ]; then
		at=$((624 + $(word 4 4)))
		[ "$(wc -c <"$W/plain")" -ge $((at + 312)) ] || return 0
	fi
	[ "$(word "$at" 4)" = 0 ] && [ "$(word $((at + 40)) 8)" = "$1" ] && [ "$(word $((at + 48)) 8)" = "$2" ] ||
		stop "$folder_now holds the stream of another snapshot"
	[ "$(word $((at + 32)) 4)" != 3 ] || volume=yes
}

# pieces K writes the stream of the K-th backup. Its first piece is opened already.
pieces() {
	first=yes
	while read -r n gen name bytes size sha plain_sha; do
		[ -n "$first" ] || piece "$name" "$bytes" "$size" "$sha" "$plain_sha" </dev/null
		first=
		cat "$W/plain" || stop "$name could not be passed on"
		say "         $name ($((n + 1)) of $files)"
	done <"$W/$1.files"
	: >"$W/all-passed"
}

# receive K BASE-GUID receives the K-th backup.
receive() {
	read -r folder_now key snapshot_guid <"$W/$1.link"
	read -r n gen name bytes size sha plain_sha <"$W/$1.files"
	files=$(wc -l <"$W/$1.files")
	files=$((files))
	say "RECEIVE  $folder_now"
	use "$key"
	piece "$name" "$bytes" "$size" "$sha" "$plain_sha"
	begins "$snapshot_guid" "$2"
	link=$1
	set -- receive -u
	if [ -n "$options" ]; then
		# What a stream brings along must not have it mounted or shared; and who looks into it must not change it meanwhile.
		[ "$link" -ne "$links" ] || set -- "$@" -o readonly=on
		[ "$link" -ne "$links" ] || set -- "$@" -o "zfs2cloud:restored=$last"
		[ -n "$volume" ] || set -- "$@" -o canmount=noauto -x mountpoint -x sharenfs -x sharesmb
	fi
	rm -f "$W/all-passed"
	pieces "$link" | zfs "$@" "$new" || stop "zfs receive failed: $new is as it was before $folder_now"
	[ -e "$W/all-passed" ] || stop "zfs receive has ended before the stream of $folder_now has: do not use $new"
	received "$link" || stop "$new has no snapshot of $folder_now: do not use it"
	[ -n "$options" ] || [ "$link" -ne "$links" ] || zfs set "zfs2cloud:restored=$last" "$new" || stop "$new can not be marked as made by this"
}

# --- all of it ---------------------------------------------------------------------------------------------------

gpg=gpg
tmp=${TMPDIR:-/var/tmp}
pass_file=
while getopts p:g:t: option; do
	case $option in
	p) pass_file=$OPTARG ;;
	g) gpg=$OPTARG ;;
	t) tmp=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -eq 2 ] || usage
new=$2

[ "$(command -v printf)" = printf ] || stop 'this shell would show the passphrase to others (its printf is a program): use dash or bash'
case $gpg in
[!/]*/*) gpg=$PWD/$gpg ;; # the working folder will be another
esac
for program in "$gpg" zfs sha256sum od; do
	command -v "$program" >/dev/null || stop "there is no $program in PATH ($PATH)"
done
case $("$gpg" --no-options --version 2>/dev/null) in
'gpg (GnuPG) 1.'*) alone= ;;
'gpg (GnuPG'*)
	alone='--no-autostart --no-keyring --pinentry-mode loopback'
	! "$gpg" --dump-options 2>/dev/null | grep -qx -e --no-symkey-cache || alone="$alone --no-symkey-cache" # since 2.2.7
	;;
*) stop "$gpg is not GnuPG" ;;
esac

[ -d "$1" ] || stop "$(plain "$1") is no folder"
top=$(cd -P -- "$1" && pwd -P && echo .) || stop "$(plain "$1") can not be entered"
top=${top%??}
newest=${top##*/}
stamp_of "$newest" || stop "$(plain "$newest") is no backup's folder: that is named by 14 digits, and -full if it is a full"
[ -z "$pass_file" ] || read_passes "$pass_file"
for old in "$tmp"/restore.????????; do
	case ${old##*/restore.} in *[!A-Za-z0-9]*) continue ;; esac # mktemp makes no such name, but anybody can
	[ ! -d "$old" ] || [ -L "$old" ] || say "NOTE     $old has what a call that was cut off had opened, if none is at work: rm -r '$old'"
done
W=$(cd -P -- "$tmp" && mktemp -d "$(pwd -P)/restore.XXXXXXXX") || stop "no temporary folder in $tmp"
trap '[ -z "$was" ] || stty "$was"; rm -rf "$W"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
cd -P -- "$top/.." || stop "$top/.. can not be entered"

options=
! zfs receive </dev/null 2>&1 | grep -q -F -e '-x <property>' || options=yes # zfs-fuse has none
read_chain "$newest"
say "INTO     $new; $all_bytes bytes come out"
check_new
k=$links
base_guid=0
while [ "$k" -gt 0 ]; do
	if received "$k"; then
		say "SKIPPED  $name: it is in $new already"
	else
		receive "$k" "$base_guid"
	fi
	base_guid=$snapshot_guid
	k=$((k - 1))
done
if [ -n "$options" ]; then
	zfs inherit -S readonly "$new" || say "NOTE     $new stays read-only: zfs inherit -S readonly '$new'"
fi
use="It is not mounted yet (zfs mount '$new')"
[ "$(zfs get -H -o value type "$new")" != volume ] || use="It is a volume: /dev/zvol/$new"
echo "RESTORED: $new is as of $newest. $use$raw"
