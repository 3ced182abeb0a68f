#!/usr/bin/env bash
# Runs docker compose: the plugin, the program, or Debian's package, unpacked without root in target/tools.
#   scripts/compose.sh -f docker-compose.minio.yml config
# Exit code 69 where none is available. The unpacked package serves `config` only, which needs no engine.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/target/tools/compose
# docker-compose of Debian 12 with its dependencies. In Debian 13 it is a single program that needs none of the others.
packages="docker-compose python3-docker python3-dockerpty python3-docopt python3-dotenv python3-jsonschema
 python3-texttable python3-websocket python3-yaml python3-attr python3-pyrsistent python3-distro python3-requests
 python3-urllib3 python3-chardet python3-certifi python3-idna python3-six python3-pkg-resources libyaml-0-2"

if docker compose version >/dev/null 2>&1; then
    exec docker compose "$@"
fi
if command -v docker-compose >/dev/null; then
    exec docker-compose "$@"
fi
if [ ! -e "$tools/usr/bin/docker-compose" ] && command -v apt-get >/dev/null; then
    mkdir -p "$tools"
    for package in $packages; do
        (cd "$tools" && apt-get download -qq "$package" && dpkg -x "$package"_*.deb .) >/dev/null 2>&1 || true
    done
    rm -f "$tools"/*.deb
fi
if [ ! -e "$tools/usr/bin/docker-compose" ]; then
    echo "docker compose is not installed, and Debian's package is not available" >&2
    exit 69
fi
PATH=/usr/bin:$PATH
PYTHONPATH=$tools/usr/lib/python3/dist-packages
LD_LIBRARY_PATH=$(echo "$tools"/usr/lib/*-linux-gnu)
export PATH PYTHONPATH LD_LIBRARY_PATH
exec "$tools/usr/bin/docker-compose" "$@"
