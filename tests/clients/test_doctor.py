"""A server without atomic conditional writes: `doctor` reports it, and no gateway starts on it.

Source: docs/backends.md#stores-without-atomic-conditional-writes.
"""

import os
import subprocess
import tempfile
import unittest

from harness import BINARY, TIMEOUT, OnEachStore


class Doctor(OnEachStore):
    def setUp(self):
        super().setUp()
        serve = [self.need("rclone"), "serve", "s3", "--auth-key", "key-of-rclone,secret-of-rclone"]
        serve += ["--addr", "127.0.0.1:0", tempfile.mkdtemp(dir=self.home)]
        server = subprocess.Popen(serve, env=self.environment(), stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (server.kill(), server.wait(), server.stderr.close()))
        line = next(line for line in server.stderr if "http://" in line)
        address = line.split("http://")[1].split("/")[0]
        self.store = f"s3+http://{address}"
        self.keys = {"AWS_ACCESS_KEY_ID": "key-of-rclone", "AWS_SECRET_ACCESS_KEY": "secret-of-rclone"}

    def run_on_the_store(self, *words):
        root = {"RATCHET_ACCESS_KEY_ID": "root-key", "RATCHET_SECRET_ACCESS_KEY": "root-secret-root-secret"}
        environment = {**self.environment(**self.keys), **root}
        command = [BINARY, *words, "--store", self.store]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT)

    def test_a_store_that_loses_updates_is_refused(self):
        done = self.run_on_the_store("doctor")
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("FAIL", done.stdout)
        self.assertIn("must not use this store", done.stderr)
        done = self.run_on_the_store("serve", "--listen", "127.0.0.1:0")
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("cannot be used", done.stderr)


def load_tests(loader, _tests, _pattern):
    available = "RATCHET_CLIENTS_ENDPOINT" not in os.environ
    return loader.loadTestsFromTestCase(Doctor) if available else unittest.TestSuite()
