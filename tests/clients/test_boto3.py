"""boto3: the calls that programs use, with the error codes that they evaluate."""

import base64
import hashlib
import io
import urllib.error
import urllib.request

from awscrt import checksums
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError
from harness import MIB, OnEachStore, on_each_store

ODD_KEYS = ["a b", "a+b", "a%20b", "ümlaut/é", "dir/", "quote'\"<&>", "~tilde", "k" * 200]


class Boto3(OnEachStore):
    def setUp(self):
        super().setUp()
        self.s3 = self.connect()
        self.s3.create_bucket(Bucket=self.bucket)
        self.here = {"Bucket": self.bucket}

    def put(self, key, body=b"x", **arguments):
        return self.s3.put_object(**self.here, Key=key, Body=body, **arguments)

    def get(self, key, **arguments):
        return self.s3.get_object(**self.here, Key=key, **arguments)

    def refused(self, code, call, **arguments):
        with self.assertRaises(ClientError) as raised:
            call(**self.here, **arguments)
        self.assertEqual(raised.exception.response["Error"]["Code"], code)

    def test_files_and_metadata_are_stored(self):
        data = self.file("data", 40 * MIB + 5).read_bytes()
        kept = {
            "ContentType": "text/plain",
            "CacheControl": "max-age=3",
            "ContentDisposition": 'attachment; filename="x"',
            "ContentEncoding": "gzip",
            "ContentLanguage": "de",
            "Metadata": {"one": "1", "two-words": "zwei"},
        }
        for key, body in (("big", data), ("small", data[:100])):
            self.s3.upload_fileobj(io.BytesIO(body), self.bucket, key, ExtraArgs=kept)
            head = self.s3.head_object(**self.here, Key=key)
            self.assertEqual({name: head[name] for name in kept}, kept)
            self.assertEqual(head["ContentLength"], len(body))
            back = io.BytesIO()
            self.s3.download_fileobj(self.bucket, key, back)
            self.assertTrue(back.getvalue() == body)

    def test_conditional_reads_and_writes(self):
        tag = self.put("k", b"one", IfNoneMatch="*")["ETag"]
        self.assertEqual(tag, f'"{hashlib.md5(b"one").hexdigest()}"')
        self.refused("PreconditionFailed", self.s3.put_object, Key="k", Body=b"two", IfNoneMatch="*")
        self.refused("PreconditionFailed", self.s3.put_object, Key="k", Body=b"two", IfMatch='"0"')
        newer = self.put("k", b"two", IfMatch=tag)["ETag"]
        self.refused("PreconditionFailed", self.s3.get_object, Key="k", IfMatch=tag)
        self.refused("304", self.s3.get_object, Key="k", IfNoneMatch=newer)
        self.assertEqual(self.get("k", IfMatch=newer)["Body"].read(), b"two")
        self.refused("NoSuchKey", self.s3.put_object, Key="absent", Body=b"", IfMatch=tag)

    def test_every_checksum_algorithm(self):
        for algorithm in ("CRC32", "SHA1", "SHA256", "CRC32C", "CRC64NVME"):
            with self.subTest(algorithm):
                stored = self.put(algorithm, b"hello", ChecksumAlgorithm=algorithm)
                name = f"Checksum{algorithm}"
                found = self.get(algorithm, ChecksumMode="ENABLED")
                self.assertEqual(found[name], stored[name])
                self.assertEqual(found["Body"].read(), b"hello")
        self.refused("BadDigest", self.s3.put_object, Key="bad", Body=b"hello", ChecksumSHA1="qZk+NkcGgWq6PiVxeFDCbJzQ2J0=")
        md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
        self.refused("BadDigest", self.s3.put_object, Key="bad", Body=b"hello", ContentMD5=md5)
        self.refused("NoSuchKey", self.s3.get_object, Key="bad")

    def test_the_checksum_of_an_object_is_made_from_its_parts(self):
        parts = [b"a" * 5 * MIB, b"b" * 100]
        for algorithm, kind in (("CRC32", "FULL_OBJECT"), ("CRC32", "COMPOSITE"), ("SHA256", "COMPOSITE")):
            with self.subTest(f"{algorithm} {kind}"):
                arguments = {**self.here, "Key": "k"}
                made = self.s3.create_multipart_upload(**arguments, ChecksumAlgorithm=algorithm, ChecksumType=kind)
                arguments["UploadId"], chosen = made["UploadId"], []
                for number, body in enumerate(parts, 1):
                    part = self.s3.upload_part(**arguments, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm)
                    name = f"Checksum{algorithm}"
                    chosen.append({"PartNumber": number, "ETag": part["ETag"], name: part[name]})
                done = self.s3.complete_multipart_upload(**arguments, MultipartUpload={"Parts": chosen}, ChecksumType=kind)
                found = self.get("k", ChecksumMode="ENABLED")
                self.assertEqual(found[f"Checksum{algorithm}"], done[f"Checksum{algorithm}"])
                self.assertEqual(found["ChecksumType"], kind)
                self.assertTrue(found["Body"].read() == b"".join(parts))
                if kind == "COMPOSITE":
                    self.assertTrue(done[f"Checksum{algorithm}"].endswith("-2"))
                    continue
                whole = self.put("whole", b"".join(parts), ChecksumAlgorithm=algorithm)
                self.assertEqual(whole[f"Checksum{algorithm}"], done[f"Checksum{algorithm}"])

    def test_upload_file_states_the_checksum_of_the_object(self):
        path = self.file("summed", 20 * MIB + 3)
        data = path.read_bytes()
        wholes = {
            "CRC32": checksums.crc32(data).to_bytes(4, "big"),
            "CRC32C": checksums.crc32c(data).to_bytes(4, "big"),
            "CRC64NVME": checksums.crc64nvme(data).to_bytes(8, "big"),
        }
        for algorithm, digest in wholes.items():
            with self.subTest(algorithm):
                name, value = f"Checksum{algorithm}", base64.b64encode(digest).decode()
                wrong = base64.b64encode(digest[::-1]).decode()
                with self.assertRaises(S3UploadFailedError) as raised:
                    self.s3.upload_file(str(path), self.bucket, "summed", ExtraArgs={name: wrong})
                self.assertIn("BadDigest", str(raised.exception))
                self.refused("NoSuchKey", self.s3.get_object, Key="summed")
                self.s3.upload_file(str(path), self.bucket, "summed", ExtraArgs={name: value})
                found = self.s3.head_object(**self.here, Key="summed", ChecksumMode="ENABLED")
                self.assertEqual((found[name], found["ChecksumType"]), (value, "FULL_OBJECT"))
                part = self.s3.head_object(**self.here, Key="summed", ChecksumMode="ENABLED", PartNumber=1)
                self.assertNotEqual(part[name], value)
                asked = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
                found = self.s3.get_object_attributes(**self.here, Key="summed", ObjectAttributes=asked)
                self.assertEqual(found["Checksum"], {name: value, "ChecksumType": "FULL_OBJECT"})
                self.assertEqual((found["ObjectSize"], found["StorageClass"]), (len(data), "STANDARD"))
                parts = found["ObjectParts"]
                self.assertEqual((parts["TotalPartsCount"], parts["IsTruncated"]), (3, False))
                self.assertEqual([each["Size"] for each in parts["Parts"]], [8 * MIB, 8 * MIB, 4 * MIB + 3])
                self.assertEqual(parts["Parts"][0][name], part[name])
                self.s3.delete_object(**self.here, Key="summed")

    def test_checksums_that_the_sdk_does_not_compute(self):
        stated = {"SHA512": hashlib.sha512(b"hello").digest(), "MD5": hashlib.md5(b"hello").digest()}
        for algorithm, digest in stated.items():
            with self.subTest(algorithm):
                name, value = f"Checksum{algorithm}", base64.b64encode(digest).decode()
                self.assertEqual(self.put(algorithm, b"hello", **{name: value})[name], value)
                head = self.s3.head_object(**self.here, Key=algorithm, ChecksumMode="ENABLED")
                self.assertEqual(head[name], value)
                self.refused("BadDigest", self.s3.put_object, Key="bad", Body=b"other", **{name: value})

    def test_each_answer_names_the_same_owner(self):
        if self.server_name != "dir":
            self.skipTest("other servers name their own owner in access control lists")
        self.put("k")
        owner = self.s3.list_buckets()["Owner"]
        self.assertEqual(self.s3.get_object_acl(**self.here, Key="k")["Owner"], owner)
        self.assertEqual(self.s3.list_objects(**self.here)["Contents"][0]["Owner"], owner)
        fetched = self.s3.list_objects_v2(**self.here, FetchOwner=True)["Contents"][0]
        self.assertEqual(fetched["Owner"], owner)
        self.assertEqual(self.s3.list_object_versions(**self.here)["Versions"][0]["Owner"], owner)

    def test_listings_are_paged_in_order(self):
        keys = sorted(["a", "b/1", "b/2", "b/c/3", "d", "e/4", "f"], key=str.encode)
        for key in keys:
            self.put(key)
        for name in ("list_objects_v2", "list_objects"):
            pages = list(self.s3.get_paginator(name).paginate(**self.here, PaginationConfig={"PageSize": 2}))
            self.assertEqual([each["Key"] for page in pages for each in page["Contents"]], keys, name)
            pages = self.s3.get_paginator(name).paginate(**self.here, Delimiter="/", PaginationConfig={"PageSize": 2})
            found, rolled = [], []
            for page in pages:
                found += [each["Key"] for each in page.get("Contents", [])]
                rolled += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
            self.assertEqual((found, rolled), (["a", "d", "f"], ["b/", "e/"]), name)
        pages = self.s3.get_paginator("list_objects_v2").paginate(**self.here, Prefix="b/", Delimiter="/")
        self.assertEqual([each["Key"] for page in pages for each in page["Contents"]], ["b/1", "b/2"])

    def test_uploads_and_parts_are_paged_in_order(self):
        made = []
        for key in ("u/1", "u/2", "v"):
            made.append((key, self.s3.create_multipart_upload(**self.here, Key=key)["UploadId"]))
        paginator = self.s3.get_paginator("list_multipart_uploads")
        pages = list(paginator.paginate(**self.here, PaginationConfig={"PageSize": 2}))
        self.assertEqual([(each["Key"], each["UploadId"]) for page in pages for each in page["Uploads"]], made)
        rolled = self.s3.list_multipart_uploads(**self.here, Delimiter="/")
        self.assertEqual([each["Prefix"] for each in rolled["CommonPrefixes"]], ["u/"])
        key, upload = made[0]
        arguments = {**self.here, "Key": key, "UploadId": upload}
        for number in (1, 2, 7):
            self.s3.upload_part(**arguments, PartNumber=number, Body=b"part")
        pages = self.s3.get_paginator("list_parts").paginate(**arguments, PaginationConfig={"PageSize": 2})
        self.assertEqual([part["PartNumber"] for page in pages for part in page["Parts"]], [1, 2, 7])

    def test_keys_with_special_characters(self):
        for key in ODD_KEYS:
            # For SeaweedFS a key that ends with "/" is a directory, which has no bytes.
            self.put(key, b"" if key.endswith("/") else key.encode())
        listed = [each["Key"] for each in self.s3.list_objects_v2(**self.here)["Contents"]]
        self.assertEqual(listed, sorted(ODD_KEYS, key=str.encode))
        for key in ODD_KEYS:
            self.assertEqual(self.get(key)["Body"].read(), b"" if key.endswith("/") else key.encode())
        response = self.s3.delete_objects(**self.here, Delete={"Objects": [{"Key": key} for key in ODD_KEYS + ["absent"]]})
        self.assertEqual(len(response["Deleted"]), len(ODD_KEYS) + 1)
        self.assertNotIn("Contents", self.s3.list_objects_v2(**self.here))

    def test_copies(self):
        data = self.file("data", 12 * MIB).read_bytes()
        self.put("from", data, Metadata={"a": "1"}, ContentType="text/x")
        source = {"Bucket": self.bucket, "Key": "from"}
        self.s3.copy_object(**self.here, Key="same", CopySource=source)
        self.assertEqual(self.s3.head_object(**self.here, Key="same")["Metadata"], {"a": "1"})
        self.s3.copy_object(**self.here, Key="other", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"})
        self.assertEqual(self.s3.head_object(**self.here, Key="other")["Metadata"], {"b": "2"})
        arguments = {**self.here, "Key": "joined"}
        arguments["UploadId"] = self.s3.create_multipart_upload(**arguments)["UploadId"]
        chosen = []
        for number, span in enumerate([(0, 5 * MIB - 1), (5 * MIB, 12 * MIB - 1)], 1):
            part = {"PartNumber": number, "CopySource": source, "CopySourceRange": f"bytes={span[0]}-{span[1]}"}
            chosen.append({"PartNumber": number, "ETag": self.s3.upload_part_copy(**arguments, **part)["CopyPartResult"]["ETag"]})
        self.s3.complete_multipart_upload(**arguments, MultipartUpload={"Parts": chosen})
        self.assertTrue(self.get("joined")["Body"].read() == data)
        self.assertEqual(self.get("joined", PartNumber=2)["ContentLength"], 7 * MIB)
        attributes = self.s3.get_object_attributes(**self.here, Key="joined", ObjectAttributes=["ETag", "ObjectSize", "ObjectParts"])
        self.assertEqual((attributes["ObjectSize"], attributes["ObjectParts"]["TotalPartsCount"]), (12 * MIB, 2))

    def test_a_presigned_url_works_until_it_is_changed(self):
        url = self.s3.generate_presigned_url("put_object", Params={**self.here, "Key": "p"}, ExpiresIn=60)
        request = urllib.request.Request(url, data=b"by url", method="PUT")
        self.assertEqual(urllib.request.urlopen(request).status, 200)
        self.assertEqual(self.get("p")["Body"].read(), b"by url")
        with self.assertRaises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"))
        self.assertEqual(raised.exception.code, 403)
        raised.exception.close()

    def test_presigned_urls_of_both_versions_carry_headers(self):
        kept = {"ContentType": "text/plain", "Metadata": {"one": "eins zwei"}}
        for version in (None, "s3", "s3v4"):
            with self.subTest(version):
                client = self.connect(version)
                params = {**self.here, "Key": f"p-{version}", "ACL": "private", **kept}
                url = client.generate_presigned_url("put_object", Params=params, ExpiresIn=60)
                headers = {"Content-Type": "text/plain"}
                if version == "s3v4":
                    headers |= {"x-amz-acl": "private", "x-amz-meta-one": "eins zwei"}
                request = urllib.request.Request(url, data=b"by url", headers=headers, method="PUT")
                self.assertEqual(urllib.request.urlopen(request).status, 200)
                found = self.get(f"p-{version}")
                self.assertEqual({name: found[name] for name in kept}, kept)
                url = client.generate_presigned_url("get_object", Params={**self.here, "Key": f"p-{version}"})
                self.assertEqual(urllib.request.urlopen(url).read(), b"by url")

    def test_a_form_must_match_its_policy(self):
        for version in (None, "s3v4"):
            with self.subTest(version):
                self.form_must_match_its_policy(self.connect(version))

    def form_must_match_its_policy(self, client):
        arguments = {
            "Fields": {"x-amz-meta-a": "1", "acl": "private", "Content-Type": "text/plain"},
            "Conditions": [
                {"x-amz-meta-a": "1"},
                {"acl": "private"},
                ["starts-with", "$Content-Type", "text/"],
                ["content-length-range", 1, 7_000_000],
            ],
        }
        form = client.generate_presigned_post(self.bucket, "dir/${filename}", ExpiresIn=60, **arguments)
        data = self.file("data", 6 * MIB + 1).read_bytes()
        button = b'--bound\r\nContent-Disposition: form-data; name="submit"\r\n\r\nUpload\r\n'

        def post(fields, body, after=b""):
            parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
            parts.append(b'Content-Disposition: form-data; name="file"; filename="f.bin"\r\nContent-Type: x/y\r\n\r\n' + body)
            text = b"".join(b"--bound\r\n" + part + b"\r\n" for part in parts) + after + b"--bound--\r\n"
            headers = {"Content-Type": "multipart/form-data; boundary=bound"}
            request = urllib.request.Request(form["url"], data=text, headers=headers, method="POST")
            try:
                return urllib.request.urlopen(request).status
            except urllib.error.HTTPError as error:
                error.close()
                return error.code

        for body, after in ((data, b""), (data, button), (data[:200_001], button), (b"x", b"")):
            self.assertEqual(post(form["fields"], body, after), 204)
            found = self.get("dir/f.bin")
            self.assertTrue(found["Body"].read() == body)
            self.assertEqual((found["Metadata"], found["ContentType"]), ({"a": "1"}, "text/plain"))
        self.assertEqual(post({**form["fields"], "x-amz-meta-a": "2"}, data), 403)
        self.assertEqual(post({**form["fields"], "x-amz-meta-b": "2"}, data), 403)
        self.assertEqual(post(form["fields"], data * 2), 400)
        self.assertEqual(post(form["fields"], b""), 400)
        signature = "x-amz-signature" if "x-amz-signature" in form["fields"] else "signature"
        self.assertEqual(post({**form["fields"], signature: "0" * 64}, data), 403)

    def test_tags_of_objects(self):
        self.put("k")
        tags = {"Key": "k", "Tagging": {"TagSet": [{"Key": "a", "Value": "1"}]}}
        self.s3.put_object_tagging(**self.here, **tags)
        self.assertEqual(self.s3.get_object_tagging(**self.here, Key="k")["TagSet"], tags["Tagging"]["TagSet"])
        self.s3.put_object(**self.here, Key="t", Body=b"x", Tagging="b%20c=%C3%BC")
        expected = [{"Key": "b c", "Value": "ü"}]
        self.s3.copy_object(**self.here, Key="copy", CopySource={**self.here, "Key": "t"})
        for key in ("t", "copy"):
            self.assertEqual(self.s3.get_object_tagging(**self.here, Key=key)["TagSet"], expected)
            self.assertEqual(self.s3.get_object(**self.here, Key=key)["TagCount"], 1)
        self.s3.delete_object_tagging(**self.here, Key="t")
        self.assertEqual(self.s3.get_object_tagging(**self.here, Key="t")["TagSet"], [])
        self.refused("NoSuchKey", self.s3.get_object_tagging, Key="absent")

    def test_buckets(self):
        self.assertIsNone(self.s3.get_bucket_location(**self.here)["LocationConstraint"])
        self.assertNotIn("Status", self.s3.get_bucket_versioning(**self.here))
        self.s3.head_bucket(**self.here)
        names = [each["Name"] for each in self.s3.list_buckets()["Buckets"]]
        self.assertIn(self.bucket, names)
        self.assertNotIn("ratchet-state", names)
        self.put("k")
        self.refused("BucketNotEmpty", self.s3.delete_bucket)

    def test_errors_have_their_codes(self):
        self.refused("NoSuchKey", self.s3.get_object, Key="absent")
        self.refused("404", self.s3.head_object, Key="absent")
        self.put("k", b"0123456789")
        self.refused("InvalidRange", self.s3.get_object, Key="k", Range="bytes=10-")
        self.refused("NoSuchUpload", self.s3.upload_part, Key="k", UploadId="nobody", PartNumber=1, Body=b"")
        arguments = {"Key": "m", "UploadId": self.s3.create_multipart_upload(**self.here, Key="m")["UploadId"]}
        tags = [self.s3.upload_part(**self.here, **arguments, PartNumber=n, Body=b"small")["ETag"] for n in (1, 2)]
        complete = self.s3.complete_multipart_upload
        small = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]
        self.refused("EntityTooSmall", complete, **arguments, MultipartUpload={"Parts": small})
        self.refused("InvalidPartOrder", complete, **arguments, MultipartUpload={"Parts": small[::-1]})
        wrong = [{"PartNumber": 1, "ETag": '"0123"'}]
        self.refused("InvalidPart", complete, **arguments, MultipartUpload={"Parts": wrong})
        self.refused("InvalidArgument", self.s3.upload_part, **arguments, PartNumber=10001, Body=b"")
        self.refused("KeyTooLongError", self.s3.put_object, Key="k" * 1025, Body=b"")
        self.refused("MetadataTooLarge", self.s3.put_object, Key="k", Body=b"", Metadata={"a": "v" * 2048})
        with self.assertRaises(ClientError) as raised:
            self.s3.list_objects_v2(Bucket=f"no-{self.bucket}")
        self.assertEqual(raised.exception.response["Error"]["Code"], "NoSuchBucket")
        with self.assertRaises(ClientError) as raised:
            self.s3.list_objects_v2(Bucket="ratchet-state")
        self.assertEqual(raised.exception.response["Error"]["Code"], "NoSuchBucket")


def load_tests(loader, _tests, _pattern):
    return on_each_store(loader, [Boto3])
