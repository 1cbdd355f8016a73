#!/bin/sh
# Make the image that sandbox/Dockerfile builds on where no registry can be reached: debootstrap, then docker import.
# Usage: base-image.sh [CACHE_FOLDER]   (root; Debian's debootstrap; does nothing when the image is there)
# Environment: IMAGE (debian:bookworm-slim), SUITE (bookworm), MIRROR (http://deb.debian.org/debian)
set -eu

image=${IMAGE:-debian:bookworm-slim}
suite=${SUITE:-bookworm}
mirror=${MIRROR:-http://deb.debian.org/debian}
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/kimicode}

if docker image inspect "$image" >/dev/null 2>&1; then
    echo "$image is there."
    exit 0
fi

tarball=$cache/base-$suite-$(dpkg --print-architecture).tar
if [ ! -s "$tarball" ]; then
    command -v debootstrap >/dev/null || { echo "base-image.sh: debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
    [ "$(id -u)" = 0 ] || { echo "base-image.sh: debootstrap needs root" >&2; exit 1; }
    mkdir -p "$cache"
    root=$(mktemp -d "$cache/root.XXXXXX")
    trap 'rm -rf "$root" "$tarball.part"' EXIT
    debootstrap --variant=minbase "$suite" "$root" "$mirror"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* \
        "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/log/*.log
    tar --numeric-owner -C "$root" -cf "$tarball.part" .
    mv "$tarball.part" "$tarball"
fi

docker import --change 'CMD ["bash"]' "$tarball" "$image" >/dev/null
echo "$image was made from $tarball."
