//! The S3 API over a socket, with requests that no SDK sends: refusals, and that they change
//! nothing; the early response for a known part; one session for both protocols. `tests/clients/`
//! tests the requests of SDKs.

use ratchet::digest::Sha256;
use ratchet::store::{PutOptions, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::gateway::{Gateway, LIMITED, OTHER, READER, settings, start};
use crate::support::request::{Request, begin_upload, chunk_api, s3, with_signed_body};
use crate::support::response::{exchange, exchange_and_close};

const PART: usize = 5 << 20;

async fn status_and_code(gateway: &Gateway, request: Request) -> (u16, String) {
    let response = request.send(gateway).await;
    assert!(response.header("x-amz-request-id").is_some(), "{response:?}");
    let text = String::from_utf8(response.body).unwrap();
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    (response.status, code.map(|(code, _)| code.to_owned()).unwrap_or_default())
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of requests")]
async fn a_refusal_has_its_code_and_changes_nothing() {
    let gateway = start(settings()).await;
    let old = PutOptions::default();
    gateway.store.put(&"bucket".into(), &"k".into(), b"old".to_vec().into(), old).await.unwrap();
    let bytes = vec![7; 1000];
    let mut wrong_body = with_signed_body(s3("PUT", "/bucket/k"), &bytes);
    wrong_body.body[3] ^= 1;
    let mut skewed = with_signed_body(s3("PUT", "/bucket/k"), &bytes);
    skewed.date = "20231114T200000Z".to_owned();
    let id = begin_upload(&gateway, "/bucket/mine/up").await;
    let part = format!("/bucket/mine/up?partNumber=1&uploadId={id}");
    let table: Vec<(&str, Request, u16, &str)> = vec![
        ("other bytes", wrong_body, 400, "XAmzContentSHA256Mismatch"),
        (
            "wrong MD5",
            s3("PUT", "/bucket/k").body(&bytes).header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="),
            400,
            "BadDigest",
        ),
        (
            "a malformed MD5",
            s3("PUT", "/bucket/k").body(&bytes).header("content-md5", "x"),
            400,
            "InvalidDigest",
        ),
        (
            "CRC",
            s3("PUT", "/bucket/k").body(&bytes).header("x-amz-checksum-crc32", "AAAAAA=="),
            400,
            "BadDigest",
        ),
        ("unsigned", s3("PUT", "/bucket/k").body(&bytes).signed_by(None), 403, "AccessDenied"),
        (
            "unknown key id",
            s3("PUT", "/bucket/k").body(&bytes).signed_by(Some(("AKNOBODY", "x"))),
            403,
            "InvalidAccessKeyId",
        ),
        ("clock skew", skewed, 403, "RequestTimeTooSkewed"),
        (
            "reader",
            s3("PUT", "/bucket/k").body(&bytes).signed_by(Some(READER)),
            403,
            "AccessDenied",
        ),
        (
            "outside the prefix",
            s3("PUT", "/bucket/k").body(&bytes).signed_by(Some(LIMITED)),
            403,
            "AccessDenied",
        ),
        (
            "a part number without an upload id",
            s3("PUT", "/bucket/k?partNumber=1").body(&bytes),
            400,
            "InvalidArgument",
        ),
        ("an upload id alone", s3("PUT", "/bucket/k?uploadId=u"), 405, "MethodNotAllowed"),
        ("uploads of a key", s3("GET", "/bucket/k?uploads"), 400, "InvalidRequest"),
        ("versions of a key", s3("GET", "/bucket/k?versions"), 400, "InvalidRequest"),
        (
            "a read with a source",
            s3("GET", "/bucket/k").header("x-amz-copy-source", "bucket/k"),
            400,
            "InvalidArgument",
        ),
        ("no bucket", s3("DELETE", "/missing/k?uploadId=u"), 404, "NoSuchBucket"),
        ("no bucket", s3("GET", "/missing/k?uploadId=u"), 404, "NoSuchBucket"),
        ("no bucket", s3("PUT", "/missing/k?partNumber=1&uploadId=u"), 404, "NoSuchBucket"),
        ("no upload", s3("DELETE", "/bucket/k?uploadId=u"), 404, "NoSuchUpload"),
        (
            "a checksum of no algorithm",
            s3("PUT", "/bucket/k").header("x-amz-checksum-new", "AAAA"),
            400,
            "InvalidRequest",
        ),
        ("state bucket", s3("GET", "/ratchet-state/v1/probe"), 404, "NoSuchBucket"),
        (
            "a copy from the state bucket",
            s3("PUT", "/bucket/k").header("x-amz-copy-source", "/ratchet-state/x"),
            404,
            "NoSuchBucket",
        ),
        (
            "an upload of another account",
            s3("PUT", &part).body(&bytes).signed_by(Some(OTHER)),
            404,
            "NoSuchUpload",
        ),
        (
            "another key's upload",
            s3("PUT", &part.replace("mine/up", "k")).body(&bytes),
            404,
            "NoSuchUpload",
        ),
        (
            "dots as upload id",
            s3("PUT", "/bucket/k?partNumber=1&uploadId=..%2F..").body(&bytes),
            404,
            "NoSuchUpload",
        ),
        (
            "reserved metadata",
            s3("PUT", "/bucket/k").header("x-amz-meta-ratchet-upload", "x"),
            400,
            "InvalidArgument",
        ),
        ("a bad bucket name", s3("PUT", "/UPPER"), 400, "InvalidBucketName"),
        ("an unsupported subresource", s3("PUT", "/bucket?policy="), 501, "NotImplemented"),
        (
            "two checksums",
            s3("PUT", "/bucket/k")
                .header("x-amz-checksum-crc32", "AAAAAA==")
                .header("x-amz-checksum-crc32c", "AAAAAA=="),
            400,
            "InvalidRequest",
        ),
    ];
    for (what, request, status, expected) in table {
        assert_eq!(
            status_and_code(&gateway, request).await,
            (status, expected.to_owned()),
            "{what}"
        );
    }
    let response = s3("GET", "/bucket/k").send(&gateway).await;
    assert_eq!((response.status, response.body), (200, b"old".to_vec()));
    let list = String::from_utf8(s3("GET", "/").send(&gateway).await.body).unwrap();
    assert!(list.contains("<Name>bucket</Name>") && !list.contains("ratchet-state"), "{list}");
}

/// The part is known from an aborted predecessor: 200 with `Connection: close`, without
/// `100 Continue`, and without reading a byte of the body.
/// RFC 9110 §14.1.2: a suffix that is not empty is satisfiable, also where there is no byte.
#[tokio::test]
async fn an_empty_object_has_only_suffix_ranges() {
    let gateway = start(settings()).await;
    assert_eq!(s3("PUT", "/bucket/empty").send(&gateway).await.status, 200);
    for (range, status) in
        [("bytes=-1", 200), ("bytes=-0", 416), ("bytes=0-", 416), ("bytes=0-0", 416)]
    {
        let found = s3("GET", "/bucket/empty").header("range", range).send(&gateway).await;
        assert_eq!(found.status, status, "{range}");
        let size = (status == 416).then_some("bytes */0");
        assert_eq!(found.header("content-range"), size, "{range}");
    }
}

#[tokio::test]
async fn a_known_part_gets_its_response_before_its_body() {
    let gateway = start(settings()).await;
    let bytes = vec![9; PART];
    let first = begin_upload(&gateway, "/bucket/k").await;
    let put = |id: &str| {
        with_signed_body(s3("PUT", &format!("/bucket/k?partNumber=1&uploadId={id}")), &bytes)
    };
    let stored = put(&first).send(&gateway).await;
    assert_eq!(stored.status, 200, "{stored:?}");
    assert_eq!(
        s3("DELETE", &format!("/bucket/k?uploadId={first}")).send(&gateway).await.status,
        204
    );
    assert_eq!(status_and_code(&gateway, put(&first)).await, (404, "NoSuchUpload".to_owned()));
    let second = begin_upload(&gateway, "/bucket/k").await;
    let listed = String::from_utf8(
        s3("GET", &format!("/bucket/k?uploadId={second}")).send(&gateway).await.body,
    )
    .unwrap();
    assert!(
        !listed.contains("<Part>"),
        "a part is listed only once its client has confirmed it: {listed}"
    );
    let head = put(&second).header("expect", "100-Continue").head(gateway.address);
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).await.unwrap();
    let response = response.to_lowercase();
    assert!(
        response.starts_with("http/1.0 200 ok\r\n") && response.contains("connection: close"),
        "{response}"
    );
    assert!(!response.contains("content-length"), "it ends with its connection: {response}");
    assert!(response.contains(&format!("etag: {}", stored.header("etag").unwrap())), "{response}");
    // Other bytes of the same length are not known.
    let mut other = bytes.clone();
    other[0] ^= 1;
    let other =
        with_signed_body(s3("PUT", &format!("/bucket/k?partNumber=1&uploadId={second}")), &other);
    let head = other.header("expect", "100-continue").head(gateway.address);
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut interim = vec![0; 25];
    socket.read_exact(&mut interim).await.unwrap();
    assert_eq!(interim, b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Off by default, because an MD5 proves nothing against a client that produces collisions.
#[tokio::test]
async fn a_part_is_known_by_its_md5_only_if_that_is_enabled() {
    let bytes = vec![9; PART];
    for enabled in [false, true] {
        let mut settings = settings();
        settings.upload.resume.by_md5 = enabled;
        let gateway = start(settings).await;
        let first = begin_upload(&gateway, "/bucket/k").await;
        let put =
            |id: &str| s3("PUT", &format!("/bucket/k?partNumber=1&uploadId={id}")).body(&bytes);
        let tag =
            put(&first).send(&gateway).await.header("etag").unwrap().trim_matches('"').to_owned();
        assert_eq!(
            s3("DELETE", &format!("/bucket/k?uploadId={first}")).send(&gateway).await.status,
            204
        );
        let second = begin_upload(&gateway, "/bucket/k").await;
        let md5 = u128::from_str_radix(&tag, 16).unwrap().to_be_bytes();
        let md5 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, md5);
        let head = put(&second)
            .header("content-md5", &md5)
            .header("expect", "100-continue")
            .head(gateway.address);
        let mut socket = TcpStream::connect(gateway.address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut status = vec![0; 12];
        socket.read_exact(&mut status).await.unwrap();
        let expected: &[u8] = if enabled { b"HTTP/1.0 200" } else { b"HTTP/1.1 100" };
        assert_eq!(status, expected);
    }
}

#[tokio::test]
async fn an_upload_is_one_session_for_both_protocols() {
    let gateway = start(settings()).await;
    let (one, two) = (vec![1; PART], vec![2; 100]);
    let id = begin_upload(&gateway, "/bucket/k").await;
    let part = with_signed_body(s3("PUT", &format!("/bucket/k?partNumber=1&uploadId={id}")), &one);
    assert_eq!(part.send(&gateway).await.status, 200);
    let manifest = chunk_api("GET", &format!("/backups/{id}")).send(&gateway).await.json();
    assert_eq!(
        (manifest["chunkSize"].as_u64(), manifest["status"].as_str()),
        (Some(PART as u64), Some("in_progress"))
    );
    assert_eq!(manifest["chunks"]["0"], Sha256::of(&one).to_string());
    let chunk = chunk_api("PUT", &format!("/backups/{id}/chunks/1")).body(&two).digest_of(&two);
    assert_eq!(chunk.send(&gateway).await.status, 201);
    let listed =
        String::from_utf8(s3("GET", &format!("/bucket/k?uploadId={id}")).send(&gateway).await.body)
            .unwrap();
    assert!(listed.contains("<PartNumber>2</PartNumber>"), "{listed}");
    assert_eq!(
        chunk_api("POST", &format!("/backups/{id}/finalize")).send(&gateway).await.status,
        200
    );
    let response = s3("GET", "/bucket/k").send(&gateway).await;
    assert!(response.body == [one, two].concat());
}

#[tokio::test]
async fn probes_of_minio_clients_are_answered() {
    let gateway = start(settings()).await;
    for path in ["live", "ready", "cluster", "cluster/read", "cluster?maintenance=true"] {
        let request = s3("GET", &format!("/minio/health/{path}")).signed_by(None);
        let head = request.head(gateway.address);
        let response = exchange(&gateway, &head, b"").await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        let head = head.replacen("GET", "HEAD", 1);
        let response = exchange_and_close(gateway.address, &head, b"").await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
    }
    // A bucket of this name keeps its objects.
    assert_eq!(s3("PUT", "/minio").send(&gateway).await.status, 200);
    let put = s3("PUT", "/minio/health/live").body(b"mine");
    assert_eq!(put.send(&gateway).await.status, 200);
    assert_eq!(s3("GET", "/minio/health/live").send(&gateway).await.body, b"mine");
    let head = s3("GET", "/minio/health/live").presigned(60, gateway.address);
    assert_eq!(exchange(&gateway, &head, b"").await.body, b"mine");
}
