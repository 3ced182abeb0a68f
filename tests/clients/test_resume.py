"""Tools without resume, interrupted half-way and run again: how much of the file they send the second time.

Bytes are counted before the gateway and printed, one line for each case. RATCHET_RESUME_MIB sets the size of the file.
"""

import os
import signal
import subprocess
import sys
import unittest

import trustme
from harness import MIB, ROOT, Gateway, OnEachStore, on_each_store
from wire import Wire

SIZE = int(os.environ.get("RATCHET_RESUME_MIB", "512")) * MIB
SECONDS = 10
TRIES = 3
# Parts that a client has in flight, in MiB: they may be sent again besides the half that was not sent yet.
IN_FLIGHT = {"aws": 10 * 8, "aws2": 10 * 8, "boto3": 10 * 8, "s5cmd": 5 * 5, "lib-storage": 4 * 5, "rclone": 4 * 5}
BOTO3 = "import boto3, sys; boto3.client('s3').upload_file(sys.argv[1], sys.argv[2], sys.argv[3])"
LIB_STORAGE = """
const fs = require("fs"), { S3Client } = require("@aws-sdk/client-s3"), { Upload } = require("@aws-sdk/lib-storage");
const client = new S3Client({ forcePathStyle: true });
const [file, Bucket, Key] = process.argv.slice(1);
new Upload({ client, params: { Bucket, Key, Body: fs.createReadStream(file) } }).done();
"""


class Interrupted(OnEachStore):
    """Base class of the cases; it has no tests."""

    def setUp(self):
        super().setUp()
        self.start()
        self.s3 = self.connect()
        self.s3.create_bucket(Bucket=self.bucket)

    def start(self):
        """Subclasses may replace the shared server by one of their own."""

    def commands(self, name, file, wire, key=None):
        """The command of a client and its environment."""
        key = key or name
        environment = self.environment(AWS_ENDPOINT_URL=wire.url, S3_ENDPOINT_URL=wire.url)
        target = f"s3://{self.bucket}/{key}"
        if name == "aws":
            command = [self.need("aws"), "s3", "cp", "--no-progress", file, target]
        elif name == "aws2":
            debian = ROOT / "target/debian"
            if not (debian / "packages/awscli.done").exists():
                self.skipTest("aws CLI 2 could not be installed")
            environment["PYTHONPATH"] = str(debian / "usr/lib/python3/dist-packages")
            command = ["/usr/bin/python3", debian / "usr/bin/aws"]
            # This version ignores AWS_ENDPOINT_URL.
            command += ["--endpoint-url", wire.url, "s3", "cp", "--no-progress", file, target]
        elif name == "boto3":
            command = [sys.executable, "-c", BOTO3, file, self.bucket, key]
        elif name == "s5cmd":
            command = [self.need("s5cmd"), "cp", "--part-size", "5", file, target]
        elif name == "lib-storage":
            modules = ROOT / "target/clients/js/node_modules"
            if not modules.is_dir():
                self.skipTest("lib-storage could not be installed")
            environment["NODE_PATH"] = str(modules)
            command = [self.need("node"), "-e", LIB_STORAGE, "--", file, self.bucket, key]
        elif name == "rclone":
            here = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": wire.url}
            here |= {"ACCESS_KEY_ID": self.server.key, "SECRET_ACCESS_KEY": self.server.secret}
            environment |= {f"RCLONE_CONFIG_HERE_{word}": value for word, value in here.items()}
            command = [self.need("rclone"), "copyto", "--s3-no-check-bucket", file, f"here:{self.bucket}/{key}"]
        return [str(word) for word in command], environment

    def interrupted(self, name, sent_signal, resumes=True, **more):
        """Every try must store the same bytes. How many are sent again also depends on the speed of the machine (clients
        wait one second for `100 Continue`), so only one of three tries has to stay within the limit."""
        max_again = SIZE // 2 + SIZE // 8 + IN_FLIGHT[name] * MIB if resumes else 2 * SIZE
        tries = (self.interrupted_once(name, sent_signal, f"{name}-{at}", **more) for at in range(TRIES))
        self.assertTrue(any(again <= max_again for again in tries), f"{name} sent more than {max_again / MIB:.0f} MiB again")

    def interrupted_once(self, name, sent_signal, key, label="", again_limit=None, **more):
        """Returns the number of bytes sent after the interruption."""
        file = self.file("file", SIZE, key)
        wire = Wire(self.server.url, limit=SIZE // SECONDS)
        self.addCleanup(wire.close)
        command, environment = self.commands(name, file, wire, key)
        environment |= more
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        # A process group of its own, because some programs start through a wrapper process.
        client = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
        self.assertTrue(wire.until_sent(SIZE // 2, client), f"{name} ended before it was killed")
        os.killpg(client.pid, sent_signal)
        client.wait()
        wire.cut()
        first, wire.limit = wire.sent, again_limit
        again = subprocess.run(command, env=environment, capture_output=True, timeout=300)
        self.assertEqual(again.returncode, 0, again.stderr[-2000:])
        second = wire.sent - first
        self.assertStored(key, file)
        percent = 100 * second / SIZE
        report = f"{name + label:20} {sent_signal.name:8} first {first / MIB:6.1f} MiB, again {second / MIB:6.1f} MiB = {percent:.0f} %"
        print(f"resume: {self.server_name:4} {report}, identical", flush=True)
        return second

    def assertStored(self, key, file):
        stored = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"]
        with open(file, "rb") as source:
            for block in stored.iter_chunks(MIB):
                self.assertTrue(block == source.read(len(block)), f"{key} and {file} differ")
            self.assertEqual(source.read(1), b"", f"{key} is shorter than {file}")


class Resume(Interrupted):
    def test_aws_killed(self):
        self.interrupted("aws", signal.SIGKILL)

    def test_aws_interrupted(self):
        self.interrupted("aws", signal.SIGINT)

    def test_aws2_killed(self):
        self.interrupted("aws2", signal.SIGKILL)

    def test_aws2_interrupted(self):
        self.interrupted("aws2", signal.SIGINT)

    def test_boto3_killed(self):
        self.interrupted("boto3", signal.SIGKILL)

    def test_boto3_interrupted(self):
        self.interrupted("boto3", signal.SIGINT)

    def test_s5cmd_killed(self):
        self.interrupted("s5cmd", signal.SIGKILL)

    def test_s5cmd_interrupted(self):
        self.interrupted("s5cmd", signal.SIGINT)

    def test_lib_storage_killed(self):
        self.interrupted("lib-storage", signal.SIGKILL)

    def test_lib_storage_interrupted(self):
        self.interrupted("lib-storage", signal.SIGINT)


class Mixed(Interrupted):
    """Known and new parts on shared connections: no client may hang after an early response."""

    def test_twenty_runs_that_mix_known_and_new_parts_end(self):
        size = 80 * MIB
        file = self.file("file", size)
        for run in range(20):
            name = ("aws", "boto3", "s5cmd", "lib-storage")[run % 4]
            wire = Wire(self.server.url, limit=2 * size)
            command, environment = self.commands(name, file, wire)
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
            client = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
            if wire.until_sent(size * (run + 5) // 30, client) and client.poll() is None:
                os.killpg(client.pid, signal.SIGKILL)
            client.wait()
            wire.cut()
            wire.limit = None
            subprocess.run(command, env=environment, check=True, timeout=60, **quiet)
            wire.close()
            self.assertStored(name, file)
            # The next run of this client uploads the object again.
            self.s3.delete_object(Bucket=self.bucket, Key=name)
        print("resume: 20 runs that mixed known and new parts ended", flush=True)


class EarlyClose(Interrupted):
    """rclone sends bodies without waiting; with the setting the gateway responds in the middle of a body."""

    # Over unlimited loopback a part is sent completely before the gateway can respond, and on a busy machine
    # half of one is sent at the speed of the first run.
    AGAIN = SIZE // (3 * SECONDS)

    def start(self):
        # Only one gateway may use a directory.
        store = self.server.store if self.server_name == "s3" else f"dir:{self.home}/store"
        self.server = Gateway(store, RATCHET_RESUME_EARLY_CLOSE="rclone/")
        self.addCleanup(self.server.stop)

    def test_rclone_killed(self):
        self.interrupted("rclone", signal.SIGKILL, again_limit=self.AGAIN)

    def test_rclone_interrupted(self):
        self.interrupted("rclone", signal.SIGINT, again_limit=self.AGAIN)


class OverTls(Interrupted):
    """The same over TLS, where the aws CLI sends a hash of its parts only with `when_required`."""

    def start(self):
        authority = trustme.CA()
        pair = authority.issue_cert("127.0.0.1")
        self.root, certificate, key = (str(self.home / name) for name in ("root.pem", "cert.pem", "key.pem"))
        authority.cert_pem.write_to_path(self.root)
        with open(certificate, "wb") as out:
            for blob in pair.cert_chain_pems:
                out.write(blob.bytes())
        pair.private_key_pem.write_to_path(key)
        tls = {"RATCHET_SERVER_TLS_CERTIFICATE": certificate, "RATCHET_SERVER_TLS_KEY": key}
        self.server = Gateway(f"dir:{self.home}/store", **tls)
        self.addCleanup(self.server.stop)

    def environment(self, **more):
        trusted = {"AWS_CA_BUNDLE": self.root, "NODE_EXTRA_CA_CERTS": self.root, "SSL_CERT_FILE": self.root}
        return {**super().environment(**more), **trusted, **more}

    def test_aws_killed(self):
        self.interrupted("aws", signal.SIGKILL, resumes=False, label=" tls")

    def test_aws_killed_when_required(self):
        required = {"AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}
        self.interrupted("aws", signal.SIGKILL, label=" tls WR", **required)

    def test_s5cmd_killed(self):
        self.interrupted("s5cmd", signal.SIGKILL, label=" tls")

    def test_lib_storage_killed(self):
        self.interrupted("lib-storage", signal.SIGKILL, label=" tls")


def load_tests(loader, _tests, _pattern):
    if "RATCHET_CLIENTS_ENDPOINT" in os.environ:
        return unittest.TestSuite()
    suite = on_each_store(loader, [Resume, EarlyClose])
    for case in (Mixed, OverTls):
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite
