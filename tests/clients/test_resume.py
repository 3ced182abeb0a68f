"""Tools that cannot resume, killed half-way and run again: how much of the file they send the second time.

Counted on the wire before the gateway, and printed, a line for each case. RATCHET_RESUME_MIB is the file's size.
"""

import os
import signal
import subprocess
import sys
import unittest

from harness import ROOT, OnEachStore, on_each_store
from wire import Wire

MIB = 1 << 20
SIZE = int(os.environ.get("RATCHET_RESUME_MIB", "512")) * MIB
SECONDS = 10
BOTO3 = "import boto3, sys; boto3.client('s3').upload_file(sys.argv[1], sys.argv[2], sys.argv[3])"
LIB_STORAGE = """
const fs = require("fs"), { S3Client } = require("@aws-sdk/client-s3"), { Upload } = require("@aws-sdk/lib-storage");
const client = new S3Client({ forcePathStyle: true });
const [file, Bucket, Key] = process.argv.slice(1);
new Upload({ client, params: { Bucket, Key, Body: fs.createReadStream(file) } }).done();
"""


class Resume(OnEachStore):
    def setUp(self):
        super().setUp()
        self.run_client(self.need("aws"), "s3", "mb", f"s3://{self.bucket}")

    def commands(self, name, file, wire):
        """The command of a client, and its environment."""
        environment = self.environment(AWS_ENDPOINT_URL=wire.url, S3_ENDPOINT_URL=wire.url)
        target = f"s3://{self.bucket}/{name}"
        if name == "aws":
            command = [self.need("aws"), "s3", "cp", "--no-progress", file, target]
        elif name == "boto3":
            command = [sys.executable, "-c", BOTO3, file, self.bucket, name]
        elif name == "s5cmd":
            command = [self.need("s5cmd"), "cp", "--part-size", "5", file, target]
        elif name == "lib-storage":
            modules = ROOT / "target/clients/js/node_modules"
            if not modules.is_dir():
                self.skipTest("lib-storage could not be installed")
            environment["NODE_PATH"] = str(modules)
            command = [self.need("node"), "-e", LIB_STORAGE, "--", file, self.bucket, name]
        return [str(word) for word in command], environment

    def interrupted(self, name, sent_signal):
        file = self.file("file", SIZE, name)
        wire = Wire(self.server.url, limit=SIZE // SECONDS)
        self.addCleanup(wire.close)
        command, environment = self.commands(name, file, wire)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        # A group of its own: some programs come wrapped in another process.
        client = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
        while wire.sent < SIZE // 2:
            self.assertIsNone(client.poll(), f"{name} ended before it was killed")
        os.killpg(client.pid, sent_signal)
        client.wait()
        wire.cut()
        first, wire.limit = wire.sent, None
        again = subprocess.run(command, env=environment, capture_output=True, timeout=300)
        self.assertEqual(again.returncode, 0, again.stderr[-2000:])
        second = wire.sent - first
        self.run_client("aws", "s3", "cp", "--no-progress", f"s3://{self.bucket}/{name}", self.home / "back")
        self.assertSameFile(file, self.home / "back")
        percent = 100 * second / SIZE
        told = f"{name:12} {sent_signal.name:8} first {first / MIB:6.1f} MiB, again {second / MIB:6.1f} MiB = {percent:.0f} %"
        print(f"resume: {self.server_name:4} {told}, identical", flush=True)
        self.assertLessEqual(percent, 60, told)

    def test_aws_killed(self):
        self.interrupted("aws", signal.SIGKILL)

    def test_aws_interrupted(self):
        self.interrupted("aws", signal.SIGINT)

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


def load_tests(loader, _tests, _pattern):
    if "RATCHET_CLIENTS_ENDPOINT" in os.environ:
        return unittest.TestSuite()
    return on_each_store(loader, [Resume])
