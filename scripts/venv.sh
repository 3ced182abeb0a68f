#!/usr/bin/env bash
# Creates the virtual environment .venv, with pip, and installs the packages named as arguments.
#   scripts/venv.sh [PACKAGE…]
# Without Debian's python3-venv, pip is installed by the system's pip or from Debian's wheel package.
# Exit code 69 where that fails too, with the reason on stderr.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

pip_from_debian() {
    local to=target/tools/pip
    mkdir -p "$to"
    (cd "$to" && apt-get download -qq python3-pip-whl && dpkg -x python3-pip-whl_*.deb .) >/dev/null 2>&1 || return 1
    local wheels=("$to"/usr/share/python-wheels/pip-*.whl)
    "$python" "${wheels[0]}/pip" install --quiet --disable-pip-version-check pip
}

if ! "$python" -m pip --version >/dev/null 2>&1; then
    if ! command -v python3 >/dev/null; then
        echo "python3 is not installed" >&2
        exit 69
    fi
    rm -rf .venv
    if ! python3 -m venv .venv >/dev/null 2>&1; then
        python3 -m venv --clear --without-pip .venv >&2 || exit 69
        if ! python3 -m pip --python "$python" install --quiet pip >/dev/null 2>&1 && ! pip_from_debian; then
            echo "pip cannot be installed in the virtual environment: install python3-venv" >&2
            exit 69
        fi
    fi
fi
if [ $# -gt 0 ] && ! "$python" -m pip install --quiet --disable-pip-version-check "$@" >&2; then
    echo "could not install $*" >&2
    exit 69
fi
