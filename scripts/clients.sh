#!/usr/bin/env bash
# Installs the third-party S3 clients for tests/clients, from PyPI, Debian and npm, inside the checkout.
# A client that cannot be installed is reported as `SKIP …`, and its tests are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

why=$(scripts/venv.sh -r tests/clients/requirements.txt 2>&1) || echo "SKIP clients from PyPI: ${why##*$'\n'}"
why=$(scripts/debian.sh restic 2>&1) || echo "SKIP restic: ${why##*$'\n'}"
why=$(scripts/debian.sh haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 2>&1) || echo "SKIP haproxy: ${why##*$'\n'}"
# The AWS CLI with its Python dependencies, for the system's Python.
aws2=(awscli python3-awscrt python3-colorama python3-cryptography python3-dateutil python3-distro python3-docutils
    python3-jmespath python3-prompt-toolkit python3-pyasn1 python3-roman python3-ruamel.yaml python3-ruamel.yaml.clib
    python3-six python3-urllib3 python3-wcwidth)
why=$(scripts/debian.sh "${aws2[@]}" 2>&1) || echo "SKIP aws CLI 2: ${why##*$'\n'}"
# For pages that use the gateway; with its libraries, so not below target.
command -v chromium >/dev/null || why=$(apt-get install -y --no-install-recommends chromium 2>&1) ||
    echo "SKIP chromium: ${why##*$'\n'}"
modules=target/clients/js
if ! command -v npm >/dev/null; then
    echo "SKIP lib-storage: npm is not installed"
elif [ ! -d $modules/node_modules/@uppy/aws-s3 ] || [ ! -d $modules/node_modules/@aws-sdk/s3-request-presigner ]; then
    mkdir -p $modules
    why=$(cd $modules && npm install --no-audit --no-fund --silent @aws-sdk/client-s3 @aws-sdk/lib-storage \
        @aws-sdk/s3-request-presigner @uppy/core @uppy/aws-s3 esbuild 2>&1) || echo "SKIP lib-storage, Uppy: ${why##*$'\n'}"
fi
