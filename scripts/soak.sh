#!/usr/bin/env bash
# The long forms of the tests that try to break things, one summary line for each; some hours.
#   scripts/soak.sh [MINUTES]   for about so long together, 120 if not told; 4 is a try-out
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
[ -x target/tools/bin/cargo-deny ] || cargo install --quiet --locked cargo-deny@0.20.2 --root target/tools >>"$log" 2>&1 ||
    echo "SKIP cargo-deny: it cannot be installed"
scripts/check.sh | grep -E '^ok +(licences|known)|^FAIL|^SKIP (licences|known)' || failed=1
scripts/debian.sh libfaketime >>"$log" 2>&1 || echo "SKIP a clock that jumps: no libfaketime"
if scripts/s3-server.sh start >target/s3-server.env 2>>"$log"; then
    # shellcheck source=/dev/null
    . target/s3-server.env
else
    echo "SKIP S3 server: it does not start; on dir and memory only"
fi
cargo build --locked --quiet --tests

# Runs a test of tests/it with the settings of its long form, and prints what it says of itself.
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

# Measured: 50,000 schedules of backups, 12,000 of S3 uploads, and some 20 kills and 120 faults a minute.
# Each run goes on where no other was: a schedule that failed is told by its seed.
seed=$(date +%s)000000
echo "models: from seed $seed"
long model:: RATCHET_SEED="$seed" RATCHET_SCHEDULES=$((minutes * 12000))
long model_uploads:: RATCHET_SEED="$seed" RATCHET_SCHEDULES=$((minutes * 3000))
long chaos:: RATCHET_CHAOS_SECONDS=$((minutes * 25))
long full_disk::
long dir_kill:: RATCHET_KILLS=$((minutes * 10))
long resume::a_backup_survives RATCHET_E2E_MIB=$((minutes < 30 ? 1024 : 8192))
scripts/fuzz.sh $((minutes < 30 ? 10 : 60)) || failed=1
exit $failed
