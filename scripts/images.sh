#!/bin/sh
# Builds the trainer image for CPUs without a registry, and the example on top of it, in the engine that DOCKER_HOST
# names. The base is made by debootstrap, as root.
set -eu
cd "$(dirname "$0")/.."
base=ktcomponent-base:bookworm

# Another client on the path may want a plug-in for BuildKit; Debian's has it built in.
docker=docker
if [ -x /usr/bin/docker ]; then docker=/usr/bin/docker; fi

if ! $docker image inspect "$base" >/dev/null 2>&1; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,tini bookworm "$folder/base" >/dev/null
    rm -rf "$folder"/base/var/cache/apt/archives/*.deb "$folder"/base/var/lib/apt/lists/*
    tar -C "$folder/base" -c . | $docker import - "$base" >/dev/null
fi
secrets=
for file in /etc/pip.conf "${PIP_CERT:-}"; do
    if [ -s "$file" ]; then
        case $file in /etc/pip.conf) id=pip ;; *) id=ca ;; esac
        secrets="$secrets --secret id=$id,src=$file"
    fi
done
export DOCKER_BUILDKIT=1
# shellcheck disable=SC2086
$docker build -q --network host --build-arg "BASE=$base" --build-arg "EXTRAS=gcs s3 sklearn" $secrets -f docker/trainer.Dockerfile -t ktcomponent-trainer . >/dev/null
$docker build -q -f docker/example/Dockerfile -t ktcomponent-digits . >/dev/null
