#!/usr/bin/env bash
# Sets up the S3 clients of other people that tests/clients runs: from PyPI, Debian and npm, all below the checkout.
# What cannot be had is a line `SKIP …`; its tests are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

why=$(scripts/venv.sh -r tests/clients/requirements.txt 2>&1) || echo "SKIP clients from PyPI: ${why##*$'\n'}"
why=$(scripts/debian.sh restic 2>&1) || echo "SKIP restic: ${why##*$'\n'}"
modules=target/clients/js
if ! command -v npm >/dev/null; then
    echo "SKIP lib-storage: no npm here"
elif [ ! -d $modules/node_modules/@aws-sdk/lib-storage ]; then
    mkdir -p $modules
    why=$(cd $modules && npm install --no-audit --no-fund --silent @aws-sdk/client-s3 @aws-sdk/lib-storage 2>&1) ||
        echo "SKIP lib-storage: ${why##*$'\n'}"
fi
