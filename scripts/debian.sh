#!/usr/bin/env bash
# Unpacks programs of Debian packages below target/debian, without root: scripts/debian.sh restic …
# Exits with 69 where a package cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$PWD/target/debian
mkdir -p "$place/packages"
for package in "$@"; do
    [ ! -e "$place/packages/$package.done" ] || continue
    if ! (cd "$place/packages" && apt-get download "$package" >/dev/null 2>&1 && dpkg -x "$package"_*.deb "$place"); then
        echo "apt-get download $package failed" >&2
        exit 69
    fi
    touch "$place/packages/$package.done"
done
