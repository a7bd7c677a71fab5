#!/usr/bin/env bash
# Makes a backup of the Redis of quantum-trader while everything runs; as root:
#
#   deploy/redis/backup.sh FOLDER
#
# Writes FOLDER/quantum-<UTC time>.rdb: all that was committed at one moment, checked that it can be
# read, and prints its path. restore.sh puts it back.

set -euo pipefail
umask 077
export LC_ALL=C.UTF-8

# Elsewhere only for tests.
readonly config=${QUANTUM_REDIS_CONFIG:-/etc/quantum/redis}
readonly data=${QUANTUM_REDIS_DATA:-/var/lib/redis/quantum}
readonly socket=${QUANTUM_REDIS_SOCKET:-/run/quantum-redis/redis.sock}
readonly within_s=600

die() {
    echo "backup.sh: $1" >&2
    exit "${2:-1}"
}

ask() { redis-cli -e -s "$socket" --user administrator --no-auth-warning "$@"; }

figure() { ask INFO persistence | tr -d '\r' | sed -n "s/^$1://p"; }

(($# == 1)) || die "name the folder that the backup goes to" 2
[[ -r $config/administrator.env ]] || die "$config/administrator.env cannot be read: sudo $0 $1"
# shellcheck source=/dev/null
source "$config/administrator.env"
export REDISCLI_AUTH
mkdir -p "$1"

before=$(figure rdb_last_save_time)
# The time of the last snapshot is in whole seconds, and has to be another one afterwards.
while (($(date +%s) <= before)); do sleep 0.1; done
ask BGSAVE SCHEDULE >/dev/null
until (($(figure rdb_last_save_time) > before)); do
    ((SECONDS < within_s)) || die "there was no snapshot within $within_s s"
    [[ $(figure rdb_last_bgsave_status) == ok ||
        $(figure rdb_bgsave_in_progress) == 1 || $(figure aof_rewrite_in_progress) == 1 ]] ||
        die "the server could not write it: journalctl -u redis-server@quantum"
    sleep 0.1
done

target=$1/quantum-$(date -u +%Y%m%dT%H%M%SZ).rdb
cp "$data/dump.rdb" "$target.part"
redis-check-rdb "$target.part" >/dev/null || die "$target.part cannot be read"
sync "$target.part"
mv "$target.part" "$target"
echo "$target"
