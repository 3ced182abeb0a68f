"""boto3 with its default settings through HAProxy in front of two gateways: requests of one transfer reach both."""

import base64
import urllib.request

import boto3
from awscrt import checksums
from balanced import Balanced, behind_haproxy
from botocore.config import Config
from botocore.exceptions import ClientError
from harness import KEY, MIB, SECRET

KEPT = {"ContentType": "text/plain", "Metadata": {"one": "eins zwei"}}


class Defaults(Balanced):
    def setUp(self):
        super().setUp()
        keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        # One try, so that no failure is hidden by a second one.
        config = Config(retries={"total_max_attempts": 1})
        self.s3 = boto3.client("s3", endpoint_url=self.server.url, config=config, **keys)
        self.addCleanup(self.s3.close)
        self.s3.create_bucket(Bucket=self.bucket)
        self.here = {"Bucket": self.bucket}

    def assertStored(self, key, body):
        """Both gateways give back the body and what KEPT says of it, as often as one of them is asked first."""
        for _ in self.gateways:
            found = self.s3.get_object(**self.here, Key=key)
            self.assertTrue(found["Body"].read() == body)
            self.assertEqual({name: found[name] for name in KEPT}, KEPT)

    def fetch(self, url, **arguments):
        with urllib.request.urlopen(urllib.request.Request(url, **arguments)) as answer:
            return answer.status, answer.read()

    def test_presigned_put_and_get_with_metadata(self):
        url = self.s3.generate_presigned_url("put_object", Params={**self.here, "Key": "p", **KEPT})
        for body in (b"by url", b"again"):
            self.assertEqual(self.fetch(url, data=body, headers={"Content-Type": "text/plain"}, method="PUT")[0], 200)
            self.assertStored("p", body)
        url = self.s3.generate_presigned_url("get_object", Params={**self.here, "Key": "p"})
        self.assertEqual([self.fetch(url) for _ in self.gateways], [(200, b"again")] * len(self.gateways))

    def test_presigned_post_with_metadata(self):
        fields = {"Content-Type": "text/plain", "x-amz-meta-one": "eins zwei"}
        conditions = [{name: value} for name, value in fields.items()]
        form = self.s3.generate_presigned_post(self.bucket, "f/${filename}", Fields=fields, Conditions=conditions)
        for body in (b"by form", b"f" * 3 * MIB):
            parts = [f'form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in form["fields"].items()]
            parts.append(b'form-data; name="file"; filename="a b.txt"\r\n\r\n' + body)
            text = b"".join(b"--bound\r\nContent-Disposition: " + part + b"\r\n" for part in parts) + b"--bound--\r\n"
            headers = {"Content-Type": "multipart/form-data; boundary=bound"}
            self.assertEqual(self.fetch(form["url"], data=text, headers=headers)[0], 204)
            self.assertStored("f/a b.txt", body)

    def test_an_answer_before_the_body_ends_its_connection(self):
        """HAProxy would take the next request on that connection for the body that was not sent."""
        for at in range(6):
            with self.assertRaises(ClientError) as refused:
                self.s3.put_object(Bucket=f"no-{self.bucket}", Key="k", Body=b"b" * MIB)
            self.assertEqual(refused.exception.response["Error"]["Code"], "NoSuchBucket")
            self.s3.put_object(**self.here, Key=f"k{at}", Body=b"after")

    def test_upload_file_with_each_checksum(self):
        path = self.file("file", 20 * MIB + 3)
        data = path.read_bytes()
        wholes = {
            "ChecksumCRC32": checksums.crc32(data).to_bytes(4, "big"),
            "ChecksumCRC32C": checksums.crc32c(data).to_bytes(4, "big"),
            "ChecksumCRC64NVME": checksums.crc64nvme(data).to_bytes(8, "big"),
        }
        stated = [{name: base64.b64encode(digest).decode()} for name, digest in wholes.items()]
        stated += [{"ChecksumAlgorithm": name.removeprefix("Checksum")} for name in wholes]
        stated += [{"ChecksumAlgorithm": name} for name in ("SHA1", "SHA256")]
        before = [self.received_bytes(gateway.url) for gateway in self.gateways]
        for at, extra in enumerate([{}, *stated]):
            with self.subTest(extra):
                key = f"k{at}"
                self.s3.upload_file(str(path), self.bucket, key, ExtraArgs={**KEPT, **extra})
                self.assertStored(key, data)
                head = self.s3.head_object(**self.here, Key=key, ChecksumMode="ENABLED")
                name = f"Checksum{extra['ChecksumAlgorithm']}" if "ChecksumAlgorithm" in extra else next(iter(extra), "ChecksumCRC32")
                if head["ChecksumType"] == "FULL_OBJECT":
                    self.assertEqual(head[name], base64.b64encode(wholes[name]).decode())
                else:
                    self.assertTrue(head[name].endswith("-3"), head)
        after = [self.received_bytes(gateway.url) for gateway in self.gateways]
        self.assertTrue(all(new - old > 10 * MIB for new, old in zip(after, before)), "both gateways get parts")


def load_tests(loader, _tests, _pattern):
    return behind_haproxy(loader, Defaults)
