#!/usr/bin/env bash
# Static checks. Prints one line for each: `ok`, `FAIL` (with the output) or `SKIP` with the reason.
# shellcheck disable=SC2329  # The functions are called indirectly, by `check`.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p target
log=target/check.log
failed=0

check() {
    local name=$1 code=0
    shift
    "$@" >"$log" 2>&1 || code=$?
    case $code in
        0) echo "ok   $name" ;;
        69) echo "SKIP $name: $(tail -n 1 "$log")" ;;
        *)
            echo "FAIL $name"
            sed 's/^/     /' "$log"
            failed=1
            ;;
    esac
}

component() {
    cargo "$1" --version >/dev/null 2>&1 || rustup component add "$2" || {
        echo "$2 is not installed, and rustup cannot add it"
        return 69
    }
}

formatted() {
    component fmt rustfmt || return
    cargo fmt --check
}

linted() {
    component clippy clippy || return
    cargo clippy --all-targets --locked -- -D warnings
}

one_tls_and_one_crypto_library() {
    local names others versions
    names=$(cargo tree --locked --edges normal,build --prefix none --format '{p}' | awk '{ print $1, $2 }' | sort -u)
    others=$(grep -E '^(openssl|openssl-sys|native-tls|boring|boring-sys|aws-lc-rs|aws-lc-sys|aws-lc-fips-sys) ' <<<"$names" || true)
    versions=$(grep -E '^(rustls|ring) ' <<<"$names")
    if [ -n "$others" ] || [ "$(wc -l <<<"$versions")" -ne 2 ]; then
        printf 'expected exactly one rustls and one ring, and no other; found:\n%s\n%s\n' "$versions" "$others"
        return 1
    fi
}

# The program is built without fault injection, the memory store and what only benchmarks use.
no_testing_code_in_the_program() {
    local features
    features=$(cargo tree --locked --edges normal,build --depth 0 --format '{f}')
    if [ -n "$features" ]; then
        echo "the program is built with the features: $features"
        return 1
    fi
}

deny() {
    scripts/cargo-deny.sh --locked "$@"
}

licences_sources_and_duplicates() {
    deny check licenses bans sources
}

known_vulnerabilities() {
    deny --version || return
    if ! deny fetch db && ! ls -d "${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/crates; then
        echo "the RustSec advisories cannot be fetched, and there is no local copy"
        return 69
    fi
    deny --offline check advisories
}

rooms_and_house_rules() {
    RUST_BACKTRACE=0 cargo test --quiet --locked --test layers
}

# A commit subject has the form `room: what now happens` and at most 60 characters.
commit_subjects() {
    if ! git rev-parse HEAD >/dev/null 2>&1; then
        echo "there is no git history"
        return 69
    fi
    local bad
    bad=$(git log --no-merges --format='%h %s' | awk '
        { hash = $1; subject = substr($0, length($1) + 2) }
        length(subject) > 60                                { print hash, length(subject) " characters: " subject; next }
        subject !~ /^[a-z0-9_.\/-]+: [^ ].*[^ .]$/          { print hash, "not `room: what now happens`: " subject }')
    [ -z "$bad" ] || {
        echo "$bad"
        return 1
    }
}

shell_scripts() {
    local shellcheck=.venv/bin/shellcheck
    [ -x "$shellcheck" ] || shellcheck=$(command -v shellcheck) || {
        echo "shellcheck is not installed; scripts/test.sh installs it"
        return 69
    }
    "$shellcheck" scripts/*.sh .ci/run
}

compose_file() {
    scripts/compose.sh -f docker-compose.minio.yml config --quiet
}

check "cargo fmt" formatted
check "cargo clippy" linted
check "rooms and house rules" rooms_and_house_rules
check "licences, sources and duplicates" licences_sources_and_duplicates
check "known vulnerabilities" known_vulnerabilities
check "one TLS and one crypto library" one_tls_and_one_crypto_library
check "no testing code in the program" no_testing_code_in_the_program
check "commit subjects" commit_subjects
check "shellcheck" shell_scripts
check "docker compose config" compose_file
exit "$failed"
