#!/usr/bin/env bash
# Installs quantum-trader on Debian 12 or later, or upgrades it. Run it as root, from a checkout:
#
#   deploy/install.sh --dry-run             say what would be done, and do nothing
#   deploy/install.sh                       install, or upgrade; what is as it should be stays
#   deploy/install.sh --wheels FOLDER       take the packages from a folder, without a network
#   deploy/install.sh --uninstall           stop and remove it; settings and data stay
#   deploy/install.sh --uninstall --purge   remove settings, passwords and data, too
#
# Each version stands in a folder of its own, and one link says which of them runs. A failure before
# the link is turned leaves the old version running, and one after it turns the link back. Daemons
# are started anew one at a time, each when it has finished what it had in hand.
# deploy/README.md says what goes where.

set -euo pipefail
umask 022
export LC_ALL=C.UTF-8

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly checkout
readonly home=/opt/quantum
readonly current=$home/.venv
readonly strategies=$home/strategies
readonly config=/etc/quantum
readonly data=/var/lib/quantum
readonly units=/etc/systemd/system
readonly on_path=(/usr/local/bin/quantum /usr/local/bin/quantum-redis-cli)
readonly redis=redis-server@quantum.service
readonly redis_data=/var/lib/redis/quantum
readonly sysctl=/etc/sysctl.d/quantum-redis.conf
readonly overcommit=vm.overcommit_memory=1
# Readers before writers: what a new writer says finds readers that know it.
readonly in_order=(
    harvest-brain apply-layer exitbrain intent-bridge trading-bot market-feed
    watcher notifier dashboard
)

dry_run='' uninstall='' purge='' wheels=''
changes=0
doing="the command line"

trap on_exit EXIT

on_exit() {
    local status=$?
    ((status == 0)) || [[ ! $doing ]] ||
        echo "install.sh: failed at: $doing. Mend what is said above, and run it again." >&2
}

die() {
    doing=''
    echo "install.sh: $1" >&2
    exit "${2:-1}"
}

# act WHAT COMMAND...: change something, told in one line; a dry run tells it and no more.
act() {
    doing=$1
    shift
    changes=$((changes + 1))
    if [[ $dry_run ]]; then
        printf '  would change  %s\n' "$doing"
    else
        "$@" >&2
        printf '  changed       %s\n' "$doing"
    fi
}

same() { printf '  unchanged     %s\n' "$1"; }

# put SOURCE DESTINATION [MODE GROUP]: a file of the checkout in its place.
put() {
    local mode=${3:-644} group=${4:-root}
    if cmp -s "$1" "$2" && [[ $(stat -c %a:%G "$2") == "$mode:$group" ]]; then
        same "$2"
    else
        act "$2" put_now "$1" "$2" "$mode" "$group"
    fi
}

put_now() {
    install -D -m "$3" -g "$4" "$1" "$2.new"
    mv -f "$2.new" "$2"
}

# --- what is asked for, and whether it can be done ------------------------------------------------

read_command_line() {
    while (($#)); do
        case $1 in
            --dry-run) dry_run=yes ;;
            --uninstall) uninstall=yes ;;
            --purge) purge=yes ;;
            --wheels)
                [[ -d ${2:-} ]] || die "--wheels ${2:-}: name a folder with the packages" 2
                wheels=$(cd "$2" && pwd)
                shift
                ;;
            -h | --help)
                sed -n '2,/^$/s/^#\( \|$\)//p' "${BASH_SOURCE[0]}"
                exit 0
                ;;
            *) die "there is no option $1; --help lists them" 2 ;;
        esac
        shift
    done
    [[ ! $purge || $uninstall ]] || die "--purge goes with --uninstall" 2
}

check_machine() {
    local missing=()
    if ! python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'; then
        missing+=(python3)
    fi
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    [[ -e /lib/systemd/system/redis-server@.service ]] || missing+=(redis-server)
    local advice="apt-get install ${missing[*]} (Debian 12 or later; Python 3.11 to 3.14)"
    if [[ $dry_run ]]; then
        ((${#missing[@]} == 0)) || printf '  missing       %s\n' "$advice"
        return
    fi
    ((EUID == 0)) || die "this needs root: sudo deploy/install.sh"
    [[ -d /run/systemd/system ]] || die "this machine is not run by systemd"
    ((${#missing[@]} == 0)) || die "first: $advice"
}

# --- files ----------------------------------------------------------------------------------------

users_and_folders() {
    local one is_missing=''
    put "$checkout/deploy/systemd/sysusers.conf" /etc/sysusers.d/quantum.conf
    put "$checkout/deploy/systemd/tmpfiles.conf" /etc/tmpfiles.d/quantum.conf
    put "$checkout/deploy/redis/tmpfiles.conf" /etc/tmpfiles.d/quantum-redis.conf
    if getent group quantum >/dev/null; then
        same "group quantum"
    else
        act "group quantum" systemd-sysusers /etc/sysusers.d/quantum.conf
    fi
    for one in /run/quantum-redis $redis_data $config/redis $config/credentials $data/candles; do
        [[ -d $one ]] || is_missing=yes
    done
    if [[ $is_missing ]]; then
        act "folders of settings and data" systemd-tmpfiles --create \
            /etc/tmpfiles.d/quantum.conf /etc/tmpfiles.d/quantum-redis.conf
    else
        same "folders of settings and data"
    fi
}

# A version's folder is named after all that goes into it, so that the same is never made twice.
folder_of_version() {
    local version digest
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$checkout/pyproject.toml")
    digest=$(
        cd "$checkout"
        {
            python3 --version
            find pyproject.toml requirements-live.txt services shared deploy/systemd \
                -type f ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum
        } | sha256sum | cut -c -12
    )
    echo "$home/versions/$version-$digest"
}

build() {
    if [[ -e $1/.complete ]]; then
        same "$1"
    else
        act "$1" build_now "$1"
    fi
}

build_now() {
    local folder=$1 copy
    local pip=("$folder/bin/python" -m pip --quiet --disable-pip-version-check --no-input install)
    local from=()
    [[ ! $wheels ]] || from=(--no-index --find-links "$wheels")
    export PIP_ROOT_USER_ACTION=ignore
    rm -rf "$folder"
    python3 -m venv "$folder"
    "${pip[@]}" "${from[@]}" --require-hashes -r "$checkout/requirements-live.txt"
    # From a copy: setuptools leaves a folder beside what it builds, and builds from what is in it.
    copy=$(mktemp -d)
    (cd "$checkout" && cp -R pyproject.toml README.md LICENSE services shared "$copy")
    "${pip[@]}" --no-index --no-deps --no-build-isolation "$copy"
    rm -rf "$copy"
    # Its units, so that they go back with it.
    cp -R "$checkout/deploy/systemd" "$folder/systemd"
    touch "$folder/.complete"
}

# Made once; from then on they are of whoever runs the machine.
settings() {
    local one
    for one in "$checkout"/deploy/systemd/quantum.{toml,env}; do
        if [[ -e $config/${one##*/} ]]; then
            same "$config/${one##*/} (yours)"
        else
            put "$one" "$config/${one##*/}"
        fi
    done
}

# The units of a version; of one that is not built yet, as the checkout has them.
units_of() {
    local folder=$1/systemd
    [[ -d $folder ]] || folder=$checkout/deploy/systemd
    find "$folder" -type f \
        \( -name '*.service' -o -name '*.socket' -o -name '*.target' -o -path '*.d/*.conf' \) \
        -printf '%H %P\n' | sort
}

put_units() {
    local before=$changes folder file
    while read -r folder file; do
        put "$folder/$file" "$units/$file"
    done < <(units_of "$1")
    ((changes == before)) || act "systemd has read them" systemctl daemon-reload
}

# The commands that people type. What is there and is nobody's of ours is left alone.
commands_on_path() {
    local file
    for file in "${on_path[@]}"; do
        if [[ -e $file && $(sed -n 2p "$file") != *quantum* ]]; then
            same "$file (it is something else; left alone)"
        else
            put "$checkout/deploy/bin/${file##*/}" "$file" 755
        fi
    done
}

# --- Redis ----------------------------------------------------------------------------------------

# Runs a command as the administrator of Redis, whose password root alone can read.
administrator() (
    set -a
    # shellcheck source=/dev/null
    source $config/redis/administrator.env
    export QUANTUM_CONFIG=$config/quantum.toml
    export PYTHONPATH=$strategies
    exec "$@"
)

server() {
    local before=$changes restart file
    put "$checkout/deploy/redis/redis.conf" $config/redis/redis.conf 640 redis
    file='redis-server@quantum.service.d/quantum.conf'
    put "$checkout/deploy/redis/$file" "$units/$file"
    restart=$((changes - before))
    ((restart == 0)) || act "systemd has read it" systemctl daemon-reload
    if [[ $(cat $sysctl 2>/dev/null) == "$overcommit" ]]; then
        same "$sysctl"
    else
        act "$sysctl" overcommit_now
    fi
    if passwords_are_set; then
        same "passwords and rights in $config/redis"
    else
        act "passwords and rights in $config/redis" passwords_now
    fi
    if ! systemctl is-active --quiet $redis || ! systemctl is-enabled --quiet $redis; then
        act "$redis runs" systemctl enable --quiet --now $redis
    elif ((restart)); then
        act "$redis started anew" systemctl restart $redis
    else
        same "$redis runs"
    fi
}

# Where the kernel is the host's, as in a container, the setting is the host's to make.
overcommit_now() {
    echo $overcommit >$sysctl
    /lib/systemd/systemd-sysctl $sysctl || echo "install.sh: the kernel refused $overcommit"
}

# Tried on a copy, as only set_passwords.py knows what it would write.
passwords_are_set() {
    local copy said
    [[ -r $config/redis/users.acl ]] || return 1
    copy=$(mktemp -d)
    cp -a $config/redis/. "$copy"
    said=$(python3 "$checkout/deploy/redis/set_passwords.py" --folder "$copy")
    rm -rf "$copy"
    [[ $said == *": nothing changed" ]]
}

passwords_now() {
    python3 "$checkout/deploy/redis/set_passwords.py"
    if systemctl is-active --quiet $redis; then
        administrator redis-cli -s /run/quantum-redis/redis.sock --user administrator ACL LOAD
    fi
}

# --- from the old version to the new one ----------------------------------------------------------

# What the new version says of the settings and the server, before anything runs it.
check() {
    local found
    doing="quantum check"
    found=$(administrator "$1/bin/quantum" check --json) || true
    python3 - "$found" <<'END' || die "settings or server cannot be used; what ran goes on running"
import json, sys
rows = json.loads(sys.argv[1] or '{"findings": []}')["findings"]
bad = [row for row in rows if row["verdict"] == "fail" and row["what"] != "library"]
sys.exit("\n".join(f"{row['what']}: {row['detail']}" for row in bad) or not rows)
END
    printf '  checked       settings and server, by quantum check: nothing to mend\n'
    if [[ $found == *'"what": "library", "verdict": "ok"'* ]]; then
        same "functions of Redis"
    else
        act "functions of Redis" administrator "$1/bin/quantum" init
    fi
}

turn_link() {
    ln -sfn "$1" $current.new
    mv -T $current.new $current
}

# The services that should run, and what runs besides.
services() {
    local one
    for one in "${in_order[@]}"; do
        one=quantum-$one.service
        if systemctl is-enabled --quiet "$one" || systemctl is-active --quiet "$one"; then
            echo "$one"
        fi 2>/dev/null
    done
}

# Whether a service that runs is of another version, or older than its units and sockets.
is_outdated() {
    local pid started files
    pid=$(systemctl show --property MainPID --value "$1")
    ((pid)) || return 1
    [[ $(tr '\0' '\n' <"/proc/$pid/cmdline" | sed -n 1p) == "$2"/* ]] || return 0
    started=$(systemctl show --timestamp us+utc --property ExecMainStartTimestamp --value "$1")
    files=$(systemctl show --property FragmentPath,DropInPaths --value "$1")
    # A list of paths, none of which has a space.
    # shellcheck disable=SC2086
    [[ $(find $files "$units/${1%.service}"-*.socket $units/quantum-.socket.d -newermt "$started" -print -quit) ]]
}

start() {
    local new=$1 old=$2 one
    act_unless "$(systemctl is-enabled quantum.target 2>/dev/null)" enabled \
        "quantum.target starts with the machine" systemctl enable --quiet quantum.target
    act_unless "$(systemctl is-active quantum.target)" active \
        "quantum.target is started" systemctl start quantum.target
    for one in $(services); do
        if is_outdated "$one" "$new"; then
            act "$one runs this version" bring_up restart "$one" "$old"
        elif ! systemctl is-active --quiet "$one"; then
            act "$one runs" bring_up start "$one" "$old"
        else
            same "$one runs this version"
        fi
    done
}

act_unless() {
    if [[ $1 == "$2" ]]; then same "$3"; else act "${@:3}"; fi
}

# Waits until the service stands. If it does not, all of the old version takes its place again.
bring_up() {
    local verb=$1 one=$2 old=$3
    systemctl "$verb" "$one" && return
    journalctl --unit "$one" --lines 10 --no-pager
    [[ $old && $old != "$(readlink $current)" ]] || die "$one does not start; its log is above"
    put_units "$old"
    turn_link "$old"
    administrator "$old/bin/quantum" init
    for one in $(services); do
        systemctl restart "$one" || true
    done
    die "$2 does not start, its log is above; ${old##*/} runs again"
}

install_all() {
    local new old
    new=$(folder_of_version)
    old=$(readlink $current || true)
    [[ $old || ! -e $current ]] || die "$current is no link: move it away, it is not of this script"
    echo "quantum-trader ${new##*/}, from $checkout"
    build "$new"
    users_and_folders
    settings
    server
    if [[ $dry_run ]]; then
        act "functions of Redis, where they are others" true
    else
        check "$new"
    fi
    put_units "$new"
    act_unless "$old" "$new" "$current is ${new##*/}" turn_link "$new"
    commands_on_path
    start "$new" "$old"
    [[ $old == "$new" ]] || forget_versions "$new" "$old"
    if ((changes)); then echo "$changes changes."; else echo "Nothing had to be changed."; fi
}

# The version before is kept: installing it again from its checkout is a matter of seconds.
forget_versions() {
    local folder
    for folder in "$home"/versions/*; do
        [[ ! -d $folder || $folder == "$1" || $folder == "$2" ]] ||
            act "$folder is removed" rm -rf "$folder"
    done
}

# --- away -----------------------------------------------------------------------------------------

uninstall_all() {
    local folder file
    echo "Positions at a venue stay open there, and so do their stops."
    stop_now
    while read -r folder file; do
        remove "$units/$file"
    done < <(units_of $current)
    remove $units/quantum-.service.d
    remove $units/quantum-.socket.d
    remove $units/redis-server@quantum.service.d
    remove /etc/sysusers.d/quantum.conf
    remove /etc/tmpfiles.d/quantum.conf
    remove /etc/tmpfiles.d/quantum-redis.conf
    remove $sysctl
    for file in "${on_path[@]}"; do
        [[ $(sed -n 2p "$file" 2>/dev/null) != *quantum* ]] || remove "$file"
    done
    remove $current
    remove $home/versions
    # What is left there, as strategies of your own, is not of this script.
    [[ $dry_run || ! -d $home ]] || rmdir --ignore-fail-on-non-empty $home
    if [[ $purge ]]; then
        remove $config
        remove $redis_data
        remove $data
    fi
    act "systemd has read what is left" systemctl daemon-reload
    [[ $purge ]] || echo "$config, $data and $redis_data are kept; --purge removes them, too."
}

remove() {
    [[ ! -e $1 && ! -L $1 ]] || act "$1 is removed" rm -rf "$1"
}

stop_now() {
    local running enabled
    mapfile -t enabled < <(
        systemctl list-unit-files --no-legend --state enabled 'quantum*' $redis | cut -d ' ' -f 1
    )
    ((${#enabled[@]} == 0)) ||
        act "nothing starts with the machine" systemctl disable --quiet "${enabled[@]}"
    # The target takes its daemons along; Redis ends when they have.
    mapfile -t running < <(
        systemctl list-units --plain --no-legend 'quantum*' | cut -d ' ' -f 1
    )
    ((${#running[@]} == 0)) || act "the daemons are stopped" systemctl stop "${running[@]}"
    ! systemctl is-active --quiet $redis || act "$redis is stopped" systemctl stop $redis
}

read_command_line "$@"
check_machine
if [[ $uninstall ]]; then uninstall_all; else install_all; fi
