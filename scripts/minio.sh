#!/usr/bin/env bash
# Starts and stops a MinIO for the tests: the program `minio` on the PATH, or the one that RATCHET_TEST_MINIO names
# (such as Silo's `silo`).
#   scripts/minio.sh start   prints `export …` lines for the tests; progress goes to stderr. Exit code 69 without a program
#   scripts/minio.sh stop    stops only what it started
# One server per checkout, with its data in a temporary directory and on a free port of 127.0.0.1.
set -euo pipefail
cd "$(dirname "$0")/.."
state=target/minio
access_key=ratchet-test
secret_key=ratchet-test-secret
. scripts/server-process.sh

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() {
    local program data port
    program=$(command -v "${RATCHET_TEST_MINIO:-minio}") || {
        echo "there is no program ${RATCHET_TEST_MINIO:-minio} on the PATH" >&2
        return 69
    }
    stop
    mkdir -p "$state"
    data=$(mktemp -d "${TMPDIR:-/tmp}/ratchet-minio.XXXXXX")
    echo "$data" >"$state/data"
    port=$(free_port)
    MINIO_ROOT_USER=$access_key MINIO_ROOT_PASSWORD=$secret_key MINIO_UPDATE=off nohup "$program" server "$data" \
        --address "127.0.0.1:$port" --quiet >"$state/log" 2>&1 </dev/null &
    echo $! >"$state/pid"
    for _ in $(seq 300); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port" && printf 'GET /minio/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' >&3 &&
            read -r -t 4 answer <&3 && [[ $answer == 'HTTP/1.1 200'* ]]) 2>/dev/null; then
            echo "$program is ready on port $port" >&2
            print_exports "$port"
            return 0
        fi
        kill -0 "$(cat "$state/pid")" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$state/log" >&2
    stop
    return 1
}

case ${1:-} in
start) start ;;
stop) stop ;;
*)
    echo "usage: scripts/minio.sh start|stop" >&2
    exit 2
    ;;
esac
