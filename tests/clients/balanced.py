"""Gateways on the S3 store behind HAProxy, round robin, as a base class for tests."""

import os
import socket
import subprocess
import time
import types
import unittest
import urllib.request

from botocore.exceptions import BotoCoreError, ClientError
from harness import KEY, ROOT, SECRET, TIMEOUT, Gateway, OnEachStore

DEBIAN = ROOT / "target/debian"
BALANCER = """
global
    log stdout format raw local0 emerg
defaults
    mode http
    balance roundrobin
    option redispatch
    option httpchk GET /readyz
    # A gateway that goes down is taken out at once; requests that it has not begun to read go to another one.
    retries 3
    retry-on conn-failure empty-response
    timeout connect 2s
    # Without this a check that takes longer than `inter` counts as failed.
    timeout check 10s
    timeout client 60s
    timeout server 60s
frontend in
    bind 127.0.0.1:{port}
    default_backend gateways
backend gateways
    default-server check inter 100ms fall 1 rise 1 observe layer4 error-limit 1 on-error mark-down
{servers}
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


class Balanced(OnEachStore):
    """`count` gateways in `gateways`; `server` is HAProxy in front of them."""

    server_name = "s3"
    count = 2

    def setUp(self):
        super().setUp()
        haproxy = DEBIAN / "usr/sbin/haproxy"
        if not haproxy.exists():
            self.skipTest("haproxy could not be installed")
        port, *self.ports = free_ports(self.count + 1)
        self.store = "s3+" + os.environ["RATCHET_TEST_S3"]
        self.state = f"state-{self.bucket}"
        self.gateways = [self.gateway(at) for at in range(self.count)]
        self.addCleanup(lambda: [gateway.stop() for gateway in self.gateways])
        config = self.home / "haproxy.cfg"
        servers = "\n".join(f"    server g{at} 127.0.0.1:{port}" for at, port in enumerate(self.ports))
        config.write_text(BALANCER.format(port=port, servers=servers))
        libraries = {"LD_LIBRARY_PATH": str(DEBIAN / "usr/lib/x86_64-linux-gnu")}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        balancer = subprocess.Popen([haproxy, "-db", "-f", config], env=libraries, **quiet)
        self.addCleanup(lambda: (balancer.kill(), balancer.wait()))
        url = f"http://127.0.0.1:{port}"
        self.server = types.SimpleNamespace(store=self.store, url=url, key=KEY, secret=SECRET)
        self.until(lambda: urllib.request.urlopen(f"{url}/readyz").status == 200)

    def gateway(self, at):
        settings = {"RATCHET_STATE_BUCKET": self.state}
        return Gateway(self.store, listen=f"127.0.0.1:{self.ports[at]}", **settings)

    def until(self, holds):
        """Waits for a condition. An error while checking counts as not yet."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            try:
                if holds():
                    return
            except (OSError, BotoCoreError, ClientError):
                pass
        self.fail("the condition did not become true in time")


def behind_haproxy(loader, *cases):
    """A suite of these classes where there is an S3 store; for the `load_tests` of a module."""
    available = "RATCHET_TEST_S3" in os.environ and "RATCHET_CLIENTS_ENDPOINT" not in os.environ
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in cases if available)
