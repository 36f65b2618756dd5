#!/bin/sh
# Installs what the tests need beside Python packages: Azurite (Azure's blob storage), PostgreSQL and Redis for Airflow,
# a Docker engine, and debootstrap for the base of its images. Where something isn't there and can't be installed, the
# tests that need it are skipped.
set -eu
cd "$(dirname "$0")/.."
azurite=3.35.0

missing=
for pair in npm:nodejs:npm dockerd:docker.io:iptables debootstrap:debootstrap: redis-server:redis-server: docker-compose:docker-compose:; do
    program=${pair%%:*}
    packages=$(echo "${pair#*:}" | tr : ' ')
    PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null 2>&1 || missing="$missing $packages"
done
[ -n "$(find /usr/lib/postgresql -name initdb 2>/dev/null)" ] || missing="$missing postgresql"
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        export DEBIAN_FRONTEND=noninteractive
        # Installed programs are started by the tests themselves.
        install="env RUNLEVEL=1 apt-get install -qq -y --no-install-recommends"
        # shellcheck disable=SC2086
        $install $missing >/dev/null 2>&1 || { apt-get update -qq && $install $missing >/dev/null; }
    else
        echo "Not installed, so tests that need it will be skipped:$missing" >&2
    fi
fi
if [ ! -x .servers/node_modules/.bin/azurite-blob ] && command -v npm >/dev/null 2>&1; then
    mkdir -p .servers
    npm install --prefix .servers --silent --no-audit --no-fund --no-package-lock "azurite@$azurite"
fi
