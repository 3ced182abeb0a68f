"""The second upload of a file of which a few parts changed: how much of it unmodified tools send.

Bytes are counted before the gateway and printed, one line for each tool. RATCHET_ONCE_MIB sets the size of the file.
"""

import os
import subprocess
import time
import unittest

from balanced import Balanced, behind_haproxy
from harness import MIB, on_each_store
from test_resume import IN_FLIGHT, TRIES, Interrupted
from wire import Wire

SIZE = int(os.environ.get("RATCHET_ONCE_MIB", "128")) * MIB
# Every tool's parts have 5 or 8 MiB. What a tool sends of a part before it is answered may be sent in vain.
PART = {"s5cmd": 5 * MIB, "lib-storage": 5 * MIB}
# Heads of requests and the two documents.
OVERHEAD = max(SIZE // 100, 2 * MIB)


class Changed(Interrupted):
    """A byte of every fiftieth MiB changes, at least two of them."""

    def again(self, name):
        """How much is sent also depends on the speed of the machine (clients wait one second for `100 Continue`), so only
        one of three tries has to stay within the limit."""
        tries = (self.again_once(name, f"{name}-{at}") for at in range(TRIES))
        self.assertTrue(any(tries), f"{name} sent more than what changed")

    def again_once(self, name, seed):
        file = self.file("file", SIZE, seed)
        self.upload(name, file)
        places = range(SIZE // 3, SIZE, max(SIZE // 2, 50 * MIB))
        with open(file, "r+b") as out:
            for place in places:
                out.seek(place)
                out.write(b"changed")
        (sent, took), direct = self.upload(name, file), self.directly(name, file)
        part = PART.get(name, 8 * MIB)
        report = f"{name:12} {sent / MIB:6.1f} of {SIZE / MIB:.0f} MiB sent again = {100 * sent / SIZE:.1f} %, {took:.2f} s{direct}"
        print(f"known: {self.server_name:4} {report}", flush=True)
        self.assertGreaterEqual(sent, len(places) * part, "the parts that changed were not sent")
        self.assertStored("disk", file)
        # A server copies bytes; what is in flight at once may come too late for clients that wait a second.
        late = IN_FLIGHT[name] * MIB if self.server_name == "s3" else 0
        return sent <= len(places) * part + OVERHEAD + late

    def upload(self, name, file):
        """Returns the number of bytes sent and the seconds that it took."""
        return self.upload_to(self.server.url, name, file, "disk", {})

    def directly(self, name, file):
        """The time of the same upload straight to the store, where there is one behind the gateway."""
        if self.server_name != "s3":
            return ""
        keys = {word: os.environ[word] for word in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        _, took = self.upload_to(os.environ["RATCHET_TEST_S3"], name, file, "direct", keys)
        return f" (straight to the store {took:.2f} s)"

    def upload_to(self, url, name, file, key, keys):
        wire = Wire(url)
        self.addCleanup(wire.close)
        command, environment = self.commands(name, file, wire, key)
        began = time.monotonic()
        done = subprocess.run(command, env=environment | keys, capture_output=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        return wire.sent, time.monotonic() - began

    def test_aws(self):
        self.again("aws")

    def test_aws2(self):
        self.again("aws2")

    def test_boto3(self):
        self.again("boto3")

    def test_s5cmd(self):
        self.again("s5cmd")

    def test_lib_storage(self):
        self.again("lib-storage")


class ChangedBehindHaproxy(Changed, Balanced):
    """Through HAProxy before two gateways, without retries: a part that is known ends its connection on every hop."""

    def environment(self, **more):
        return super().environment(**{"AWS_MAX_ATTEMPTS": "1", **more})


def load_tests(loader, _tests, _pattern):
    if "RATCHET_CLIENTS_ENDPOINT" in os.environ:
        return unittest.TestSuite()
    suite = on_each_store(loader, [Changed])
    suite.addTest(behind_haproxy(loader, ChangedBehindHaproxy))
    return suite
