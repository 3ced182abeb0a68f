//! Checksums of S3 clients over a socket: every algorithm and every way in, compared, recorded and
//! shown; trailers as clients frame them; what GetObjectAttributes and ListParts say.

use ratchet::digest::{Algorithm, Checksum, ChecksumHasher, Sha256, combined, composite};
use ratchet::store::Limits;

use crate::support::gateway::{Gateway, settings, start, start_with};
use crate::support::request::{NOW, Request, s3, scope, sign_text};
use crate::support::response::{Response, exchange};

const WRONG: &str = "BadDigest";

fn sum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
    let mut hasher = ChecksumHasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

async fn expect(gateway: &Gateway, request: Request, status: u16, code: &str) -> Response {
    let what = format!("{} {} {:?}", request.method, request.target, request.headers);
    let response = request.send(gateway).await;
    assert_eq!((response.status, response.code().as_str()), (status, code), "{what}: {response:?}");
    response
}

async fn head(gateway: &Gateway, target: &str) -> Response {
    let request = s3("HEAD", target).header("x-amz-checksum-mode", "ENABLED");
    let mut socket = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let head = request.head(gateway.address);
    tokio::io::AsyncWriteExt::write_all(&mut socket, head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(tokio::io::AsyncReadExt::read_u8(&mut socket).await.unwrap());
    }
    let lines = String::from_utf8(bytes).unwrap();
    let fields = lines.split("\r\n").filter_map(|line| line.split_once(": "));
    let headers = fields.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let status = lines.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, headers, body: Vec::new() }
}

/// The value and type of the checksum that a response shows.
fn shown(response: &Response, algorithm: Algorithm) -> (Option<&str>, Option<&str>) {
    (response.header(algorithm.header().as_str()), response.header("x-amz-checksum-type"))
}

#[tokio::test]
async fn an_object_has_the_checksum_that_its_put_stated() {
    let gateway = start(settings()).await;
    for algorithm in Algorithm::ALL {
        let (name, value) = (algorithm.header(), sum(algorithm, b"hello").base64());
        let target = format!("/bucket/{algorithm}");
        let put = |value: &str| s3("PUT", &target).body(b"hello").header(name.as_str(), value);
        expect(&gateway, put(&sum(algorithm, b"other").base64()), 400, WRONG).await;
        expect(&gateway, put("invalid_base64!"), 400, "InvalidRequest").await;
        expect(&gateway, s3("GET", &target), 404, "NoSuchKey").await;
        let full = (Some(value.as_str()), Some("FULL_OBJECT"));
        assert_eq!(shown(&expect(&gateway, put(&value), 200, "").await, algorithm), full);
        assert_eq!(shown(&head(&gateway, &target).await, algorithm), full);
        let read = s3("GET", &target).header("x-amz-checksum-mode", "enabled");
        assert_eq!(shown(&read.clone().send(&gateway).await, algorithm), full);
        assert_eq!(shown(&s3("GET", &target).send(&gateway).await, algorithm), (None, None));
        let part = read.header("range", "bytes=0-1").send(&gateway).await;
        assert_eq!(shown(&part, algorithm), (None, None), "a range has none");
        let attributes = s3("GET", &format!("{target}?attributes="))
            .header("x-amz-object-attributes", "Checksum,ObjectParts");
        let attributes = text(&expect(&gateway, attributes, 200, "").await);
        let element = format!("<Checksum{algorithm}>{value}</Checksum{algorithm}>");
        assert!(
            attributes.contains(&format!(
                "<Checksum>{element}<ChecksumType>FULL_OBJECT</ChecksumType></Checksum>"
            )) && !attributes.contains("ObjectParts"),
            "{attributes}"
        );
    }
}

/// A framed body: one chunk and a trailer, signed or not, whose field ends like this.
fn framed(gateway: &Gateway, request: Request, field: &str, end: &str) -> (String, Vec<u8>) {
    let is_signed = request.payload.starts_with("STREAMING-AWS4");
    let body = |seed: &str| {
        let mut previous = seed.to_owned();
        let mut sign = |kind: &str, content: String| {
            let text =
                format!("AWS4-HMAC-SHA256-{kind}\n{NOW}\n{}\n{previous}\n{content}", scope(NOW));
            previous = sign_text("root-secret-0123", NOW, &text);
            previous.clone()
        };
        let mut chunk = |bytes: &[u8]| {
            let hashes = format!("{}\n{}", Sha256::of(b"").hex(), Sha256::of(bytes).hex());
            let signature = sign("PAYLOAD", hashes);
            let extension =
                if is_signed { format!(";chunk-signature={signature}") } else { String::new() };
            format!("{:x}{extension}\r\n", bytes.len())
        };
        let (first, last) = (chunk(b"hello"), chunk(b""));
        let mut body = format!("{first}hello\r\n{last}{field}{end}");
        if is_signed {
            let signature = sign("TRAILER", Sha256::of(format!("{field}\n").as_bytes()).hex());
            body.push_str(&format!("x-amz-trailer-signature:{signature}\r\n\r\n"));
        } else {
            body.push_str("\r\n");
        }
        body.into_bytes()
    };
    let length = body(&"0".repeat(64)).len().to_string();
    let head = request
        .header("x-amz-decoded-content-length", "5")
        .header("content-length", &length)
        .head(gateway.address);
    let seed = head.split_once("Signature=").unwrap().1.split_once("\r\n").unwrap().0.to_owned();
    let body = body(&seed);
    (head, body)
}

/// With `\r\n`, as most clients end the field, and with `\n\r\n`, as minio-go does.
#[tokio::test]
async fn a_trailer_is_read_as_clients_frame_it() {
    let gateway = start(settings()).await;
    for payload in
        ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"]
    {
        for (at, (algorithm, end)) in Algorithm::ALL
            .into_iter()
            .flat_map(|algorithm| [(algorithm, "\r\n"), (algorithm, "\n\r\n")])
            .enumerate()
        {
            let target = format!("/bucket/{payload}/{at}");
            let put = || {
                let request = s3("PUT", &target).payload_hash(payload);
                request.header("x-amz-trailer", algorithm.header().as_str())
            };
            let field =
                |bytes| format!("{}:{}", algorithm.header(), sum(algorithm, bytes).base64());
            let (head_text, body) = framed(&gateway, put(), &field(b"other"), end);
            let refused = exchange(&gateway, &head_text, &body).await;
            assert_eq!((refused.status, refused.code().as_str()), (400, WRONG), "{refused:?}");
            expect(&gateway, s3("GET", &target), 404, "NoSuchKey").await;
            let (head_text, body) = framed(&gateway, put(), &field(b"hello"), end);
            let stored = exchange(&gateway, &head_text, &body).await;
            assert_eq!(stored.status, 200, "{payload} {end:?}: {stored:?}");
            let value = sum(algorithm, b"hello").base64();
            let full = (Some(value.as_str()), Some("FULL_OBJECT"));
            assert_eq!(shown(&stored, algorithm), full);
            assert_eq!(shown(&head(&gateway, &target).await, algorithm), full);
        }
    }
}

/// Only objects and parts are framed; a document is refused before it is read.
#[tokio::test]
async fn a_framed_document_is_refused() {
    let gateway = start(settings()).await;
    let id = text(&s3("POST", "/bucket/k?uploads=").send(&gateway).await);
    let id = id.split_once("<UploadId>").unwrap().1.split_once("</UploadId>").unwrap().0.to_owned();
    let complete = format!("/bucket/k?uploadId={id}");
    for (method, target) in [
        ("PUT", "/another"),
        ("POST", "/bucket?delete="),
        ("POST", &*complete),
        ("PUT", "/bucket?cors="),
        ("PUT", "/bucket?tagging="),
        ("PUT", "/bucket?versioning="),
        ("PUT", "/bucket?policy="),
        ("PUT", "/bucket?object-lock="),
        ("PUT", "/bucket/k?tagging="),
    ] {
        for payload in
            ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"]
        {
            let request = s3(method, target).payload_hash(payload);
            let (head, body) = framed(&gateway, request, "", "");
            let refused = exchange(&gateway, &head, &body).await;
            let found = (refused.status, refused.code());
            assert_eq!(found, (400, "InvalidRequest".to_owned()), "{method} {target}");
            let sentence = "The value of x-amz-content-sha256 header is invalid.";
            assert!(text(&refused).contains(sentence), "{method} {target}");
        }
    }
}

/// The checksum of a field that was not declared would not be compared.
#[tokio::test]
async fn a_trailer_must_be_the_declared_one() {
    let gateway = start(settings()).await;
    let put = || s3("PUT", "/bucket/k").payload_hash("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    let crc32 = format!("x-amz-checksum-crc32:{}", sum(Algorithm::Crc32, b"hello").base64());
    let declared = Some("x-amz-checksum-crc32");
    let malformed = (400, "MalformedTrailerError");
    for (declared, field, expected) in [
        (None, crc32.as_str(), malformed),
        (declared, "", malformed),
        (declared, "x-amz-checksum-crc32c:AAAAAA==", malformed),
        (declared, "no field", malformed),
        (declared, "x-amz-checksum-crc32:bad", (400, "InvalidRequest")),
        (Some("x-amz-meta-a"), "x-amz-meta-a:b", (400, "InvalidRequest")),
        (declared, crc32.as_str(), (200, "")),
    ] {
        let request =
            declared.into_iter().fold(put(), |put, name| put.header("x-amz-trailer", name));
        let end = if field.is_empty() { "" } else { "\r\n" };
        let (head, body) = framed(&gateway, request, field, end);
        let response = exchange(&gateway, &head, &body).await;
        assert_eq!((response.status, &*response.code()), expected, "{declared:?} {field:?}");
    }
}

#[tokio::test]
async fn a_put_without_a_checksum_gets_a_crc64nvme() {
    let gateway = start(settings()).await;
    let value = sum(Algorithm::Crc64Nvme, b"hello").base64();
    let full = (Some(value.as_str()), Some("FULL_OBJECT"));
    let stored = expect(&gateway, s3("PUT", "/bucket/k").body(b"hello"), 200, "").await;
    assert_eq!(shown(&stored, Algorithm::Crc64Nvme), full);
    assert_eq!(shown(&head(&gateway, "/bucket/k").await, Algorithm::Crc64Nvme), full);
}

const PARTS: [&[u8]; 2] = [b"hello ", b"world"];

/// Uploads both parts. Returns the UploadId and the document of Complete, with each part's
/// checksum.
async fn upload(
    gateway: &Gateway,
    target: &str,
    (algorithm, kind): (Algorithm, &str),
) -> (String, String) {
    let create = s3("POST", &format!("{target}?uploads="))
        .header("x-amz-checksum-algorithm", &algorithm.name().to_lowercase())
        .header("x-amz-checksum-type", &kind.to_lowercase());
    let created = expect(gateway, create, 200, "").await;
    assert_eq!(created.header("x-amz-checksum-algorithm"), Some(algorithm.name()));
    assert_eq!(created.header("x-amz-checksum-type"), Some(kind));
    let id = text(&created);
    let id = id.split_once("<UploadId>").unwrap().1.split_once("</UploadId>").unwrap().0.to_owned();
    let mut document = String::new();
    for (number, bytes) in (1..).zip(PARTS) {
        let put = || s3("PUT", &format!("{target}?partNumber={number}&uploadId={id}")).body(bytes);
        let value = sum(algorithm, bytes).base64();
        let other = if algorithm == Algorithm::Sha1 { Algorithm::Crc32 } else { Algorithm::Sha1 };
        let other = put().header(other.header().as_str(), &sum(other, bytes).base64());
        expect(gateway, other, 400, "InvalidRequest").await;
        if kind == "COMPOSITE" {
            expect(gateway, put(), 400, "InvalidRequest").await;
        }
        let stated = put().header(algorithm.header().as_str(), &value);
        // The gateway computes what a full checksum needs.
        let part = if kind == "COMPOSITE" || number == 1 { stated } else { put() };
        let part = expect(gateway, part, 200, "").await;
        assert_eq!(part.header(algorithm.header().as_str()), Some(value.as_str()));
        document.push_str(&format!(
            "<Part><ETag>{}</ETag><PartNumber>{number}</PartNumber>\
             <Checksum{algorithm}>{value}</Checksum{algorithm}></Part>",
            part.header("etag").unwrap()
        ));
    }
    (id, format!("<CompleteMultipartUpload>{document}</CompleteMultipartUpload>"))
}

#[tokio::test]
async fn an_upload_is_completed_only_with_the_checksum_of_its_object() {
    let gateway = start_with(Limits { min_part_bytes: 1, ..Limits::S3 }, settings()).await;
    for (algorithm, kind) in Algorithm::ALL.into_iter().flat_map(|algorithm| {
        let full = algorithm.combines().then_some((algorithm, "FULL_OBJECT"));
        let parts = (algorithm != Algorithm::Crc64Nvme).then_some((algorithm, "COMPOSITE"));
        full.into_iter().chain(parts)
    }) {
        let target = format!("/bucket/{algorithm}/{kind}");
        let (id, document) = upload(&gateway, &target, (algorithm, kind)).await;
        let sums = PARTS.map(|bytes| sum(algorithm, bytes));
        let value = if kind == "COMPOSITE" {
            format!("{}-2", composite(&sums).unwrap().base64())
        } else {
            let lengths = PARTS.map(|bytes| bytes.len() as u64);
            combined(sums.clone().into_iter().zip(lengths)).unwrap().base64()
        };
        let complete = |document: &str, value: &str, kind: &str| {
            s3("POST", &format!("{target}?uploadId={id}"))
                .body(document.as_bytes())
                .header(algorithm.header().as_str(), value)
                .header("x-amz-checksum-type", kind)
        };
        let swapped = document.replacen(&sums[0].base64(), &sums[1].base64(), 1);
        let other_kind = if kind == "COMPOSITE" { "FULL_OBJECT" } else { "COMPOSITE" };
        let table = [
            (complete(&swapped, &value, kind), "InvalidPart"),
            (complete(&document, &sums[0].base64(), kind), WRONG),
            (complete(&document, "bad", kind), WRONG),
            (complete(&document, "not-base64!", kind), "InvalidRequest"),
            (complete(&document, &value, other_kind), "InvalidRequest"),
            (
                complete(&document, &value, kind).header("x-amz-mp-object-size", "12"),
                "InvalidRequest",
            ),
        ];
        for (request, code) in table {
            expect(&gateway, request, 400, code).await;
        }
        expect(&gateway, s3("GET", &target), 404, "NoSuchKey").await;
        let done = complete(&document, &value, &kind.to_lowercase());
        let done = expect(&gateway, done.header("x-amz-mp-object-size", "11"), 200, "").await;
        let element = format!("<Checksum{algorithm}>{value}</Checksum{algorithm}>");
        assert!(text(&done).contains(&element), "{}", text(&done));
        assert_eq!(
            shown(&head(&gateway, &target).await, algorithm),
            (Some(value.as_str()), Some(kind))
        );
        let second = head(&gateway, &format!("{target}?partNumber=2")).await;
        assert_eq!(shown(&second, algorithm), (Some(sums[1].base64().as_str()), Some(kind)));
        let attributes = s3("GET", &format!("{target}?attributes="))
            .header("x-amz-object-attributes", "ETag,Checksum,ObjectParts")
            .header("x-amz-object-attributes", "StorageClass,ObjectSize")
            .header("x-amz-max-parts", "1")
            .header("x-amz-part-number-marker", "1");
        let attributes = text(&expect(&gateway, attributes, 200, "").await);
        // As in S3, without the number of parts.
        let element = element.replace("-2<", "<");
        for expected in [
            format!("<Checksum>{element}<ChecksumType>{kind}</ChecksumType></Checksum>"),
            format!(
                "<Part><PartNumber>2</PartNumber><Size>5</Size><Checksum{algorithm}>{}</Checksum{algorithm}></Part>",
                sums[1].base64()
            ),
            "<PartsCount>2</PartsCount><PartNumberMarker>1</PartNumberMarker><MaxParts>1</MaxParts>\
             <NextPartNumberMarker>2</NextPartNumberMarker><IsTruncated>false</IsTruncated>"
                .to_owned(),
            "<StorageClass>STANDARD</StorageClass><ObjectSize>11</ObjectSize>".to_owned(),
        ] {
            assert!(attributes.contains(&expected), "{expected} in {attributes}");
        }
    }
}

#[tokio::test]
async fn a_put_that_names_an_algorithm_and_no_checksum_gets_it_made() {
    let gateway = start(settings()).await;
    for algorithm in [Algorithm::Crc32c, Algorithm::Sha1, Algorithm::Sha512] {
        let value = sum(algorithm, b"hello").base64();
        let put = s3("PUT", "/bucket/k").body(b"hello");
        let put = put.header("x-amz-checksum-algorithm", algorithm.name());
        expect(&gateway, put.clone(), 200, "").await;
        let found = head(&gateway, "/bucket/k").await;
        assert_eq!(shown(&found, algorithm), (Some(value.as_str()), Some("FULL_OBJECT")));
        let other = sum(Algorithm::Crc32, b"hello").base64();
        let put = put.header("x-amz-checksum-crc32", &other);
        expect(&gateway, put, 400, "InvalidRequest").await;
    }
}

#[tokio::test]
async fn an_upload_without_an_algorithm_has_a_crc64nvme() {
    let gateway = start(settings()).await;
    let algorithm = Algorithm::Crc64Nvme;
    let id = text(&s3("POST", "/bucket/k?uploads=").send(&gateway).await);
    let id = id.split_once("<UploadId>").unwrap().1.split_once("</UploadId>").unwrap().0.to_owned();
    let crc32 = sum(Algorithm::Crc32, b"hello").base64();
    let put = s3("PUT", &format!("/bucket/k?partNumber=1&uploadId={id}")).body(b"hello");
    let part = expect(&gateway, put.header("x-amz-checksum-crc32", &crc32), 200, "").await;
    assert_eq!(part.header("x-amz-checksum-crc32"), Some(crc32.as_str()));
    let listed = text(&s3("GET", &format!("/bucket/k?uploadId={id}")).send(&gateway).await);
    assert!(listed.contains(&format!("<ChecksumCRC32>{crc32}</ChecksumCRC32></Part>")), "{listed}");
    let complete = |value: &str| {
        let document = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag>\
             <ChecksumCRC32>{crc32}</ChecksumCRC32></Part></CompleteMultipartUpload>",
            part.header("etag").unwrap()
        );
        s3("POST", &format!("/bucket/k?uploadId={id}"))
            .body(document.as_bytes())
            .header("x-amz-checksum-crc64nvme", value)
            .header("x-amz-checksum-type", "FULL_OBJECT")
    };
    expect(&gateway, complete(&sum(algorithm, b"other").base64()), 400, WRONG).await;
    let value = sum(algorithm, b"hello").base64();
    expect(&gateway, complete(&value), 200, "").await;
    let found = head(&gateway, "/bucket/k").await;
    assert_eq!(shown(&found, algorithm), (Some(value.as_str()), Some("FULL_OBJECT")));
    let asked =
        |names: &str| s3("GET", "/bucket/k?attributes=").header("x-amz-object-attributes", names);
    expect(&gateway, asked("ETag,etag"), 400, "InvalidArgument").await;
    expect(&gateway, s3("GET", "/bucket/k?attributes="), 400, "InvalidRequest").await;
    expect(&gateway, s3("GET", "/nowhere/k?attributes="), 404, "NoSuchBucket").await;
}

/// What is wrong with the algorithm is said before two digests are compared that cannot both be
/// right.
#[tokio::test]
async fn the_algorithm_is_judged_before_the_digest() {
    let gateway = start(settings()).await;
    let create = s3("POST", "/bucket/k?uploads=").header("x-amz-checksum-algorithm", "CRC32");
    let id = text(&create.send(&gateway).await);
    let id = id.split_once("<UploadId>").unwrap().1.split_once("</UploadId>").unwrap().0.to_owned();
    let of_other = sum(Algorithm::Sha256, b"other").base64();
    let put = |target: &str| {
        let request = s3("PUT", target).body(b"hello").header("x-amz-checksum-sha256", &of_other);
        request.payload_hash(&Sha256::of(b"hello").hex())
    };
    let part = put(&format!("/bucket/k?partNumber=1&uploadId={id}"));
    let refused = text(&expect(&gateway, part, 400, "InvalidRequest").await);
    let sentence = "expected checksum Type: CRC32, actual checksum Type: SHA256";
    assert!(refused.contains(sentence), "{refused}");
    let named = put("/bucket/k").header("x-amz-checksum-algorithm", "CRC32");
    expect(&gateway, named, 400, "InvalidRequest").await;
    expect(&gateway, put("/bucket/k"), 400, WRONG).await;
}

/// A known part is answered without its body only if all that its head states of it agrees.
#[tokio::test]
async fn a_known_part_is_compared_with_all_that_its_head_states() {
    let gateway = start(settings()).await;
    let id = text(&s3("POST", "/bucket/k?uploads=").send(&gateway).await);
    let id = id.split_once("<UploadId>").unwrap().1.split_once("</UploadId>").unwrap().0.to_owned();
    let put = || {
        let request = s3("PUT", &format!("/bucket/k?partNumber=1&uploadId={id}")).body(b"hello");
        request.payload_hash(&Sha256::of(b"hello").hex())
    };
    let crc32 = |bytes| sum(Algorithm::Crc32, bytes).base64();
    let md5 = |bytes| sum(Algorithm::Md5, bytes).base64();
    expect(&gateway, put().header("x-amz-checksum-crc32", &crc32(b"hello")), 200, "").await;
    let waits = || put().header("expect", "100-continue");
    for (request, status, code) in [
        (waits().header("x-amz-checksum-crc32", &crc32(b"other")), 400, WRONG),
        (waits().header("content-md5", &md5(b"other")), 400, WRONG),
        (
            waits().header("x-amz-checksum-sha1", &sum(Algorithm::Sha1, b"other").base64()),
            400,
            WRONG,
        ),
        (waits().header("x-amz-checksum-crc32", &crc32(b"hello")), 200, ""),
        (waits().header("content-md5", &md5(b"hello")), 200, ""),
        (waits().header("x-amz-checksum-sha1", &sum(Algorithm::Sha1, b"hello").base64()), 200, ""),
    ] {
        expect(&gateway, request, status, code).await;
    }
}
