"""The aws CLI: copies of every size, stdin and stdout, sync, move, remove, presign, and multipart by hand."""

import json
import urllib.request

from harness import MIB, ROOT, OnEachStore, on_each_store


class Aws(OnEachStore):
    def setUp(self):
        super().setUp()
        self.need("aws")
        self.aws("s3", "mb", f"s3://{self.bucket}")

    def aws(self, *words, **arguments):
        return self.run_client("aws", *words, **arguments)

    def api(self, *words, **arguments):
        output = self.aws("s3api", words[0], "--bucket", self.bucket, *words[1:], **arguments)
        return json.loads(output) if output.strip() else {}

    def test_files_of_every_size_are_uploaded_and_downloaded(self):
        for mib in (1, 40, 300):
            file, back = self.file(f"{mib}.bin", mib * MIB + 1, mib), self.home / "back"
            self.aws("s3", "cp", file, f"s3://{self.bucket}/dir/{mib}.bin")
            self.aws("s3", "cp", f"s3://{self.bucket}/dir/{mib}.bin", back)
            self.assertSameFile(file, back)
        listed = self.aws("s3", "ls", f"s3://{self.bucket}/dir/").decode().split()
        self.assertEqual([word for word in listed if word.endswith(".bin")], ["1.bin", "300.bin", "40.bin"])

    def test_stdin_and_stdout(self):
        data = self.file("data", 20 * MIB + 3).read_bytes()
        self.aws("s3", "cp", "-", f"s3://{self.bucket}/piped", stdin=data)
        self.assertTrue(self.aws("s3", "cp", f"s3://{self.bucket}/piped", "-") == data)

    def test_sync_uploads_downloads_and_skips_unchanged_files(self):
        tree, back = self.tree("tree"), self.home / "back"
        self.aws("s3", "sync", tree, f"s3://{self.bucket}/tree")
        self.assertEqual(self.aws("s3", "sync", tree, f"s3://{self.bucket}/tree"), b"", "an unchanged tree is not sent again")
        self.aws("s3", "sync", f"s3://{self.bucket}/tree", back)
        self.assertSameTree(tree, back)

    def test_sync_with_delete_removes_what_the_source_lacks(self):
        tree, target = self.tree("tree"), f"s3://{self.bucket}/tree"
        self.aws("s3", "sync", tree, target)
        self.aws("s3", "cp", tree / "a.txt", f"s3://{self.bucket}/treetop")
        (tree / "dir/b.bin").unlink()
        self.file("tree/new", 11)
        self.aws("s3", "sync", "--delete", tree, target)
        listed = [line.split(None, 3)[3] for line in self.aws("s3", "ls", "--recursive", target).decode().splitlines()]
        self.assertEqual(listed, ["tree/a.txt", "tree/dir/sub/c d+ü.bin", "tree/empty", "tree/new", "treetop"])
        self.file("back/extra", 3)
        self.aws("s3", "sync", "--delete", target, self.home / "back")
        self.assertSameTree(tree, self.home / "back")

    def test_a_copy_onto_itself_changes_the_storage_class(self):
        # Version 1 of the CLI does not take the metadata along where it copies in parts.
        kept = {"small": ("ContentLength", "Metadata", "ContentType"), "large": ("ContentLength",)}
        for name, size in (("small", 100), ("large", 20 * MIB + 1)):
            with self.subTest(name):
                file, target = self.file(name, size), f"s3://{self.bucket}/{name}"
                self.aws("s3", "cp", file, target, "--metadata", "a=1", "--content-type", "text/x")
                before = self.api("head-object", "--key", name)
                # The same key, nothing changed: S3 refuses that, and the CLI says so.
                self.aws("s3api", "copy-object", "--bucket", self.bucket, "--key", name, "--copy-source", f"{self.bucket}/{name}", ok=False)
                self.aws("s3", "cp", target, target, "--storage-class", "STANDARD_IA")
                after = self.api("head-object", "--key", name)
                self.assertEqual(after["StorageClass"], "STANDARD_IA")
                for field in kept[name]:
                    self.assertEqual(after[field], before[field])
                self.aws("s3", "cp", target, self.home / "back")
                self.assertSameFile(file, self.home / "back")

    def test_version_2_copies_in_parts_with_the_tags(self):
        debian = ROOT / "target/debian"
        if not (debian / "packages/awscli.done").exists():
            self.skipTest("aws CLI 2 could not be installed")
        file, big = self.file("file", 20 * MIB + 1), f"s3://{self.bucket}/big"
        self.aws("s3", "cp", file, big)
        tags = {"TagSet": [{"Key": "a", "Value": "1"}]}
        self.api("put-object-tagging", "--key", "big", "--tagging", json.dumps(tags))
        # This version ignores AWS_ENDPOINT_URL.
        command = ["/usr/bin/python3", debian / "usr/bin/aws", "--endpoint-url", self.server.url, "s3", "cp", big, f"{big}2"]
        self.run_client(*command, PYTHONPATH=str(debian / "usr/lib/python3/dist-packages"))
        self.assertEqual(self.api("get-object-tagging", "--key", "big2"), tags)
        self.aws("s3", "cp", f"{big}2", self.home / "back")
        self.assertSameFile(file, self.home / "back")

    def test_move_remove_and_delete_a_bucket(self):
        file = self.file("file", 20 * MIB)
        self.aws("s3", "cp", file, f"s3://{self.bucket}/a")
        self.aws("s3", "mv", f"s3://{self.bucket}/a", f"s3://{self.bucket}/b")
        self.assertNotIn(b" a\n", self.aws("s3", "ls", f"s3://{self.bucket}"))
        self.aws("s3", "cp", f"s3://{self.bucket}/b", self.home / "back")
        self.assertSameFile(file, self.home / "back")
        self.aws("s3", "rb", f"s3://{self.bucket}", ok=False)
        self.aws("s3", "rm", "--recursive", f"s3://{self.bucket}")
        self.aws("s3", "rb", f"s3://{self.bucket}")
        self.assertNotIn(self.bucket.encode(), self.aws("s3", "ls"))

    def test_a_presigned_url_works_without_a_key(self):
        file = self.file("file", 100_000)
        self.aws("s3", "cp", file, f"s3://{self.bucket}/a key+%")
        url = self.aws("s3", "presign", f"s3://{self.bucket}/a key+%", "--expires-in", "60").decode().strip()
        self.assertEqual(urllib.request.urlopen(url).read(), file.read_bytes())

    def test_multipart_by_hand(self):
        parts = [self.file("p1", 5 * MIB, 1), self.file("p2", 6 * MIB, 2), self.file("p3", 17, 3)]
        upload = self.api("create-multipart-upload", "--key", "k", "--content-type", "text/x")["UploadId"]
        target = ("--key", "k", "--upload-id", upload)
        etags = {}
        for number in (3, 1, 2):
            part = self.api("upload-part", *target, "--part-number", number, "--body", parts[number - 1])
            etags[number] = part["ETag"]
        listed = self.api("list-parts", *target)["Parts"]
        self.assertEqual([(part["PartNumber"], part["Size"]) for part in listed], [(1, 5 * MIB), (2, 6 * MIB), (3, 17)])
        self.assertIn(upload, [each["UploadId"] for each in self.api("list-multipart-uploads")["Uploads"]])
        chosen = {"Parts": [{"PartNumber": number, "ETag": etags[number]} for number in (1, 2, 3)]}
        self.api("complete-multipart-upload", *target, "--multipart-upload", json.dumps(chosen))
        self.assertEqual(self.api("head-object", "--key", "k")["ContentType"], "text/x")
        self.api("get-object", "--key", "k", self.home / "back")
        self.assertEqual((self.home / "back").read_bytes(), b"".join(part.read_bytes() for part in parts))
        self.api("get-object", "--key", "k", "--range", f"bytes={5 * MIB - 2}-{5 * MIB + 1}", self.home / "range")
        self.assertEqual((self.home / "range").read_bytes(), parts[0].read_bytes()[-2:] + parts[1].read_bytes()[:2])
        self.api("list-parts", *target, ok=False)

    def test_an_aborted_upload_accepts_no_part(self):
        upload = self.api("create-multipart-upload", "--key", "k")["UploadId"]
        target = ("--key", "k", "--upload-id", upload)
        self.api("abort-multipart-upload", *target)
        self.api("upload-part", *target, "--part-number", "1", "--body", self.file("p", 10), ok=False)
        self.assertNotIn("Uploads", self.api("list-multipart-uploads"))


def load_tests(loader, _tests, _pattern):
    return on_each_store(loader, [Aws])
