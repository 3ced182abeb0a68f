#!/usr/bin/env bash
# Feeds each parser with random input; one line for each target with the number of runs, `FAIL` with the input's file.
#   scripts/fuzz.sh [SECONDS]    for so long each, 60 if not told
# Needs a nightly toolchain; brings cargo-fuzz along.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
failed=0

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "SKIP fuzz: no nightly toolchain"
    exit 0
fi
[ -x target/fuzz-tool/bin/cargo-fuzz ] || cargo install --quiet --locked cargo-fuzz --root target/fuzz-tool
PATH="$PWD/target/fuzz-tool/bin:$PATH"
export CARGO_TARGET_DIR="$PWD/target/fuzz"
mkdir -p "$CARGO_TARGET_DIR"
log=$CARGO_TARGET_DIR/fuzz.log

# What was freed must not count as used.
export ASAN_OPTIONS=quarantine_size_mb=16
# With a bound on memory, so that a leak or a document that grows by being read is met.
for target in $(cargo +nightly fuzz list); do
    if cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -max_len=16384 -rss_limit_mb=512 -timeout=10 \
        >"$log" 2>&1; then
        echo "fuzz: $target: $(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log") runs, nothing found"
    else
        echo "FAIL fuzz $target"
        grep -vE "^ +[0-9]+: |Stack backtrace" "$log" | tail -n 30 | sed 's/^/     /'
        failed=1
    fi
done
exit $failed
