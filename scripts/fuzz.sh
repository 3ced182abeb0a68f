#!/usr/bin/env bash
# Runs each fuzz target. Prints one line for each: the number of runs, or `FAIL` with the file of the input.
#   scripts/fuzz.sh [SECONDS]    the time for each target, 60 by default
# Needs a nightly toolchain; installs cargo-fuzz below target/.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
failed=0

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "SKIP fuzz: there is no nightly toolchain"
    exit 0
fi
[ -x target/fuzz-tool/bin/cargo-fuzz ] || cargo install --quiet --locked cargo-fuzz --root target/fuzz-tool
PATH="$PWD/target/fuzz-tool/bin:$PATH"
export CARGO_TARGET_DIR="$PWD/target/fuzz"
mkdir -p "$CARGO_TARGET_DIR"
log=$CARGO_TARGET_DIR/fuzz.log

# Freed memory must not count towards the memory limit.
export ASAN_OPTIONS=quarantine_size_mb=16
# The memory limit detects leaks and input that expands when it is parsed.
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
