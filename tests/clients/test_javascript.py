"""The JavaScript SDK: presigned PutObject and CopyObject, whose headers the SDK moves into the query."""

import json

from harness import ROOT, OnEachStore, on_each_store

MODULES = ROOT / "target/clients/js/node_modules"
# Its argument is `[command, input, body]`; prints the status and text of the answer.
SCRIPT = """
const sdk = require("@aws-sdk/client-s3"), { getSignedUrl } = require("@aws-sdk/s3-request-presigner");
const client = new sdk.S3Client({ forcePathStyle: true });
(async () => {
  const [name, input, body] = JSON.parse(process.argv[1]);
  const url = await getSignedUrl(client, new sdk[name](input), { expiresIn: 60 });
  const answer = await fetch(url, { method: "PUT", body });
  console.log(JSON.stringify([answer.status, await answer.text()]));
})();
"""


class JavaScript(OnEachStore):
    def setUp(self):
        super().setUp()
        if not (MODULES / "@aws-sdk/s3-request-presigner").is_dir():
            self.skipTest("the JavaScript SDK could not be installed")
        self.s3 = self.connect()
        self.s3.create_bucket(Bucket=self.bucket)

    def fetch(self, name, body=None, **given):
        """The status and text of the answer to a presigned request."""
        case = json.dumps([name, {"Bucket": self.bucket, **given}, body])
        return json.loads(self.run_client(self.need("node"), "-e", SCRIPT, "--", case, NODE_PATH=str(MODULES)))

    def assertStored(self, key, body, metadata, tags):
        found = self.s3.get_object(Bucket=self.bucket, Key=key)
        self.assertEqual((found["Body"].read(), found["Metadata"]), (body, metadata))
        self.assertEqual(self.s3.get_object_tagging(Bucket=self.bucket, Key=key)["TagSet"], tags)

    def test_presigned_put_and_copy_with_metadata(self):
        kept = {"Metadata": {"one": "eins zwei"}, "Tagging": "a=1"}
        tags = [{"Key": "a", "Value": "1"}]
        status, text = self.fetch("PutObjectCommand", "by url", Key="put", **kept)
        self.assertEqual(status, 200, text)
        self.assertStored("put", b"by url", kept["Metadata"], tags)
        source = f"{self.bucket}/put"
        status, text = self.fetch("CopyObjectCommand", Key="copy", CopySource=source)
        self.assertEqual(status, 200, text)
        self.assertIn("<CopyObjectResult", text)
        self.assertStored("copy", b"by url", kept["Metadata"], tags)
        other = {"Metadata": {"two": "2"}, "MetadataDirective": "REPLACE", "Tagging": "b=2", "TaggingDirective": "REPLACE"}
        status, text = self.fetch("CopyObjectCommand", Key="other", CopySource=source, **other)
        self.assertEqual(status, 200, text)
        self.assertStored("other", b"by url", other["Metadata"], [{"Key": "b", "Value": "2"}])

    def test_a_presigned_copy_of_nothing_is_refused(self):
        self.s3.put_object(Bucket=self.bucket, Key="k", Body=b"stays")
        status, text = self.fetch("CopyObjectCommand", Key="k", CopySource=f"{self.bucket}/absent")
        self.assertEqual(status, 404, text)
        self.assertIn("<Code>NoSuchKey</Code>", text)
        self.assertStored("k", b"stays", {}, [])


def load_tests(loader, _tests, _pattern):
    return on_each_store(loader, [JavaScript])
