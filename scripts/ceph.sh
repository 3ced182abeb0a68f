#!/usr/bin/env bash
# Starts and stops a Ceph S3 server (RGW, one monitor, one OSD in memory) for tests.
#   scripts/ceph.sh start   prints `export …` lines like scripts/s3-server.sh; progress goes to stderr
#   scripts/ceph.sh stop    stops only what it started
# Needs Debian's packages ceph-mon, ceph-osd and radosgw (and ceph-mgr with CEPH_MGR=1); exit code 69 without them.
# CEPH_STORE=bluestore keeps the objects on disk instead of in memory.
# One server per checkout, with its data in a temporary directory and on free ports of 127.0.0.1.
set -euo pipefail
cd "$(dirname "$0")/.."
state=target/ceph
access_key=ratchet-test
secret_key=ratchet-test-secret
. scripts/server-process.sh

stop() {
    local name pid
    for name in rgw osd mgr mon; do
        [ -f "$state/$name.pid" ] || continue
        pid=$(cat "$state/$name.pid")
        # The process id may belong to another process after a reboot, so only a Ceph program is killed.
        if grep -aqE '^(ceph-mon|ceph-osd|ceph-mgr|radosgw)' "/proc/$pid/cmdline" 2>/dev/null; then
            kill -9 "$pid" 2>/dev/null || true
        fi
    done
    [ ! -f "$state/data" ] || rm -rf "$(cat "$state/data")"
    rm -rf "$state"
}

# A base for free ports: one for the RGW, two for the monitor, and a range for the OSD and the manager.
free_port_base() {
    python3 - <<'PY'
import random, socket
for _ in range(200):
    base = random.randrange(20000, 32000)
    sockets = []
    try:
        for port in [*range(base, base + 3), *range(base + 20, base + 61)]:
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
    raise SystemExit("no free range of ports found")
PY
}

write_configuration() {
    local data=$1 port=$2
    cat >"$data/ceph.conf" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_host = [v2:127.0.0.1:$((port + 1)),v1:127.0.0.1:$((port + 2))]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = $data/run
admin_socket = $data/run/\$name.\$pid.asok
pid_file = $data/run/\$name.pid
log_file = $data/log/\$name.log
crash_dir = $data/crash
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
ms_mon_client_mode = crc
ms_mon_service_mode = crc
ms_mon_cluster_mode = crc
ms_bind_port_min = $((port + 20))
ms_bind_port_max = $((port + 60))
[mon]
mon_data = $data/mon
mon_data_avail_warn = 1
mon_data_avail_crit = 1
[osd]
osd_data = $data/osd
osd_objectstore = ${CEPH_STORE:-memstore}
memstore_device_bytes = 8589934592
bluestore_block_size = 10737418240
bluestore_block_create = true
osd_memory_target = 1073741824
osd_class_load_list = *
osd_class_default_list = *
[mgr]
mgr_data = $data/mgr
[client.rgw]
auth_client_required = none
ms_mon_client_mode = crc
rgw_frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw_thread_pool_size = 64
rgw_lc_debug_interval = -1
rgw_dns_name = localhost
CONF
}

# Starts a program in the background and saves its process id.
launch() {
    local name=$1
    shift
    nohup "$@" -f >"$state/$name.log" 2>&1 </dev/null &
    echo $! >"$state/$name.pid"
}

# Repeats a command until it succeeds, for at most a minute.
wait_for() {
    for _ in $(seq 300); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.2
    done
    echo "failed for a minute: $*" >&2
    return 1
}

osd_is_up() {
    ceph -c "$1" osd stat | grep -q '1 up'
}

start_all() {
    local data=$1 port=$2
    local conf=$data/ceph.conf uuid
    mkdir "$data"/{run,log,crash,mon,osd,mgr}
    write_configuration "$data" "$port"
    ulimit -n "$(ulimit -Hn)"
    monmaptool --create --clobber --fsid "$(sed -n 's/^fsid = //p' "$conf")" \
        --addv a "[v2:127.0.0.1:$((port + 1)),v1:127.0.0.1:$((port + 2))]" "$data/monmap" >/dev/null
    ceph-mon -c "$conf" -i a --mkfs --monmap "$data/monmap" --mon-data "$data/mon" >&2
    launch mon ceph-mon -c "$conf" -i a
    wait_for timeout 5 ceph -c "$conf" mon stat || return
    [ "${CEPH_MGR:-0}" = 0 ] || launch mgr ceph-mgr -c "$conf" -i x
    uuid=$(cat /proc/sys/kernel/random/uuid)
    ceph -c "$conf" osd new "$uuid" 0 >/dev/null
    ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$uuid" >"$state/mkfs.log" 2>&1
    launch osd ceph-osd -c "$conf" -i 0
    wait_for osd_is_up "$conf" || return
    launch rgw radosgw -c "$conf" -n client.rgw --auth_client_required=none --ms_mon_client_mode=crc
    wait_for curl -fsS "http://127.0.0.1:$port/" || return
    radosgw-admin -c "$conf" user create --uid=gateway --display-name=gateway \
        --access-key="$access_key" --secret-key="$secret_key" >"$state/user.log" 2>&1
}

start() {
    local program data port
    for program in ceph ceph-mon ceph-osd monmaptool radosgw radosgw-admin curl python3; do
        if ! command -v "$program" >/dev/null; then
            echo "$program is not installed: apt-get install --no-install-recommends ceph-mon ceph-osd ceph-mgr radosgw curl" >&2
            exit 69
        fi
    done
    stop
    mkdir -p "$state"
    data=$(mktemp -d "${TMPDIR:-/tmp}/ratchet-ceph.XXXXXX")
    echo "$data" >"$state/data"
    port=$(free_port_base)
    if ! start_all "$data" "$port"; then
        tail -n 5 "$state"/*.log >&2
        stop
        return 1
    fi
    echo "Ceph is ready on port $port" >&2
    print_exports "$port"
}

case ${1:-} in
start) start ;;
stop) stop ;;
*)
    echo "usage: scripts/ceph.sh start|stop" >&2
    exit 2
    ;;
esac
