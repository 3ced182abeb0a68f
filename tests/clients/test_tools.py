"""s5cmd, rclone, restic and s3cmd with their usual commands. Every test compares the bytes in the end."""

import json
import re
import signal
import subprocess
import time

from harness import MIB, OnEachStore, on_each_store


class S5cmd(OnEachStore):
    def s5cmd(self, *words, **arguments):
        return self.run_client(self.need("s5cmd"), *words, S3_ENDPOINT_URL=self.server.url, **arguments)

    def test_files_are_uploaded_and_downloaded(self):
        self.s5cmd("mb", f"s3://{self.bucket}")
        for size in (1000, 60 * MIB + 1):
            file = self.file("file", size)
            self.s5cmd("cp", file, f"s3://{self.bucket}/k")
            self.s5cmd("cp", f"s3://{self.bucket}/k", self.home / "back")
            self.assertSameFile(file, self.home / "back")

    def test_sync_and_a_long_listing(self):
        self.s5cmd("mb", f"s3://{self.bucket}")
        for at in range(2500):
            self.file(f"many/{at:04}", at % 7, at)
        self.s5cmd("--numworkers", "16", "sync", f"{self.home}/many/", f"s3://{self.bucket}/many/")
        listed = self.s5cmd("ls", f"s3://{self.bucket}/many/*").decode().splitlines()
        self.assertEqual([line.split()[-1] for line in listed], [f"{at:04}" for at in range(2500)])
        self.s5cmd("sync", f"s3://{self.bucket}/many/*", f"{self.home}/back/")
        self.assertSameTree(self.home / "many", self.home / "back")
        self.s5cmd("rm", f"s3://{self.bucket}/*")
        self.s5cmd("rb", f"s3://{self.bucket}")

    def test_all_versions_are_listed_and_removed(self):
        self.s5cmd("mb", f"s3://{self.bucket}")
        file, all_of_it = self.file("file", 10), f"s3://{self.bucket}/*"
        for key in ("a", "dir/b", "dir/b", "c"):
            self.s5cmd("cp", file, f"s3://{self.bucket}/{key}")
        listed = [line.split() for line in self.s5cmd("ls", "--all-versions", all_of_it).decode().splitlines()]
        self.assertEqual([line[-2:] for line in listed], [["a", "null"], ["c", "null"], ["dir/b", "null"]])
        self.s5cmd("rm", "--version-id", "null", f"s3://{self.bucket}/c")
        # SeaweedFS by itself answers 204 and removes nothing.
        self.s5cmd("rm", "--version-id", "absent", f"s3://{self.bucket}/a", ok=False)
        removed = self.s5cmd("rm", "--all-versions", all_of_it).decode().splitlines()
        self.assertEqual(len(removed), 2, removed)
        self.s5cmd("rb", f"s3://{self.bucket}")


class Rclone(OnEachStore):
    def rclone(self, *words, **arguments):
        config = {
            "RCLONE_CONFIG": str(self.home / "rclone.conf"),
            "RCLONE_CONFIG_R_TYPE": "s3",
            "RCLONE_CONFIG_R_PROVIDER": "Other",
            "RCLONE_CONFIG_R_ENDPOINT": self.server.url,
            "RCLONE_CONFIG_R_ACCESS_KEY_ID": self.server.key,
            "RCLONE_CONFIG_R_SECRET_ACCESS_KEY": self.server.secret,
            "RCLONE_CONFIG_R_REGION": "us-east-1",
        }
        return self.run_client(self.need("rclone"), "--s3-upload-cutoff", "6M", *words, **config, **arguments)

    def test_copy_check_sync_and_list(self):
        tree = self.tree("tree")
        self.file("tree/large", 12 * MIB + 1)
        self.rclone("copy", tree, f"r:{self.bucket}/tree")
        self.rclone("check", tree, f"r:{self.bucket}/tree", "--download")
        self.rclone("check", tree, f"r:{self.bucket}/tree")
        listed = self.rclone("lsl", f"r:{self.bucket}/tree").decode()
        self.assertEqual(len(listed.splitlines()), 5, listed)
        (tree / "a.txt").unlink()
        self.rclone("sync", tree, f"r:{self.bucket}/tree")
        self.rclone("copy", f"r:{self.bucket}/tree", self.home / "back")
        self.assertSameTree(tree, self.home / "back")
        self.rclone("purge", f"r:{self.bucket}")

    def test_versions_are_listed_and_copied(self):
        tree = self.tree("tree")
        for _ in range(2):
            self.rclone("copy", "--ignore-times", tree, f"r:{self.bucket}")
        every = ["--s3-versions", "lsf", "--recursive", "--files-only", f"r:{self.bucket}"]
        names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())
        self.assertEqual(sorted(self.rclone(*every).decode().splitlines()), names)
        self.rclone("--s3-versions", "copy", f"r:{self.bucket}", self.home / "back")
        self.assertSameTree(tree, self.home / "back")
        self.rclone("--s3-versions", "deletefile", f"r:{self.bucket}/a.txt")
        names.remove("a.txt")
        self.assertEqual(sorted(self.rclone(*every).decode().splitlines()), names)
        self.rclone("backend", "cleanup-hidden", f"r:{self.bucket}")
        self.rclone("purge", f"r:{self.bucket}")


class Restic(OnEachStore):
    def restic(self, *words, **arguments):
        more = {"RESTIC_REPOSITORY": f"s3:{self.server.url}/{self.bucket}/repo", "RESTIC_PASSWORD": "secret"}
        return self.run_client(self.need("restic"), *words, **more, **arguments)

    def test_a_repository_is_backed_up_pruned_and_restored(self):
        tree = self.tree("tree")
        self.file("tree/large", 40 * MIB)
        self.restic("init")
        self.restic("backup", tree)
        self.file("tree/a.txt", 20, 1)
        self.restic("backup", tree)
        self.restic("check", "--read-data")
        self.restic("forget", "--keep-last", "1", "--prune")
        self.assertEqual(len(json.loads(self.restic("snapshots", "--json"))), 1)
        self.restic("check", "--read-data")
        self.restic("restore", "latest", "--target", self.home / "back")
        self.assertSameTree(tree, self.home / "back" / tree.relative_to("/"))


class S3cmd(OnEachStore):
    def command(self, *words):
        host = self.server.url.removeprefix("http://")
        where = [f"--host={host}", f"--host-bucket={host}", "--no-ssl", "--signature-v2"][:3]
        keys = [f"--access_key={self.server.key}", f"--secret_key={self.server.secret}"]
        return [self.need("s3cmd"), *where, *keys, "--region=us-east-1", "--no-progress", *map(str, words)]

    def s3cmd(self, *words, **arguments):
        return self.run_client(*self.command(*words), **arguments)

    def test_put_get_and_sync(self):
        self.s3cmd("mb", f"s3://{self.bucket}")
        file, tree = self.file("file", 20 * MIB), self.tree("tree")
        self.s3cmd("put", file, f"s3://{self.bucket}/k")
        self.s3cmd("get", f"s3://{self.bucket}/k", self.home / "back")
        self.assertSameFile(file, self.home / "back")
        self.s3cmd("sync", f"{tree}/", f"s3://{self.bucket}/tree/")
        self.s3cmd("sync", f"s3://{self.bucket}/tree/", f"{self.home}/tree-back/")
        self.assertSameTree(tree, self.home / "tree-back")

    def test_put_continues_an_interrupted_upload(self):
        self.s3cmd("mb", f"s3://{self.bucket}")
        file, target = self.file("file", 40 * MIB), f"s3://{self.bucket}/k"
        slow = self.command("--multipart-chunk-size-mb=5", "--limit-rate=8m", "put", file, target)
        putting = subprocess.Popen(slow, env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        upload, until = None, time.monotonic() + 60
        while time.monotonic() < until and putting.poll() is None:
            found = re.search(r"\t([0-9a-zA-Z._-]{16,})\s*$", self.s3cmd("multipart", f"s3://{self.bucket}").decode())
            upload = found and found.group(1)
            if upload and self.s3cmd("listmp", target, upload).decode().count("\n") > 3:
                break
        putting.send_signal(signal.SIGKILL)
        putting.wait()
        self.assertTrue(upload, "no upload was begun")
        before = self.received_bytes()
        self.s3cmd("--multipart-chunk-size-mb=5", "put", "--continue-put", f"--upload-id={upload}", file, target)
        self.assertLess(self.received_bytes() - before, 35 * MIB, "stored parts were sent again")
        self.s3cmd("get", target, self.home / "back")
        self.assertSameFile(file, self.home / "back")


def load_tests(loader, _tests, _pattern):
    return on_each_store(loader, [S5cmd, Rclone, Restic, S3cmd])
