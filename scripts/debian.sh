#!/usr/bin/env bash
# Unpacks Debian packages into target/debian, without root: scripts/debian.sh restic …
# Exit code 69 where a package cannot be downloaded.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$PWD/target/debian
mkdir -p "$target/packages"
for package in "$@"; do
    [ ! -e "$target/packages/$package.done" ] || continue
    if ! (cd "$target/packages" && apt-get download "$package" >/dev/null 2>&1 && dpkg -x "$package"_*.deb "$target"); then
        echo "apt-get download $package failed" >&2
        exit 69
    fi
    touch "$target/packages/$package.done"
done
