//! CopyObject and UploadPartCopy over a socket: sources, ranges, conditions, checksums, and copies
//! of an object onto itself, on a store in memory and in a directory.

use std::net::SocketAddr;
use std::sync::Arc;

use ratchet::clock::Clock;
use ratchet::digest::{Algorithm, ChecksumHasher, Sha256};
use ratchet::store::{
    Limits, Store,
    dir::Dir,
    faulty::{Call, Faulty, Op},
    memory::Memory,
};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::support::gateway::{LIMITED, serve, settings};
use crate::support::request::{Request, chunk_api, s3};
use crate::support::response::Response;

/// The bytes that reached the store and came from it, as operations.
type Calls = Arc<std::sync::Mutex<Vec<Op>>>;

struct Setup {
    address: SocketAddr,
    calls: Calls,
    dir: Option<Arc<Dir>>,
    _keep: (oneshot::Sender<()>, tempfile::TempDir),
}

const LIMITS: Limits = Limits { min_part_bytes: 1, ..Limits::S3 };

impl Setup {
    async fn on(store: Arc<dyn Store>, home: tempfile::TempDir, dir: Option<Arc<Dir>>) -> Self {
        let calls = Calls::default();
        let noted = Arc::clone(&calls);
        let hook = move |call: Call<'_>| {
            if call.bucket == "bucket" {
                noted.lock().unwrap().push(call.op);
            }
            (std::time::Duration::ZERO, None)
        };
        let store = Arc::new(Faulty::new(store, Clock::seeded(5), Box::new(hook)));
        let (address, shutdown) = serve(store, settings()).await;
        Self { address, calls, dir, _keep: (shutdown, home) }
    }

    /// A gateway on each of the two stores.
    async fn each() -> [Self; 2] {
        let home = tempfile::tempdir().unwrap();
        let dir = Arc::new(Dir::with_limits(home.path(), LIMITS, Clock::seeded(3)).unwrap());
        let memory = Arc::new(Memory::with_limits(LIMITS, Clock::seeded(3)));
        [
            Self::on(memory, tempfile::tempdir().unwrap(), None).await,
            Self::on(dir.clone(), home, Some(dir)).await,
        ]
    }

    async fn send(&self, request: Request) -> Response {
        use tokio::io::AsyncWriteExt;
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.head(self.address).as_bytes()).await.unwrap();
        socket.write_all(&request.body).await.unwrap();
        Response::read(&mut socket).await
    }

    async fn ok(&self, request: Request) -> Response {
        let what = format!("{} {}", request.method, request.target);
        let response = self.send(request).await;
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert!(response.status < 300, "{what}: {} {text}", response.status);
        response
    }

    async fn put(&self, key: &str, bytes: &[u8]) -> String {
        let request = s3("PUT", &format!("/bucket/{key}")).header("x-amz-meta-is", "source");
        let response = self.ok(request.body(bytes)).await;
        response.header("etag").unwrap().to_owned()
    }

    async fn get(&self, key: &str) -> Response {
        let request = s3("GET", &format!("/bucket/{key}"));
        self.ok(request.header("x-amz-checksum-mode", "ENABLED")).await
    }

    async fn begin(&self, key: &str, algorithm: Option<&str>) -> String {
        let mut request = s3("POST", &format!("/bucket/{key}?uploads="));
        if let Some(algorithm) = algorithm {
            request = request.header("x-amz-checksum-algorithm", algorithm);
        }
        element(&self.ok(request).await, "UploadId").unwrap()
    }

    /// Puts an object of these parts.
    async fn put_parts(&self, key: &str, parts: &[&[u8]], algorithm: Option<Algorithm>) {
        let id = self.begin(key, algorithm.map(Algorithm::name)).await;
        let mut listed = Vec::new();
        for (number, bytes) in (1..).zip(parts) {
            let target = format!("/bucket/{key}?partNumber={number}&uploadId={id}");
            let mut request = s3("PUT", &target).body(bytes);
            if let Some(algorithm) = algorithm {
                request = request.header(algorithm.header().as_str(), &sum(algorithm, bytes));
            }
            let tag = self.ok(request).await.header("etag").unwrap().to_owned();
            let checksum = algorithm.map(|algorithm| {
                let name = format!("Checksum{algorithm}");
                format!("<{name}>{}</{name}>", sum(algorithm, bytes))
            });
            listed.push(format!("<ETag>{tag}</ETag>{}", checksum.unwrap_or_default()));
        }
        self.complete_listed(key, &id, &listed).await;
    }

    async fn complete(&self, key: &str, id: &str, tags: &[String]) -> Response {
        let listed: Vec<String> = tags.iter().map(|tag| format!("<ETag>{tag}</ETag>")).collect();
        self.complete_listed(key, id, &listed).await
    }

    /// Completes an upload with what is listed of each part beside its number.
    async fn complete_listed(&self, key: &str, id: &str, listed: &[String]) -> Response {
        let parts = (1..).zip(listed).map(|(number, part): (u32, _)| {
            format!("<Part><PartNumber>{number}</PartNumber>{part}</Part>")
        });
        let document = format!(
            "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
            parts.collect::<String>()
        );
        let request = s3("POST", &format!("/bucket/{key}?uploadId={id}"));
        self.ok(request.body(document.as_bytes())).await
    }

    /// The operations since the last call that move bytes of objects.
    fn streamed(&self) -> Vec<Op> {
        let calls = std::mem::take(&mut *self.calls.lock().unwrap());
        let moves = |op: &Op| matches!(op, Op::Put | Op::PutPart | Op::Copy | Op::CopyPart);
        calls.into_iter().filter(moves).collect()
    }
}

fn element(response: &Response, name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&response.body).into_owned();
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.replace("&quot;", "\""))
}

fn sum(algorithm: Algorithm, bytes: &[u8]) -> String {
    let mut hasher = ChecksumHasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish().base64()
}

fn bytes(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8 ^ (at >> 9) as u8 ^ salt).collect()
}

fn copy(from: &str, to: &str) -> Request {
    s3("PUT", &format!("/bucket/{to}")).header("x-amz-copy-source", from)
}

#[tokio::test]
async fn the_source_and_target_of_a_copy_have_conditions() {
    for setup in Setup::each().await {
        let etag = setup.put("source", &bytes(100_000, 1)).await;
        let target = setup.put("target", b"old").await;
        let (old, new) = ("Wed, 01 Jan 2020 00:00:00 GMT", "Tue, 14 Nov 2023 22:13:20 GMT");
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, u16, &'a str);
        let table: &[Row<'_>] = &[
            (&[("x-amz-copy-source-if-match", "\"x\"")], "target", 412, "PreconditionFailed"),
            (&[("x-amz-copy-source-if-none-match", &etag)], "target", 412, "PreconditionFailed"),
            (&[("x-amz-copy-source-if-modified-since", new)], "target", 412, "PreconditionFailed"),
            (
                &[("x-amz-copy-source-if-unmodified-since", old)],
                "target",
                412,
                "PreconditionFailed",
            ),
            (&[("if-none-match", "*")], "target", 412, "PreconditionFailed"),
            (&[("if-match", "\"x\"")], "target", 412, "PreconditionFailed"),
            (&[("if-match", &etag)], "absent", 404, "NoSuchKey"),
            (&[("if-match", "*")], "target", 501, "NotImplemented"),
            (&[("x-amz-copy-source-if-match", &etag), ("if-none-match", "*")], "made", 200, ""),
            (
                &[
                    ("x-amz-copy-source-if-match", &etag),
                    ("x-amz-copy-source-if-unmodified-since", old),
                ],
                "made",
                200,
                "",
            ),
            (&[("if-match", &etag)], "made", 200, ""),
        ];
        for (headers, key, status, code) in table {
            let mut request = copy("/bucket/source", key);
            for (name, value) in *headers {
                request = request.header(name, value);
            }
            let response = setup.send(request).await;
            assert_eq!((response.status, &*response.code()), (*status, *code), "{headers:?}");
        }
        let kept = setup.get("target").await;
        assert_eq!((kept.body.as_slice(), kept.header("etag")), (&b"old"[..], Some(&*target)));
        assert_eq!(setup.get("made").await.body, bytes(100_000, 1));
        let id = setup.begin("parts", None).await;
        let request = copy("/bucket/source", &format!("parts?partNumber=1&uploadId={id}"));
        let request = request.header("x-amz-copy-source-if-none-match", &etag);
        assert_eq!(setup.send(request).await.status, 412);
    }
}

#[tokio::test]
async fn a_copy_of_an_object_onto_itself_must_change_it() {
    for setup in Setup::each().await {
        setup.put("k", &bytes(100_000, 1)).await;
        let table: &[(&[(&str, &str)], u16)] = &[
            (&[], 400),
            (&[("x-amz-metadata-directive", "COPY"), ("x-amz-meta-is", "new")], 400),
            (&[("x-amz-metadata-directive", "replace")], 400),
            (&[("x-amz-storage-class", "STANDARD_IA")], 200),
            (&[("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-is", "new")], 200),
        ];
        for (headers, status) in table {
            let mut request = copy("bucket/k", "k");
            for (name, value) in *headers {
                request = request.header(name, value);
            }
            assert_eq!(setup.send(request).await.status, *status, "{headers:?}");
            let found = setup.get("k").await;
            assert!(found.body == bytes(100_000, 1));
            let expected = if *headers == table[4].0 { "new" } else { "source" };
            assert_eq!(found.header("x-amz-meta-is"), Some(expected), "{headers:?}");
        }
    }
}

#[tokio::test]
async fn sources_are_named_exactly() {
    for setup in Setup::each().await {
        setup.put("a%3FversionId%3D1", b"question").await;
        setup.put("plain", b"plain").await;
        let table = [
            ("/bucket/a%3FversionId%3D1", 200, ""),
            ("bucket/plain", 200, ""),
            ("/bucket/a?versionId=", 400, "InvalidArgument"),
            ("/bucket/plain?x=1", 400, "InvalidArgument"),
            ("/bucket/absent", 404, "NoSuchKey"),
            ("/nowhere/plain", 404, "NoSuchBucket"),
            ("/ratchet-state/x", 404, "NoSuchBucket"),
            ("/bucket", 400, "InvalidArgument"),
            ("arn:aws:s3:us-east-1:1:accesspoint/p/object/k", 501, "NotImplemented"),
        ];
        let id = setup.begin("parts", None).await;
        for (source, status, code) in table {
            let response = setup.send(copy(source, "to")).await;
            assert_eq!((response.status, &*response.code()), (status, code), "{source}");
            let part = copy(source, &format!("parts?partNumber=1&uploadId={id}"));
            let response = setup.send(part).await;
            assert_eq!((response.status, &*response.code()), (status, code), "part of {source}");
        }
        assert_eq!(setup.get("to").await.body, b"plain");
    }
}

/// Whatever else is wrong: the upload and the target's bucket do not exist, and the sender may not
/// write there.
#[tokio::test]
async fn a_malformed_source_is_refused_before_all_else() {
    for setup in Setup::each().await {
        for source in
            ["bucket/%ZZ", "bucket/%C3%", "100%/k", "192.168.1.1/k", "a_b/k", "bucket", "bucket/"]
        {
            for target in ["/nowhere/to", "/nowhere/to?partNumber=0&uploadId=none"] {
                let copy = s3("PUT", target).header("x-amz-copy-source", source);
                let response = setup.send(copy.signed_by(Some(LIMITED))).await;
                let found = (response.status, &*response.code());
                assert_eq!(found, (400, "InvalidArgument"), "{source} to {target}");
                let name = element(&response, "ArgumentName").unwrap();
                assert_eq!(name, "x-amz-copy-source", "{source} to {target}");
            }
        }
        let missing = s3("PUT", "/bucket/to?partNumber=1&uploadId=none")
            .header("x-amz-copy-source", "/bucket/absent");
        assert_eq!(setup.send(missing).await.code(), "NoSuchUpload");
    }
}

#[tokio::test]
async fn parts_are_copied_from_closed_ranges_and_no_byte_passes() {
    for setup in Setup::each().await {
        let (one, two) = (bytes(100_000, 1), bytes(90_001, 2));
        let whole = [one.as_slice(), &two].concat();
        setup.put_parts("source", &[&one, &two], None).await;
        setup.put("small", b"0123456789").await;
        setup.put("empty", b"").await;
        let id = setup.begin("made", None).await;
        let part = |number: u32, from: &str, range: Option<&str>| {
            let target = format!("made?partNumber={number}&uploadId={id}");
            let request = copy(&format!("/bucket/{from}"), &target);
            match range {
                Some(range) => request.header("x-amz-copy-source-range", range),
                None => request,
            }
        };
        setup.streamed();
        let copies: [(&str, Option<&str>, &[u8]); 6] = [
            ("source", Some("bytes=0-99999"), &one),
            ("source", Some("bytes=99990-100009"), &whole[99_990..100_010]),
            ("source", None, &whole),
            ("small", Some("bytes=3-5"), b"345"),
            ("small", Some("bytes=9-9"), b"9"),
            ("empty", None, b""),
        ];
        let (mut tags, mut expected) = (Vec::new(), Vec::new());
        for (number, (from, range, bytes)) in (1..).zip(copies) {
            let response = setup.ok(part(number, from, range)).await;
            assert!(element(&response, "LastModified").is_some());
            tags.push(element(&response, "ETag").unwrap());
            expected.extend_from_slice(bytes);
        }
        let calls = setup.streamed();
        let copied = calls.iter().filter(|op| **op == Op::CopyPart).count();
        // The empty one has no range that a store could copy.
        assert_eq!((copied, calls.len()), (5, 6), "{calls:?}");
        for range in [
            "bytes=0-10",
            "bytes=10-10",
            "bytes=5-",
            "bytes=-3",
            "bytes=0-1,3-4",
            "bytes=9-3",
            "0-1",
        ] {
            let refused = setup.send(part(1, "small", Some(range))).await;
            assert_eq!((refused.status, &*refused.code()), (400, "InvalidArgument"), "{range}");
        }
        let listed = setup.ok(s3("GET", &format!("/bucket/made?uploadId={id}"))).await;
        assert_eq!(String::from_utf8_lossy(&listed.body).matches("<Part>").count(), 6);
        // The first one is known from the record of its source; nobody hashed the next two.
        let manifest = setup.ok(chunk_api("GET", &format!("/backups/{id}"))).await.json();
        let chunks = manifest["chunks"].as_object().unwrap().clone();
        assert_eq!(chunks["0"], Sha256::of(&one).to_string());
        assert!(!chunks.contains_key("1"), "{chunks:?}");
        setup.ok(s3("DELETE", "/bucket/source")).await;
        setup.complete("made", &id, &tags).await;
        // Again: the same answer.
        setup.complete("made", &id, &tags).await;
        assert!(setup.get("made").await.body == expected);
        let done = setup.ok(chunk_api("GET", &format!("/backups/{id}"))).await.json();
        assert!(done["object"]["digests"].get("sha256-chunks").is_none(), "{done}");
        if let Some(dir) = &setup.dir {
            // Two of the source, and those of the copies of small objects.
            assert_eq!(dir.count_files().unwrap() - dir.count_packs().unwrap(), 5);
        }
    }
}

#[tokio::test]
async fn a_copy_has_the_checksum_of_the_whole_object() {
    use Algorithm::{Crc32, Crc32c, Crc64Nvme, Sha1, Sha256 as S256};
    for setup in Setup::each().await {
        let (one, two) = (bytes(100_000, 1), bytes(70_001, 2));
        let whole = [one.as_slice(), &two].concat();
        for algorithm in [Crc32, Crc64Nvme, Sha1, S256] {
            let key = format!("parts-{algorithm}");
            setup.put_parts(&key, &[&one, &two], Some(algorithm)).await;
        }
        setup.put("plain", &whole).await;
        let stored = s3("PUT", "/bucket/put").body(&whole);
        setup.ok(stored.header("x-amz-checksum-crc32c", &sum(Crc32c, &whole))).await;
        let table = [
            ("parts-CRC32", None, Some(Crc32)),
            ("parts-CRC64NVME", None, Some(Crc64Nvme)),
            ("parts-SHA1", None, Some(Sha1)),
            ("parts-CRC32", Some("SHA256"), Some(S256)),
            ("put", None, Some(Crc32c)),
            ("put", Some("crc64nvme"), Some(Crc64Nvme)),
            ("plain", Some("CRC32"), Some(Crc32)),
            ("plain", None, Some(Crc64Nvme)),
        ];
        for (from, asked, expected) in table {
            setup.streamed();
            let mut request = copy(&format!("/bucket/{from}"), "to");
            if let Some(asked) = asked {
                request = request.header("x-amz-checksum-algorithm", asked);
            }
            let copied = setup.ok(request).await;
            assert_eq!(setup.streamed(), [Op::Copy], "{from}");
            let found = setup.get("to").await;
            assert!(found.body == whole, "{from}");
            for algorithm in Algorithm::ALL {
                let value = (Some(algorithm) == expected).then(|| sum(algorithm, &whole));
                let shown = element(&copied, &format!("Checksum{algorithm}"));
                assert_eq!(shown, value, "{from} {asked:?}");
                let header = found.header(algorithm.header().as_str()).map(str::to_owned);
                assert_eq!(header, value, "{from} {asked:?}");
            }
            let kind = expected.map(|_| "FULL_OBJECT".to_owned());
            assert_eq!(element(&copied, "ChecksumType"), kind, "{from} {asked:?}");
        }
        // The algorithm of an upload counts for its copied parts.
        let id = setup.begin("made", Some("CRC32")).await;
        let mut listed = Vec::new();
        for (number, from) in [(1, "plain"), (2, "parts-CRC32")] {
            let target = format!("made?partNumber={number}&uploadId={id}");
            let copied = setup.ok(copy(&format!("/bucket/{from}"), &target)).await;
            assert_eq!(element(&copied, "ChecksumCRC32"), Some(sum(Crc32, &whole)), "{from}");
            let tag = element(&copied, "ETag").unwrap();
            let sum = sum(Crc32, &whole);
            listed.push(format!("<ETag>{tag}</ETag><ChecksumCRC32>{sum}</ChecksumCRC32>"));
        }
        let completed = setup.complete_listed("made", &id, &listed).await;
        assert!(element(&completed, "ChecksumCRC32").unwrap().ends_with("-2"));
    }
}
