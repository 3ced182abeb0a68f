"""Gateways as processes, one for each store, and the environment of their clients.

A test class that inherits from `OnEachStore` is run once for each store: the embedded one, and the S3 server of
RATCHET_TEST_S3 if there is one. RATCHET_CLIENTS_ENDPOINT (with the usual AWS credentials) points the suite at any other
S3 server instead.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest
import urllib.request
import uuid
from pathlib import Path

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("VIRTUAL_ENV", ROOT / ".venv")) / "bin"
BINARY = os.environ.get("RATCHET_BINARY", str(ROOT / "target/debug/ratchet"))
KEY, SECRET = "root-key", "root-secret-root-secret"
TIMEOUT = 300
MIB = 1 << 20
# A shell makes its background processes ignore SIGINT, and their children inherit that. A handler is not inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Gateway:
    """A gateway process on a store; the constructor waits until it is ready."""

    def __init__(self, store, listen="127.0.0.1:0", **settings):
        self.store = store
        own = {"RATCHET_ACCESS_KEY_ID": KEY, "RATCHET_SECRET_ACCESS_KEY": SECRET, "RATCHET_LOG_LEVEL": "warn"}
        self.process = subprocess.Popen(
            [BINARY, "serve", "--listen", listen, "--store", store],
            env={**os.environ, **own, **settings},
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise RuntimeError(f"the gateway on {store} is not ready: {line!r}")
        self.url = line.split()[1]
        self.key, self.secret = KEY, SECRET

    def stop(self, sent_signal=signal.SIGTERM):
        self.process.send_signal(sent_signal)
        self.process.wait(TIMEOUT)
        self.process.stdout.close()


class OtherServer:
    """The S3 server of RATCHET_CLIENTS_ENDPOINT."""

    def __init__(self):
        self.store = "elsewhere"
        self.url = os.environ["RATCHET_CLIENTS_ENDPOINT"]
        self.key, self.secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]

    def stop(self):
        pass


_gateways = {}
_home = None


def servers():
    """The servers that the suite runs against, started once for all classes."""
    global _home
    if not _gateways:
        if "RATCHET_CLIENTS_ENDPOINT" in os.environ:
            _gateways["elsewhere"] = OtherServer()
            return _gateways
        _home = tempfile.mkdtemp(prefix="ratchet-clients-")
        _gateways["dir"] = Gateway(f"dir:{_home}/store")
        if "RATCHET_TEST_S3" in os.environ:
            _gateways["s3"] = Gateway("s3+" + os.environ["RATCHET_TEST_S3"])
        unittest.addModuleCleanup(stop_all)
    return _gateways


def stop_all():
    """Stops what `servers` started."""
    while _gateways:
        _gateways.popitem()[1].stop()
    if _home:
        shutil.rmtree(_home, ignore_errors=True)


def on_each_store(loader, cases):
    """A suite that runs the tests of these classes on each store; for the `load_tests` of a module."""
    suite = unittest.TestSuite()
    names = ["elsewhere"] if "RATCHET_CLIENTS_ENDPOINT" in os.environ else ["dir"]
    if "RATCHET_TEST_S3" in os.environ and names == ["dir"]:
        names.append("s3")
    for case in cases:
        for name in names:
            variant = type(f"{case.__name__}_{name}", (case,), {"server_name": name, "__module__": case.__module__})
            suite.addTests(loader.loadTestsFromTestCase(variant))
    return suite


class OnEachStore(unittest.TestCase):
    """A server, a bucket name that no other test uses, and a directory for files."""

    server_name = "dir"
    longMessage = True

    def setUp(self):
        self.server = servers()[self.server_name]
        self.bucket = f"t-{uuid.uuid4().hex[:20]}"
        self.home = Path(tempfile.mkdtemp(prefix="ratchet-client-"))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)

    def environment(self, **more):
        """A minimal environment with the address and the key of the server."""
        return {
            "PATH": f"{BIN}:{ROOT}/target/debian/usr/bin:{os.environ['PATH']}",
            "HOME": str(self.home),
            "AWS_CONFIG_FILE": str(self.home / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.home / "aws-credentials"),
            "AWS_ACCESS_KEY_ID": self.server.key,
            "AWS_SECRET_ACCESS_KEY": self.server.secret,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.server.url,
            "AWS_MAX_ATTEMPTS": "2",
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        }

    def need(self, program):
        """The path of a client program. Skips the test if it could not be installed."""
        found = shutil.which(program, path=self.environment()["PATH"])
        if not found:
            self.skipTest(f"{program} could not be installed")
        return found

    def run_client(self, *command, ok=True, stdin=None, **environment):
        """Runs a client until it ends. Returns its stdout as bytes."""
        done = subprocess.run(
            [str(word) for word in command],
            env=self.environment(**environment),
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            cwd=self.home,
        )
        outcome = f"{command} ended with {done.returncode}: {done.stdout[-2000:]!r} {done.stderr[-2000:]!r}"
        self.assertEqual(done.returncode == 0, ok, outcome)
        return done.stdout

    def connect(self, signature_version="s3v4"):
        """A boto3 client of the server. None as version: boto3's own default."""
        client = boto3.client(
            "s3",
            endpoint_url=self.server.url,
            aws_access_key_id=self.server.key,
            aws_secret_access_key=self.server.secret,
            region_name="us-east-1",
            verify=self.environment().get("AWS_CA_BUNDLE"),
            config=Config(signature_version=signature_version, retries={"max_attempts": 2}, s3={"addressing_style": "path"}),
        )
        self.addCleanup(client.close)
        return client

    def received_bytes(self, url=None):
        """The number of bytes of request bodies that a gateway has read: the server, or the one at `url`."""
        metrics = urllib.request.urlopen(f"{url or self.server.url}/metrics").read().decode()
        return int(re.search(r"^ratchet_request_bytes_total (\d+)$", metrics, re.MULTILINE).group(1))

    def file(self, name, size, seed=0):
        """A file of pseudo-random bytes; the same seed gives the same bytes."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            for start in range(0, size, MIB):
                # Much faster than `random`.
                source = hashlib.shake_128(f"{seed}-{size}-{start}".encode())
                out.write(source.digest(min(MIB, size - start)))
        return path

    def tree(self, name):
        """A small directory tree."""
        root = self.home / name
        for at, (path, size) in enumerate([("a.txt", 10), ("empty", 0), ("dir/b.bin", 300_000), ("dir/sub/c d+ü.bin", 7)]):
            # An old modification time: sync compares it with the time of the store, which has whole seconds.
            os.utime(self.file(f"{name}/{path}", size, at), (1_600_000_000 + at, 1_600_000_000 + at))
        return root

    def assertSameTree(self, left, right):
        def contents(root):
            return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}

        self.assertEqual(contents(left), contents(right))

    def assertSameFile(self, left, right):
        self.assertTrue(Path(left).read_bytes() == Path(right).read_bytes(), f"{left} and {right} differ")
