"""minio-py: its uploads, copies and listings; an append is refused and leaves the object as it was."""

import io

from harness import MIB, OnEachStore, on_each_store

try:
    from minio import Minio
    from minio.commonconfig import REPLACE, ComposeSource, CopySource
    from minio.deleteobjects import DeleteObject
    from minio.error import S3Error
except ImportError:
    Minio = None


class MinioPy(OnEachStore):
    def setUp(self):
        super().setUp()
        if Minio is None:
            self.skipTest("minio-py could not be installed")
        address = self.server.url.partition("://")[2]
        self.client = Minio(address, self.server.key, self.server.secret, secure=False, region="us-east-1")
        self.client.make_bucket(self.bucket)

    def put(self, key, data, **arguments):
        self.client.put_object(self.bucket, key, io.BytesIO(data), len(data), **arguments)

    def read(self, key):
        with self.client.get_object(self.bucket, key) as answer:
            return answer.read()

    def test_an_append_is_refused_and_the_object_stays(self):
        self.put("a", b"hello")
        with self.assertRaises(S3Error) as refused:
            self.client.append_object(self.bucket, "a", io.BytesIO(b"tail"), 4)
        self.assertEqual(refused.exception.code, "NotImplemented")
        self.assertIn("x-amz-write-offset-bytes", str(refused.exception))
        self.assertEqual(self.read("a"), b"hello")

    def test_objects_are_composed_copied_listed_and_removed(self):
        big = self.file("big", 12 * MIB).read_bytes()
        self.put("big", big, part_size=5 * MIB)
        self.put("a", b"hello")
        self.client.compose_object(self.bucket, "both", [ComposeSource(self.bucket, "big"), ComposeSource(self.bucket, "a")])
        self.assertTrue(self.read("both") == big + b"hello")
        source = CopySource(self.bucket, "a")
        self.client.copy_object(self.bucket, "copy", source, metadata={"m": "n"}, metadata_directive=REPLACE)
        self.assertEqual(self.client.stat_object(self.bucket, "copy").metadata["x-amz-meta-m"], "n")
        found = list(self.client.list_objects(self.bucket, include_version=True))
        names = [(each.object_name, each.version_id) for each in found]
        self.assertEqual(names, [(key, "null") for key in ("a", "big", "both", "copy")])
        gone = [DeleteObject(key, version) for key, version in names]
        self.assertEqual(list(self.client.remove_objects(self.bucket, gone)), [])
        self.client.remove_bucket(self.bucket)


def load_tests(loader, _tests, _pattern):
    return on_each_store(loader, [MinioPy])
