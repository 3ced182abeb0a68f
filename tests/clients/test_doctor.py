"""A server whose conditional writes are not atomic: `doctor` reports it, and no gateway starts on it.

See docs/backends.md#stores-without-atomic-conditional-writes.
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
        place = line.split("http://")[1].split("/")[0]
        self.store = f"s3+http://{place}"
        self.keys = {"AWS_ACCESS_KEY_ID": "key-of-rclone", "AWS_SECRET_ACCESS_KEY": "secret-of-rclone"}

    def run_on_it(self, *words):
        root = {"RATCHET_ACCESS_KEY_ID": "root-key", "RATCHET_SECRET_ACCESS_KEY": "root-secret-root-secret"}
        environment = {**self.environment(**self.keys), **root}
        command = [BINARY, *words, "--store", self.store]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT)

    def test_a_store_that_loses_updates_is_refused(self):
        told = self.run_on_it("doctor")
        self.assertEqual(told.returncode, 1, told)
        self.assertIn("FAIL", told.stdout)
        self.assertIn("must not use this store", told.stderr)
        told = self.run_on_it("serve", "--listen", "127.0.0.1:0")
        self.assertEqual(told.returncode, 2, told)
        self.assertIn("cannot be used", told.stderr)


def load_tests(loader, _tests, _pattern):
    there = "RATCHET_CLIENTS_ENDPOINT" not in os.environ
    return loader.loadTestsFromTestCase(Doctor) if there else unittest.TestSuite()
