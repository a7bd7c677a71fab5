#!/usr/bin/env bash
# Puts a backup of the Redis of quantum-trader back; as root, while the server is stopped:
#
#   deploy/redis/restore.sh FILE
#
# What is there is moved aside, beside what takes its place. See docs/operations.md for what stands
# around it, and for what an older state means.

set -euo pipefail
umask 077
export LC_ALL=C.UTF-8

# Elsewhere only for tests.
readonly data=${QUANTUM_REDIS_DATA:-/var/lib/redis/quantum}
readonly socket=${QUANTUM_REDIS_SOCKET:-/run/quantum-redis/redis.sock}

die() {
    echo "restore.sh: $1" >&2
    exit "${2:-1}"
}

(($# == 1)) || die "name the backup" 2
[[ -r $1 ]] || die "$1 cannot be read"
[[ -w $data ]] || die "$data cannot be written: sudo $0 $1"
if redis-cli -s "$socket" PING >/dev/null 2>&1; then
    die "the server runs: systemctl stop quantum.target redis-server@quantum"
fi
redis-check-rdb "$1" >/dev/null || die "$1 is damaged, or no backup; nothing was changed"

# The server reads its append-only file and no snapshot. Such a file begins with a snapshot, so this
# one becomes the beginning of a new one, with nothing behind it.
new=$data/appendonlydir.new
rm -rf "$new"
mkdir "$new"
cp "$1" "$new/appendonly.aof.1.base.rdb"
echo "file appendonly.aof.1.base.rdb seq 1 type b" >"$new/appendonly.aof.manifest"
chown -R --reference "$data" "$new"
sync "$new"/* "$new"
if [[ -e $data/appendonlydir ]]; then
    aside=$data/appendonlydir.before-$(date -u +%Y%m%dT%H%M%SZ)
    mv "$data/appendonlydir" "$aside"
    echo "what was there is in $aside"
fi
mv "$new" "$data/appendonlydir"
echo "the server starts with $1"
