#!/usr/bin/env bash
# Measures, on this machine and in one run; figures are for comparison side by side, not across machines.
#   scripts/bench.sh memory [CHUNKS [CHUNK_MIB]]   peak RSS of a gateway with many chunks in flight (default 64 x 16 MiB)
# An S3 server is started for it unless RATCHET_TEST_S3 names one.
set -euo pipefail
cd "$(dirname "$0")/.."

memory() {
    cargo bench --locked --quiet --bench memory -- "$@"
}

case ${1:-} in
memory) ;;
*)
    echo "usage: scripts/bench.sh memory [CHUNKS [CHUNK_MIB]]" >&2
    exit 2
    ;;
esac

if [ -z "${RATCHET_TEST_S3:-}" ]; then
    trap 'scripts/s3-server.sh stop' EXIT
    mkdir -p target
    scripts/s3-server.sh start >target/s3-server.env
    # shellcheck source=/dev/null
    . target/s3-server.env
fi
"$@"
