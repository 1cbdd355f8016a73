#!/usr/bin/env bash
# Sees to what the Docker and bubblewrap tests need, on Debian as root: packages, a running engine, the base image
# (made with debootstrap where none can be pulled) and kimicode's sandbox image. What is there already is left as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${KIMICODE_TEST_CACHE:-/var/cache/kimicode-test}

need=()
command -v dockerd >/dev/null || need+=(docker.io)
command -v debootstrap >/dev/null || need+=(debootstrap)
command -v bwrap >/dev/null || need+=(bubblewrap)
command -v rg >/dev/null || need+=(ripgrep)
if [ "${#need[@]}" -gt 0 ]; then
    command -v apt-get >/dev/null || { echo "not Debian: install ${need[*]} by hand" >&2; exit 1; }
    echo "installing ${need[*]}" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" iptables >/dev/null
fi

if ! docker info >/dev/null 2>&1; then
    echo "starting dockerd" >&2
    mkdir -p /var/log
    setsid nohup dockerd >/var/log/kimicode-dockerd.log 2>&1 </dev/null &
    for _ in $(seq 60); do
        docker info >/dev/null 2>&1 && break
        sleep 0.5
    done
    docker info >/dev/null 2>&1 || { tail -n 5 /var/log/kimicode-dockerd.log >&2; exit 1; }
fi

if ! docker image inspect debian:bookworm-slim >/dev/null 2>&1; then
    docker pull -q debian:bookworm-slim >/dev/null 2>&1 || bash sandbox/base-image.sh "$cache"
fi
exec python -m kimicode.sandbox.image
