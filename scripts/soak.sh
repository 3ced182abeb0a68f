#!/usr/bin/env bash
# Runs the random, fault-injection and fuzz tests for a long time. Prints one summary line for each.
#   scripts/soak.sh [MINUTES]   the approximate time of all together, 120 by default; 4 for a quick run
# Needs what scripts/test.sh needs, and a nightly toolchain for the fuzz targets.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-120}
failed=0
log=target/soak.log
mkdir -p target
trap 'scripts/s3-server.sh stop >>"$log" 2>&1 || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
: >"$log"

scripts/venv.sh >>"$log" 2>&1
scripts/check.sh | grep -E '^ok +(licences|known)|^FAIL|^SKIP (licences|known)' || failed=1
scripts/debian.sh libfaketime >>"$log" 2>&1 || echo "SKIP clock jumps: libfaketime is not available"
if scripts/s3-server.sh start >target/s3-server.env 2>>"$log"; then
    # shellcheck source=/dev/null
    . target/s3-server.env
else
    echo "SKIP S3 server: it does not start; the tests run on dir and memory only"
fi
cargo build --locked --quiet --tests

# Runs a test of tests/it with the variables for its long form, and prints the summary that it writes.
long() {
    local test=$1
    shift
    if env RUST_BACKTRACE=0 "$@" cargo test --locked --quiet --test it -- "$test" --show-output >target/soak.part 2>&1; then
        grep -E '^[a-z_]+: ' target/soak.part || echo "$test: passed"
    else
        echo "FAIL $test"
        tail -n 40 target/soak.part | sed 's/^/     /'
        failed=1
    fi
    cat target/soak.part >>"$log"
}

# A minute runs about 50,000 schedules of backups or 12,000 of S3 uploads, or 20 kills and 120 faults.
# The first seed depends on the time, so each run tests new schedules. A failure prints its seed.
seed=$(date +%s)000000
echo "models: first seed $seed"
long model:: RATCHET_SEED="$seed" RATCHET_SCHEDULES=$((minutes * 12000))
long model_uploads:: RATCHET_SEED="$seed" RATCHET_SCHEDULES=$((minutes * 3000))
# 100,000 schedules of blobs and their sweeps take about 30 minutes.
long content::no_schedule RATCHET_SEED="$seed" RATCHET_SCHEDULES=$((minutes * 850))
long content::a_sweep_of_many RATCHET_BLOBS=1000000
long chaos:: RATCHET_CHAOS_SECONDS=$((minutes * 25))
long full_disk::
long dir_kill:: RATCHET_KILLS=$((minutes * 10))
long resume::a_backup_survives RATCHET_E2E_MIB=$((minutes < 30 ? 1024 : 8192))
scripts/fuzz.sh $((minutes < 30 ? 10 : 60)) || failed=1
exit $failed
