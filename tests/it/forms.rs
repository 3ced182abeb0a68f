//! Forms of browsers and libraries: where the file ends, how names are written, which fields act as
//! headers, and what success and refusals are answered.

use ratchet::store::{GetRange, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::form::{form, form_v2, with_file};
use crate::support::gateway::{Gateway, settings, start};
use crate::support::request::{Request, s3};
use crate::support::response::Response;

const FILE: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"a;b.txt\"\r\n\r\n";
const BUTTON: &str = "--b\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nUpload\r\n";

async fn posted(gateway: &Gateway, form: Request) -> Response {
    form.send(gateway).await
}

async fn bytes_of(gateway: &Gateway, key: &str) -> Option<Vec<u8>> {
    let (bucket, key) = ("bucket".into(), key.into());
    let found = gateway.store.get(&bucket, &key, GetRange::Whole, Default::default()).await.ok()?;
    Some(found.1.collect(16 << 20).await.unwrap().to_vec())
}

#[tokio::test]
async fn the_file_ends_at_its_first_delimiter() {
    let gateway = start(settings()).await;
    for size in [0, 5, 70_000, 3_000_000] {
        let bytes: Vec<u8> = (0..size).map(|at| (at * 7 % 251) as u8).collect();
        for after in ["--b--\r\n".to_owned(), "--b--".to_owned(), format!("{BUTTON}--b--\r\nend")] {
            let end = [FILE.as_bytes(), &bytes, b"\r\n", after.as_bytes()].concat();
            let response = posted(&gateway, with_file(form("x/${filename}", &[]), &end)).await;
            assert_eq!(response.status, 204, "{after}: {response:?}");
            assert!(bytes_of(&gateway, "x/a;b.txt").await.unwrap() == bytes, "{size} {after}");
        }
    }
    for (after, what) in [
        ("--b-".to_owned(), "cut off"),
        (BUTTON.to_owned(), "without its last delimiter"),
        (format!("{BUTTON}{}\r\n--b--", "x".repeat(70_000)), "too long after its file"),
    ] {
        let end = [FILE.as_bytes(), b"other\r\n", after.as_bytes()].concat();
        let response = posted(&gateway, with_file(form("x/${filename}", &[]), &end)).await;
        assert_eq!((response.status, &*response.code()), (400, "MalformedPOSTRequest"), "{what}");
        assert_eq!(bytes_of(&gateway, "x/a;b.txt").await.unwrap().len(), 3_000_000, "{what}");
    }
}

#[tokio::test]
async fn file_names_are_base_names_in_every_field() {
    let gateway = start(settings()).await;
    for (written, name) in
        [("C:\\dir\\x.txt", "x.txt"), ("dir/y.txt", "y.txt"), ("q%22.txt", "q\".txt")]
    {
        let file = format!(
            "Content-Disposition: form-data; name=\"file\"; filename=\"{written}\"\r\n\r\nnew\r\n--b--"
        );
        let more = [("x-amz-meta-name", "is ${filename}"), ("Cache-Control", "no-store")];
        let response =
            posted(&gateway, with_file(form("${filename}", &more), file.as_bytes())).await;
        assert_eq!(response.status, 204, "{response:?}");
        let head = gateway.store.head(&"bucket".into(), &name.into()).await.unwrap();
        assert_eq!(head.attributes.user["name"], format!("is {name}"));
        assert_eq!(head.attributes.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn fields_are_compared_and_refused_as_headers_are() {
    let gateway = start(settings()).await;
    // The CRC-32 of "new", as zlib computes it.
    let right = "a+NERQ==";
    for (name, value, expected) in [
        ("x-amz-checksum-crc32", "AAAAAA==", (400, "BadDigest")),
        ("x-amz-checksum-crc32", "no", (400, "InvalidRequest")),
        ("x-amz-checksum-crc32", right, (204, "")),
        ("If-None-Match", "*", (412, "PreconditionFailed")),
        ("x-amz-copy-source", "/bucket/x", (501, "NotImplemented")),
        ("x-amz-write-offset-bytes", "3", (501, "NotImplemented")),
        ("x-amz-meta-ratchet-upload", "x", (400, "InvalidArgument")),
    ] {
        let response = posted(&gateway, form("x", &[(name, value)])).await;
        assert_eq!((response.status, &*response.code()), expected, "{name}: {value}");
        if expected.0 == 204 {
            assert_eq!(response.header("x-amz-checksum-crc32"), Some(right));
        }
    }
}

#[tokio::test]
async fn success_is_answered_as_the_form_asks() {
    let gateway = start(settings()).await;
    let url = format!("http://{}/bucket/a%20%C3%A4", gateway.address);
    // The MD5 of "new", as md5sum computes it.
    let etag = "22af645d1859cb5ca6da0c484f1f37ea";
    let created = posted(&gateway, form("a ä", &[("success_action_status", "201")])).await;
    assert_eq!(created.status, 201);
    let text = String::from_utf8(created.body.clone()).unwrap();
    for part in [
        format!("<Location>{url}</Location>"),
        "<Bucket>bucket</Bucket>".to_owned(),
        "<Key>a ä</Key>".to_owned(),
        format!("<ETag>&quot;{etag}&quot;</ETag>"),
    ] {
        assert!(text.contains(&part), "{part} in {text}");
    }
    let query = format!("bucket=bucket&key=a%20%C3%A4&etag=%22{etag}%22");
    let redirect = ("success_action_redirect", "http://h/done?a=b");
    for (more, status, location) in [
        (vec![("success_action_status", "200")], 200, url.clone()),
        (vec![("success_action_status", "404")], 204, url.clone()),
        (vec![redirect], 303, format!("http://h/done?a=b&{query}")),
        (vec![("redirect", "http://h/")], 303, format!("http://h/?{query}")),
    ] {
        let response = posted(&gateway, form("a ä", &more)).await;
        assert_eq!(response.status, status, "{response:?}");
        assert_eq!(response.header("location"), Some(&*location), "{more:?}");
    }
}

#[tokio::test]
async fn forms_with_version_2_signatures_are_accepted() {
    let gateway = start(settings()).await;
    let good = form_v2("x", &[("acl", "private"), ("Content-Type", "text/plain")]);
    let changed = |from: &str, to: &str| {
        let mut form = good.clone();
        form.body = String::from_utf8(form.body).unwrap().replacen(from, to, 1).into_bytes();
        form
    };
    for (what, form, expected) in [
        ("as it is", good.clone(), (204, "")),
        (
            "another signature",
            changed("name=\"signature\"\r\n\r\n", "name=\"signature\"\r\n\r\n0"),
            (403, "SignatureDoesNotMatch"),
        ),
        ("an unknown key", changed("AKROOT", "AKNONE"), (403, "InvalidAccessKeyId")),
        (
            "no signature",
            changed("name=\"signature\"", "name=\"x-ignore-s\""),
            (400, "InvalidArgument"),
        ),
        ("no key", changed("name=\"key\"", "name=\"x-ignore-k\""), (400, "InvalidArgument")),
    ] {
        let response = posted(&gateway, form).await;
        assert_eq!((response.status, &*response.code()), expected, "{what}: {response:?}");
    }
    let head = gateway.store.head(&"bucket".into(), &"x".into()).await.unwrap();
    assert_eq!(head.attributes.content_type.as_deref(), Some("text/plain"));
}

/// Senders of forms do not wait for `100 Continue`, and many read only after they have sent all.
#[tokio::test]
async fn a_sender_reads_the_refusal_of_a_large_form() {
    let gateway = start(settings()).await;
    let mut refused = form("x", &[]);
    let text = String::from_utf8(refused.body).unwrap().replace("AKROOT", "AKNONE");
    let end = [FILE.as_bytes(), &vec![b'x'; 20 << 20], b"\r\n--b--\r\n"].concat();
    refused.body = text.into_bytes();
    let refused = with_file(refused, &end);
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(refused.head(gateway.address).as_bytes()).await.unwrap();
    socket.write_all(&refused.body).await.unwrap();
    let mut received = Vec::new();
    socket.read_to_end(&mut received).await.unwrap();
    let received = String::from_utf8_lossy(&received);
    assert!(received.starts_with("HTTP/1.1 403 "), "{received}");
    assert!(received.contains("<Code>InvalidAccessKeyId</Code>"), "{received}");
}

#[tokio::test]
async fn urls_in_answers_are_absolute_and_encoded() {
    let gateway = start(settings()).await;
    let host = gateway.address;
    // As at S3, that of a bucket is a path.
    let created = s3("PUT", "/fresh-bucket").send(&gateway).await;
    assert_eq!(created.header("location"), Some("/fresh-bucket"));
    let target = "/bucket/a%20%C3%A4";
    let begun = s3("POST", &format!("{target}?uploads")).send(&gateway).await;
    let text = String::from_utf8(begun.body).unwrap();
    let id = text.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let part = s3("PUT", &format!("{target}?partNumber=1&uploadId={id}")).body(b"x");
    let etag = part.send(&gateway).await.header("etag").unwrap().to_owned();
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    let complete = s3("POST", &format!("{target}?uploadId={id}")).body(document.as_bytes());
    let response = complete.send(&gateway).await;
    let text = String::from_utf8(response.body).unwrap();
    assert!(text.contains(&format!("<Location>http://{host}{target}</Location>")), "{text}");
}
