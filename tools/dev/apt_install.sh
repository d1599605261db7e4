#!/usr/bin/env bash
# Installs Debian packages (as root) without starting or enabling the services that some of them bring:
# only their programs are wanted here. What was there before stays as it was.
set -euo pipefail

no_start=/usr/sbin/policy-rc.d
no_cluster=/etc/postgresql-common/createcluster.d/runtree-dev.conf
made=()

clean_up() {
    [ ${#made[@]} -eq 0 ] || rm -f "${made[@]}"
}
trap clean_up EXIT

if [ ! -e $no_start ]; then
    made+=($no_start)
    printf '#!/bin/sh\nexit 101\n' >$no_start
    chmod 755 $no_start
fi
made+=($no_cluster)
mkdir -p "${no_cluster%/*}"
echo 'create_main_cluster = false' >$no_cluster

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
made+=("$log")
install() {
    apt-get update -qq && apt-get install -qq --yes --no-install-recommends "$@"
}
if ! install "$@" </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi

for service in nginx haproxy pgbouncer; do
    case " $* " in
    *" $service"*) deb-systemd-helper disable $service.service >>"$log" 2>&1 || true ;;
    esac
done
