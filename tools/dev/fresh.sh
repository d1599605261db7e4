#!/usr/bin/env bash
# ./dev fresh [--keep] [SUITE]…: do the README's two commands pass on a Debian that has git and curl only?
#
# For each suite: debootstrap into a new folder outside the project, a clone of what is committed here
# into it, and there ./dev run until /readyz answers, Ctrl-C, and ./dev test. All of that is in namespaces
# of its own (see in_debian.sh): when this script ends, for whatever reason, its processes and what they
# mounted are gone, and the folder with them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tools/dev/packages.sh

suites=()
folder=
room= # the process that holds the namespaces
keep=
passed=0
failed=0
summary=()

clean_up() {
    if [ -n "$room" ]; then
        kill -KILL "$room" 2>/dev/null || true
        wait "$room" 2>/dev/null || true
    fi
    if [ -n "$folder" ] && [ -z "$keep" ]; then
        rm -rf --one-file-system "$folder"
    elif [ -n "$folder" ]; then
        say "Kept: $folder"
    fi
    room= folder=
}

# Runs a command in new namespaces. In the background, so that a signal is heard meanwhile; as a job of
# its own, so that Ctrl-C is not ignored in it, as it is by what a script starts behind its back.
in_room() {
    local status=0
    set -m
    unshare --mount --pid --ipc --fork --kill-child "$@" </dev/null &
    room=$!
    set +m
    wait "$room" || status=$?
    room=
    return "$status"
}

# Where this machine has its Debian packages from.
mirror() {
    local site
    site=$(apt-get indextargets --format '$(SITE)' 'Identifier: Packages' 'Origin: Debian' 2>/dev/null |
        head -n 1) || true
    echo "${site:-http://deb.debian.org/debian}"
}

# How this machine reaches the network, for the Debian in $folder: names, proxies, certificates.
share_network() {
    local certificates=/etc/ssl/certs/ca-certificates.crt
    cp --dereference /etc/resolv.conf /etc/hosts "$folder/etc/"
    [ ! -e $certificates ] || cp --dereference $certificates "$folder$certificates"
    apt-config dump 2>/dev/null | grep -E '^Acquire::(https?|Check-[A-Za-z-]+|Retries)\b' \
        >"$folder/etc/apt/apt.conf.d/90network" || true
}

# check NAME COMMAND…: in the clone; counts whether it passed.
check() {
    local name=$1 began=$SECONDS verdict=passed
    shift
    say "$suite: $name"
    if in_room bash tools/dev/in_debian.sh "$folder" "$clone" "$@"; then
        passed=$((passed + 1))
    else
        verdict=FAILED
        failed=$((failed + 1))
    fi
    summary+=("$suite: $name: $verdict in $((SECONDS - began)) s")
    say "${summary[-1]}"
}

check_suite() {
    local suite=$1 clone=/root/runtree
    folder=$(mktemp -d "${TMPDIR:-/var/tmp}/runtree-fresh-$suite-XXXXXX")
    chmod 755 "$folder" # it is the root folder of everybody in there
    say "$suite: debootstrap into $folder"
    if ! in_room debootstrap --variant=minbase --include=ca-certificates,curl,git "$suite" "$folder" \
        "$(mirror)" >"$folder/debootstrap.out" 2>&1; then
        cat "$folder/debootstrap.out" >&2
        fail "debootstrap $suite failed"
    fi
    share_network
    git clone --quiet --no-hardlinks . "$folder$clone"
    check "./dev run" bash tools/dev/run_and_stop.sh
    check "./dev test" ./dev test
    clean_up
}

main() {
    local argument suite
    for argument in "$@"; do
        case $argument in
        --keep) keep=yes ;;
        bookworm | trixie) suites+=("$argument") ;;
        *) fail "fresh: \"$argument\" is neither bookworm nor trixie nor --keep" ;;
        esac
    done
    [ ${#suites[@]} -gt 0 ] || suites=(bookworm trixie)
    [ "$(id -u)" = 0 ] || fail "fresh: only root may make and enter another Debian"
    need_packages "${fresh_packages[@]}"
    [ -z "$(git status --porcelain)" ] || say "What is not committed is left out"

    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    for suite in "${suites[@]}"; do
        check_suite "$suite"
    done
    printf '\n'
    printf '%s\n' "${summary[@]}"
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
}

# In one line: bash has read it all before it starts, and who edits this file meanwhile changes nothing.
main "$@"; exit
