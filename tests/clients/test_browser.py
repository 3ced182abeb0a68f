"""Pages in Chromium that upload in parts to a gateway of another origin: Uppy's S3 plugin and lib-storage."""

import functools
import http.server
import json
import queue
import shutil
import subprocess
import tempfile
import threading

from harness import MIB, ROOT, TIMEOUT, Gateway, OnEachStore, on_each_store

MODULES = ROOT / "target/clients/js"
SIZE = 12 * MIB + 5
# What both pages share: the options, the bytes of the file, and how the outcome is told.
SHARED = """
const options = Object.fromEntries(new URLSearchParams(location.search));
const bytes = new Uint8Array(Number(options.size)).map((_, at) => (at * 7) ^ (at >> 11));
const run = async (upload) => {
    let outcome;
    try { outcome = await upload(); } catch (error) { outcome = { error: `${error.name}: ${error.message}` }; }
    await fetch("/outcome", { method: "POST", body: JSON.stringify(outcome) });
};
"""
PAGES = {
    "uppy": """
import Uppy from "@uppy/core";
import AwsS3 from "@uppy/aws-s3";
run(async () => {
    const uppy = new Uppy();
    const credentials = { accessKeyId: options.key, secretAccessKey: options.secret };
    uppy.use(AwsS3, {
        s3Endpoint: `${options.url}/${options.bucket}`,
        region: "us-east-1",
        getCredentials: async () => ({ credentials, region: "us-east-1" }),
        shouldUseMultipart: true,
        generateObjectKey: () => "dir/from a page",
    });
    uppy.addFile({ name: "file.bin", type: "application/x-test", data: new Blob([bytes]) });
    const { successful, failed } = await uppy.upload();
    if (failed.length) throw new Error(failed[0].error);
    return { location: successful[0].uploadURL };
});
""",
    "lib-storage": """
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
run(async () => {
    const client = new S3Client({
        endpoint: options.url,
        region: "us-east-1",
        forcePathStyle: true,
        maxAttempts: 1,
        credentials: { accessKeyId: options.key, secretAccessKey: options.secret },
    });
    const target = { Bucket: options.bucket, Key: "dir/from a page" };
    const params = { ...target, Body: new Blob([bytes]), Metadata: { page: "yes" }, Tagging: "from=page" };
    const done = await new Upload({ client, params, partSize: 5 << 20 }).done();
    const { Metadata, TagCount, ETag } = await client.send(new GetObjectCommand(target));
    const missing = await client.send(new GetObjectCommand({ ...target, Key: "missing" })).catch((error) => error);
    return { done: done.ETag, etag: ETag, Metadata, TagCount, missing: missing.name, id: missing.$metadata.requestId };
});
""",
}


@functools.cache
def bundle(name):
    """The page's script with its packages, as one text."""
    script = MODULES / f"{name}.mjs"
    head, _, rest = PAGES[name].partition("run(async")
    script.write_text(head + SHARED + "run(async" + rest)
    esbuild = [MODULES / "node_modules/.bin/esbuild", script, "--bundle", "--format=iife", "--log-level=error"]
    return subprocess.run(esbuild, check=True, capture_output=True, timeout=TIMEOUT).stdout


class Pages(http.server.BaseHTTPRequestHandler):
    """Serves the pages, and takes the outcome that a page tells."""

    def do_GET(self):
        name = self.path.lstrip("/").partition("?")[0]
        if name.endswith(".js"):
            return self.answer("text/javascript", bundle(name.removesuffix(".js")))
        return self.answer("text/html", f"<!doctype html><script src='/{name}.js'></script>".encode())

    def do_POST(self):
        self.server.outcomes.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.answer("text/plain", b"")

    def answer(self, kind, body):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def file_of_the_page():
    return bytes((at * 7 ^ at >> 11) & 255 for at in range(SIZE))


class Browser(OnEachStore):
    def setUp(self):
        super().setUp()
        self.chromium = self.need("chromium")
        if not all((MODULES / "node_modules" / name).exists() for name in ("esbuild", "@uppy/aws-s3", "@aws-sdk")):
            self.skipTest("Uppy, lib-storage or esbuild could not be installed")
        self.pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.pages.outcomes = queue.Queue()
        threading.Thread(target=self.pages.serve_forever, daemon=True).start()
        self.addCleanup(self.pages.server_close)
        self.addCleanup(self.pages.shutdown)
        self.origin = f"http://127.0.0.1:{self.pages.server_port}"

    def open(self, page, host="127.0.0.1"):
        """Opens a page in Chromium and returns what it tells."""
        server = self.server
        query = f"url={server.url}&key={server.key}&secret={server.secret}&bucket={self.bucket}&size={SIZE}"
        address = f"http://{host}:{self.pages.server_port}/{page}?{query}"
        profile = tempfile.mkdtemp(prefix="ratchet-chromium-")
        self.addCleanup(shutil.rmtree, profile, ignore_errors=True)
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        browser = subprocess.Popen(
            [self.chromium, *flags, f"--user-data-dir={profile}", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return self.pages.outcomes.get(timeout=TIMEOUT)
        finally:
            browser.terminate()
            browser.wait(TIMEOUT)

    def allow(self, s3, origin):
        rule = {
            "AllowedOrigins": [origin],
            "AllowedMethods": ["GET", "PUT", "POST", "DELETE", "HEAD"],
            "AllowedHeaders": ["*"],
            # lib-storage states the checksum of each part in Complete, as it read it.
            "ExposeHeaders": [
                "ETag", "x-amz-checksum-crc32", "x-amz-request-id", "x-amz-meta-page", "x-amz-tagging-count",
            ],
        }
        s3.put_bucket_cors(Bucket=self.bucket, CORSConfiguration={"CORSRules": [rule]})
        self.assertEqual(s3.get_bucket_cors(Bucket=self.bucket)["CORSRules"], [rule])

    def assert_uploaded(self, s3):
        found = s3.get_object(Bucket=self.bucket, Key="dir/from a page")
        self.assertTrue(found["Body"].read() == file_of_the_page(), "the object has other bytes")
        self.assertTrue(found["ETag"].endswith('-3"'), found["ETag"])

    def test_uppy_uploads_in_parts_by_the_rules_of_the_bucket(self):
        s3 = self.connect()
        s3.create_bucket(Bucket=self.bucket)
        refused = self.open("uppy")
        self.assertIn("error", refused, "a bucket without rules")
        self.allow(s3, self.origin)
        outcome = self.open("uppy")
        self.assertIn("location", outcome, outcome)
        self.assert_uploaded(s3)

    def test_lib_storage_uploads_in_parts_by_the_rules_of_the_bucket(self):
        s3 = self.connect()
        s3.create_bucket(Bucket=self.bucket)
        self.allow(s3, self.origin)
        self.assert_lib_storage(self.open("lib-storage"))
        self.assert_uploaded(s3)
        # The same page, of an origin that no rule names.
        self.assertIn("error", self.open("lib-storage", host="localhost"))

    def assert_lib_storage(self, outcome):
        self.assertEqual((outcome.get("Metadata"), outcome.get("TagCount")), ({"page": "yes"}, 1), outcome)
        self.assertEqual((outcome["done"], outcome["missing"]), (outcome["etag"], "NoSuchKey"), outcome)
        self.assertTrue(outcome["id"], outcome)

    def test_lib_storage_uploads_in_parts_by_the_settings(self):
        if self.server_name != "dir":
            self.skipTest("the settings are the same in front of every store")
        origins = f"https://other.test,{self.origin}"
        self.server = Gateway(f"dir:{self.home}/store", RATCHET_CORS_ORIGINS=origins)
        self.addCleanup(self.server.stop)
        s3 = self.connect()
        s3.create_bucket(Bucket=self.bucket)
        self.assert_lib_storage(self.open("lib-storage"))
        self.assert_uploaded(s3)


def load_tests(loader, *_):
    return on_each_store(loader, [Browser])
