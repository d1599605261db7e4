#!/usr/bin/env bash
# in_debian.sh FOLDER DIRECTORY COMMAND…: COMMAND as root in DIRECTORY of the Debian in FOLDER. To be
# started in mount and pid namespaces of its own (unshare --mount --pid --fork --kill-child): what is
# mounted here is seen by nobody else and ends with them. /dev and /proc are made for it; the machine's
# are not there.
set -euo pipefail
folder=$1 directory=$2
shift 2

mount -t proc proc "$folder/proc"
mount -t tmpfs -o nosuid,mode=755 tmpfs "$folder/dev"
device() {
    mknod --mode=666 "$folder/dev/$1" c "$2" "$3"
}
device null 1 3
device zero 1 5
device full 1 7
device random 1 8
device urandom 1 9
device tty 5 0
mkdir "$folder/dev/pts" "$folder/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$folder/dev/pts"
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$folder/dev/shm"
ln -s pts/ptmx "$folder/dev/ptmx"
ln -s /proc/self/fd "$folder/dev/fd"
ln -s fd/0 "$folder/dev/stdin"
ln -s fd/1 "$folder/dev/stdout"
ln -s fd/2 "$folder/dev/stderr"

environment=(HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}"
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
for name in http_proxy https_proxy no_proxy PIP_INDEX_URL npm_config_registry; do
    [ -z "${!name:-}" ] || environment+=("$name=${!name}")
done
exec chroot "$folder" env --ignore-environment --chdir="$directory" "${environment[@]}" "$@"
