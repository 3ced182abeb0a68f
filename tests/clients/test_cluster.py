"""Three gateways on one S3 store behind HAProxy, round robin: they behave as one, also while they restart."""

import os
import signal
import subprocess
import sys

import boto3
from balanced import Balanced, behind_haproxy
from harness import BINARY, MIB, TIMEOUT


class Cluster(Balanced):
    count = 3

    def setUp(self):
        super().setUp()
        self.direct = boto3.client("s3", endpoint_url=os.environ["RATCHET_TEST_S3"])

    def start(self, *command):
        environment = self.environment(AWS_MAX_ATTEMPTS="10")
        words = [str(word) for word in command]
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stdout.close()))
        return process

    def stored(self, key):
        """The number of uploaded parts of a key in the store: the progress of its upload."""
        uploads = self.direct.list_multipart_uploads(Bucket=self.bucket, Prefix=key).get("Uploads", [])
        uploads = [{"Bucket": self.bucket, "Key": key, "UploadId": upload["UploadId"]} for upload in uploads]
        try:
            return sum(len(self.direct.list_parts(**upload).get("Parts", [])) for upload in uploads)
        except self.direct.exceptions.NoSuchUpload:
            return 0

    def restart_gateways(self, sent_signal):
        """Clients upload while one gateway after the other is stopped and started; no client fails."""
        self.run_client(self.need("aws"), "s3", "mb", f"s3://{self.bucket}")
        keys = ["backup0", "backup1", "part0", "part1"]
        files = {key: self.file(f"of-{key}", 96 * MIB, seed) for seed, key in enumerate(keys)}
        slow = "import boto3, sys\nfrom boto3.s3.transfer import TransferConfig as T\n"
        slow += "boto3.client('s3').upload_file(*sys.argv[1:4], Config=T(max_bandwidth=3 << 20, max_concurrency=2))"
        clients = {}
        for key, file in files.items():
            backup = [BINARY, "backup", file, f"s3://{self.bucket}/{key}", "--limit-rate", "3M"]
            upload = [sys.executable, "-c", slow, file, self.bucket, key]
            clients[key] = self.start(*(backup if key.startswith("backup") else upload))
        restarts = 0
        # A gateway checks its store before it is ready, which takes SeaweedFS some seconds: hence the slow clients.
        while any(client.poll() is None for client in clients.values()):
            at, before = restarts % 3, {key: self.stored(key) for key in keys}
            self.gateways[at].stop(sent_signal)
            self.gateways[at] = self.gateway(at)
            restarts += 1
            # Each client makes progress before the next gateway stops.
            for key, client in clients.items():
                self.until(lambda: client.poll() is not None or self.stored(key) != before[key])
        for client in clients.values():
            output = client.stdout.read()
            self.assertEqual(client.wait(TIMEOUT), 0, output[-2000:])
        self.assertGreater(restarts, 1, "gateways must restart while the clients upload")
        for at, (key, file) in enumerate(files.items()):
            url = {"AWS_ENDPOINT_URL": self.gateways[at % 3].url}
            self.run_client("aws", "s3", "cp", "--no-progress", f"s3://{self.bucket}/{key}", self.home / "back", **url)
            self.assertSameFile(file, self.home / "back")
        print(f"cluster: {restarts} gateways stopped by {sent_signal.name}, 4 clients, 0 failed, 4 identical", flush=True)

    def test_a_rolling_restart_fails_no_client(self):
        self.restart_gateways(signal.SIGTERM)

    def test_killed_gateways_fail_no_client(self):
        self.restart_gateways(signal.SIGKILL)

    def test_all_gateways_return_the_same(self):
        self.run_client(self.need("aws"), "s3", "mb", f"s3://{self.bucket}")
        file = self.file("file", 40 * MIB)
        target = f"s3://{self.bucket}/k"
        self.run_client(BINARY, "backup", file, target)
        outputs = {self.run_client(BINARY, "status", target, "--json", AWS_ENDPOINT_URL=one.url) for one in self.gateways}
        self.assertEqual(len(outputs), 1, outputs)
        # Each call of one upload goes to another gateway.
        api = ["aws", "s3api", "--output", "text"]
        here = ["--bucket", self.bucket, "--key", "by-hand"]
        one, two, three = ({"AWS_ENDPOINT_URL": gateway.url} for gateway in self.gateways)
        create = [*api, "create-multipart-upload", *here, "--query", "UploadId"]
        upload = self.run_client(*create, **one).decode().strip()
        here += ["--upload-id", upload]
        part = self.file("part", 5 * MIB)
        for number, gateway in ((1, two), (2, three), (3, one)):
            put = [*api, "upload-part", *here, "--part-number", number, "--body", part]
            self.run_client(*put, **gateway)
        listed = self.run_client(*api, "list-parts", *here, "--query", "Parts[].ETag", **two).decode().split()
        self.assertEqual(len(listed), 3)
        self.run_client(*api, "abort-multipart-upload", *here, **three)
        put = [*api, "upload-part", *here, "--part-number", "4", "--body", part]
        self.run_client(*put, ok=False, **one)


def load_tests(loader, _tests, _pattern):
    return behind_haproxy(loader, Cluster)
