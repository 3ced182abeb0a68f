# shellcheck shell=bash disable=SC2154  # Whoever sources it has set `state`, `access_key` and `secret_key`.
# Sourced by the scripts that start an S3 server for the tests, with `state`: a directory that has the process id in
# `pid` and the name of the data directory in `data`.

# Stops the server and removes its data. The process id may belong to another process after a reboot, so only one
# whose command line has the data directory is killed.
stop() {
    [ -f "$state/pid" ] || return 0
    local pid data
    pid=$(cat "$state/pid")
    data=$(cat "$state/data")
    if grep -aqF "$data" "/proc/$pid/cmdline" 2>/dev/null; then
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
    fi
    rm -rf "$data" "$state"
}

# Prints what the tests need to know of the server on this port.
print_exports() {
    printf 'export RATCHET_TEST_S3=http://127.0.0.1:%s AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_REGION=us-east-1\n' \
        "$1" "$access_key" "$secret_key"
}
