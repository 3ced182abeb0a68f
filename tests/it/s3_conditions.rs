//! Versions and conditions of the S3 API on a store without versions: what names no version, and
//! what does not hold, changes nothing.

use futures_util::future::join_all;
use ratchet::digest::Sha256;
use ratchet::store::{PutOptions, Store};

use crate::support::gateway::{Gateway, LIMITED, READER, serve_as_it_is, settings, start};
use crate::support::lab;
use crate::support::request::{Request, s3};
use crate::support::response::{Response, exchange_and_close};

const ETAG: &str = "\"827ccb0eea8a706c4c34a16891f84e7b\"";
const OTHER: &str = "\"00000000000000000000000000000000\"";

/// A gateway whose bucket has the object `k` of five bytes.
async fn with_object() -> Gateway {
    let gateway = start(settings()).await;
    put(&gateway, "k").await;
    gateway
}

async fn put(gateway: &Gateway, key: &str) {
    let body = b"12345".to_vec().into();
    gateway.store.put(&"bucket".into(), &key.into(), body, PutOptions::default()).await.unwrap();
}

async fn exists(gateway: &Gateway, key: &str) -> bool {
    gateway.store.head(&"bucket".into(), &key.into()).await.is_ok()
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// A HEAD, whose response says how long the body would be and has none.
async fn head(gateway: &Gateway, target: &str) -> Response {
    let request = s3("HEAD", target).head(gateway.address);
    exchange_and_close(gateway.address, &request, b"").await
}

async fn status_and_code(gateway: &Gateway, request: Request) -> (u16, String) {
    let response = request.send(gateway).await;
    (response.status, element(&text(&response), "Code").unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_unknown_version_is_not_the_current_object() {
    let gateway = with_object().await;
    for (id, status, code) in [
        ("abcdef", 404, "NoSuchVersion"),
        ("3sL4kqtJlcpXroDTDmJ-rmSpXd3dIbrHY", 404, "NoSuchVersion"),
        ("", 400, "InvalidArgument"),
        ("a%20b", 400, "InvalidArgument"),
    ] {
        for method in ["GET", "DELETE"] {
            let request = s3(method, &format!("/bucket/k?versionId={id}"));
            let outcome = status_and_code(&gateway, request).await;
            assert_eq!(outcome, (status, code.to_owned()), "{method} {id:?}");
        }
        let found = head(&gateway, &format!("/bucket/k?versionId={id}")).await;
        assert_eq!(found.status, status, "HEAD {id:?}");
        let attributes = s3("GET", &format!("/bucket/k?attributes&versionId={id}"))
            .header("x-amz-object-attributes", "ETag");
        assert_eq!(
            status_and_code(&gateway, attributes).await,
            (status, code.to_owned()),
            "{id:?}"
        );
    }
    let copy = s3("PUT", "/bucket/copy").header("x-amz-copy-source", "/bucket/k?versionId=abcdef");
    assert_eq!(status_and_code(&gateway, copy).await, (404, "NoSuchVersion".to_owned()));
    assert!(!exists(&gateway, "copy").await && exists(&gateway, "k").await);
    let body = "<Delete><Object><Key>k</Key><VersionId>abcdef</VersionId></Object></Delete>";
    let response = s3("POST", "/bucket?delete").body(body.as_bytes()).send(&gateway).await;
    let answer = text(&response);
    assert_eq!((response.status, element(&answer, "Code")), (200, Some("NoSuchVersion")));
    assert_eq!(element(&answer, "VersionId"), Some("abcdef"));
    assert!(exists(&gateway, "k").await);
    let read = s3("GET", "/bucket/k?versionId=null").send(&gateway).await;
    assert_eq!((read.status, read.body), (200, b"12345".to_vec()));
    let deleted = s3("DELETE", "/bucket/k?versionId=null").send(&gateway).await;
    assert_eq!((deleted.status, deleted.header("x-amz-version-id")), (204, Some("null")));
    assert!(!exists(&gateway, "k").await);
}

#[tokio::test]
async fn each_object_is_listed_as_its_null_version() {
    let gateway = start(settings()).await;
    for key in ["a", "b/1", "b/2", "c", "d e"] {
        put(&gateway, key).await;
    }
    let mut names = Vec::new();
    let mut target = "/bucket?versions&delimiter=%2F&max-keys=1&encoding-type=url".to_owned();
    loop {
        let page = text(&s3("GET", &target).send(&gateway).await);
        let name = element(&page, "Version")
            .map(|version| {
                assert_eq!(element(version, "VersionId"), Some("null"));
                assert_eq!(element(version, "IsLatest"), Some("true"));
                assert_eq!(element(version, "Size"), Some("5"));
                assert!(version.contains("827ccb0eea8a706c4c34a16891f84e7b"), "{version}");
                assert!(version.contains("<Owner>") && version.contains("<LastModified>"));
                element(version, "Key").unwrap()
            })
            .or(element(&page, "CommonPrefixes").and_then(|found| element(found, "Prefix")));
        names.push(name.unwrap().to_owned());
        let Some(marker) = element(&page, "NextKeyMarker") else {
            assert_eq!(element(&page, "IsTruncated"), Some("false"));
            break;
        };
        assert_eq!(element(&page, "IsTruncated"), Some("true"));
        let version = element(&page, "NextVersionIdMarker").unwrap_or_default();
        target = format!(
            "/bucket?versions&delimiter=%2F&max-keys=1&encoding-type=url&key-marker={marker}\
             &version-id-marker={version}"
        );
    }
    assert_eq!(names, ["a", "b/", "c", "d%20e"]);
    let none = text(&s3("GET", "/bucket?versions&max-keys=0").send(&gateway).await);
    assert_eq!(element(&none, "IsTruncated"), Some("false"));
    assert!(!none.contains("<Version>"), "{none}");
    for (query, code) in [
        ("version-id-marker=null", "InvalidArgument"),
        ("key-marker=a&version-id-marker=x", "InvalidArgument"),
        ("max-keys=-1", "InvalidArgument"),
    ] {
        let request = s3("GET", &format!("/bucket?versions&{query}"));
        assert_eq!(status_and_code(&gateway, request).await, (400, code.to_owned()), "{query}");
    }
    let mine = "/bucket?versions&prefix=mine%2F";
    for (target, key, status) in [
        ("/bucket?versions", READER, 200),
        ("/bucket?versions", LIMITED, 403),
        (mine, LIMITED, 200),
    ] {
        let response = s3("GET", target).signed_by(Some(key)).send(&gateway).await;
        assert_eq!(response.status, status, "{target}");
    }
}

#[tokio::test]
async fn a_delete_whose_condition_does_not_hold_deletes_nothing() {
    let gateway = with_object().await;
    let modified = head(&gateway, "/bucket/k").await;
    let modified = modified.header("last-modified").unwrap().to_owned();
    let epoch = "Thu, 01 Jan 1970 00:00:00 GMT";
    for (name, wrong) in [
        ("if-match", OTHER),
        ("x-amz-if-match-size", "6"),
        ("x-amz-if-match-last-modified-time", epoch),
    ] {
        let request = s3("DELETE", "/bucket/k").header(name, wrong);
        let outcome = status_and_code(&gateway, request).await;
        assert_eq!(outcome, (412, "PreconditionFailed".to_owned()), "{name}");
    }
    for (name, value, status, code) in [
        ("if-none-match", "*", 501, "NotImplemented"),
        ("if-unmodified-since", epoch, 501, "NotImplemented"),
        ("x-amz-if-match-size", "five", 400, "InvalidArgument"),
        ("x-amz-if-match-last-modified-time", "now", 400, "InvalidArgument"),
    ] {
        let request = s3("DELETE", "/bucket/k").header(name, value);
        assert_eq!(status_and_code(&gateway, request).await, (status, code.to_owned()), "{name}");
    }
    let entry = |condition: &str| format!("<Object><Key>k</Key>{condition}</Object>");
    let wrong = [
        entry(&format!("<ETag>{OTHER}</ETag>")),
        entry("<Size>6</Size>"),
        entry(&format!("<LastModifiedTime>{epoch}</LastModifiedTime>")),
    ];
    let body = format!("<Delete>{}</Delete>", wrong.concat());
    let answer = text(&s3("POST", "/bucket?delete").body(body.as_bytes()).send(&gateway).await);
    assert_eq!(answer.matches("PreconditionFailed").count(), 3, "{answer}");
    assert!(exists(&gateway, "k").await);
    let all = s3("DELETE", "/bucket/k")
        .header("if-match", ETAG)
        .header("x-amz-if-match-size", "5")
        .header("x-amz-if-match-last-modified-time", &modified);
    assert_eq!(all.send(&gateway).await.status, 204);
    assert!(!exists(&gateway, "k").await);
    for (name, value, status) in [
        ("if-match", ETAG, 404),
        ("if-match", "*", 412),
        ("x-amz-if-match-size", "6", 204),
        ("x-amz-if-match-last-modified-time", epoch, 204),
    ] {
        let response = s3("DELETE", "/bucket/k").header(name, value).send(&gateway).await;
        assert_eq!(response.status, status, "{name}: {value} without an object");
    }
}

/// An upload of one part, and the document that completes it.
async fn uploaded(gateway: &Gateway, key: &str) -> (String, String) {
    let created = text(&s3("POST", &format!("/bucket/{key}?uploads")).send(gateway).await);
    let id = element(&created, "UploadId").unwrap();
    let part = s3("PUT", &format!("/bucket/{key}?partNumber=1&uploadId={id}")).body(b"part");
    let etag = part.send(gateway).await.header("etag").unwrap().to_owned();
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    (format!("/bucket/{key}?uploadId={id}"), document)
}

#[tokio::test]
async fn an_abort_may_name_the_time_of_its_upload() {
    let gateway = start(settings()).await;
    let (target, _) = uploaded(&gateway, "k").await;
    let abort = |time: &str| s3("DELETE", &target).header("x-amz-if-match-initiated-time", time);
    let uploads = text(&s3("GET", "/bucket?uploads").send(&gateway).await);
    // A seeded clock stands still at this time.
    assert_eq!(element(&uploads, "Initiated"), Some("2023-11-14T22:13:20.000Z"));
    for (time, status, code) in [
        ("Tue, 14 Nov 2023 22:13:19 GMT", 412, "PreconditionFailed"),
        ("Wed, 14 Nov 2029 22:13:20 GMT", 412, "PreconditionFailed"),
        ("yesterday", 400, "InvalidArgument"),
        ("", 400, "InvalidArgument"),
    ] {
        let outcome = status_and_code(&gateway, abort(time)).await;
        assert_eq!(outcome, (status, code.to_owned()), "{time:?}");
        assert_eq!(s3("GET", &target).send(&gateway).await.status, 200, "{time:?}");
    }
    let time = "Tue, 14 Nov 2023 22:13:20 GMT";
    assert_eq!(abort(time).send(&gateway).await.status, 204);
    // It is not there any more, which is what was asked for.
    assert_eq!(s3("GET", &target).send(&gateway).await.status, 404);
    assert_eq!(abort(time).send(&gateway).await.status, 204);
    assert_eq!(s3("DELETE", &target).send(&gateway).await.status, 404);
    let elsewhere = s3("DELETE", "/missing/k?uploadId=none");
    let elsewhere = elsewhere.header("x-amz-if-match-initiated-time", time);
    assert_eq!(status_and_code(&gateway, elsewhere).await, (404, "NoSuchBucket".to_owned()));
}

#[tokio::test]
async fn of_concurrent_completes_under_one_condition_one_wins() {
    let gateway = with_object().await;
    for (key, condition, value) in [("new", "if-none-match", "*"), ("k", "if-match", ETAG)] {
        let uploads = join_all((0..32).map(|_| uploaded(&gateway, key))).await;
        let completes = uploads.iter().map(|(target, document)| {
            s3("POST", target).body(document.as_bytes()).header(condition, value).send(&gateway)
        });
        let mut statuses: Vec<u16> =
            join_all(completes).await.into_iter().map(|response| response.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses[0], 200, "{condition}");
        assert!(statuses[1..].iter().all(|status| *status == 412), "{condition}: {statuses:?}");
        // The losers are still open, and can be completed without the condition.
        let mut open = 0;
        for (target, document) in &uploads {
            if s3("GET", target).send(&gateway).await.status == 200 {
                open += 1;
                let complete = s3("POST", target).body(document.as_bytes());
                assert_eq!(complete.send(&gateway).await.status, 200);
            }
        }
        assert_eq!(open, 31, "{condition}");
    }
}

#[tokio::test]
async fn a_complete_is_repeated_only_under_the_same_condition() {
    let gateway = start(settings()).await;
    let (target, document) = uploaded(&gateway, "k").await;
    let complete =
        |name: &str, value: &str| s3("POST", &target).body(document.as_bytes()).header(name, value);
    let missing = status_and_code(&gateway, complete("if-match", OTHER)).await;
    assert_eq!(missing, (404, "NoSuchKey".to_owned()));
    assert_eq!(status_and_code(&gateway, complete("if-match", "*")).await.0, 501);
    for _ in 0..2 {
        assert_eq!(status_and_code(&gateway, complete("if-none-match", "*")).await.0, 200);
    }
    let other = status_and_code(&gateway, complete("if-match", OTHER)).await;
    assert_eq!(other, (404, "NoSuchUpload".to_owned()));
}

#[tokio::test]
async fn conditions_of_a_read_come_before_its_range() {
    let gateway = with_object().await;
    let send = async |headers: &[(&str, &str)]| {
        let request = headers
            .iter()
            .fold(s3("GET", "/bucket/k"), |request, (name, value)| request.header(name, value));
        request.send(&gateway).await
    };
    let put = s3("PUT", "/bucket/k")
        .body(b"12345")
        .header("cache-control", "max-age=9")
        .header("expires", "Sun, 06 Nov 2044 08:49:37 GMT");
    assert_eq!(put.send(&gateway).await.status, 200);
    let read = send(&[]).await;
    let modified = read.header("last-modified").unwrap().to_owned();
    let future = "Sun, 06 Nov 2044 08:49:37 GMT";
    let beyond = ("range", "bytes=9-");
    let table: [(&[(&str, &str)], u16); 12] = [
        (&[("if-none-match", ETAG)], 304),
        (&[("if-modified-since", &modified)], 304),
        (&[("if-modified-since", future)], 200),
        (&[("if-none-match", ETAG), beyond], 304),
        (&[("if-match", OTHER), beyond], 412),
        (&[beyond], 416),
        (&[("range", "bytes=0-99999999999999999999")], 206),
        (&[("range", "bytes=1-2"), ("if-range", ETAG)], 206),
        (&[("range", "bytes=1-2"), ("if-range", &modified)], 206),
        (&[("range", "bytes=1-2"), ("if-range", OTHER)], 200),
        (&[("range", "bytes=1-2"), ("if-range", "Thu, 01 Jan 1970 00:00:00 GMT")], 200),
        (&[beyond, ("if-range", "W/\"827ccb0eea8a706c4c34a16891f84e7b\"")], 200),
    ];
    for (headers, status) in table {
        let response = send(headers).await;
        assert_eq!(response.status, status, "{headers:?}");
        match status {
            200 => assert_eq!(response.body, b"12345", "{headers:?}"),
            304 => {
                for name in ["etag", "last-modified", "cache-control", "expires"] {
                    assert_eq!(response.header(name), read.header(name), "{headers:?} {name}");
                }
            }
            416 => {
                assert_eq!(response.header("content-range"), Some("bytes */5"));
                let answer = text(&response);
                assert_eq!(element(&answer, "ActualObjectSize"), Some("5"));
                assert_eq!(element(&answer, "RangeRequested"), Some("bytes=9-"));
            }
            _ => {}
        }
    }
    let both = s3("GET", "/bucket/k?partNumber=1").header("range", "bytes=0-1");
    assert_eq!(status_and_code(&gateway, both).await, (400, "InvalidRequest".to_owned()));
    let absent = s3("GET", "/bucket/k?partNumber=2");
    assert_eq!(status_and_code(&gateway, absent).await, (416, "InvalidPartNumber".to_owned()));
    let only = head(&gateway, "/bucket/k?partNumber=1").await;
    assert_eq!((only.status, only.header("content-range")), (206, Some("bytes 0-4/5")));
}

/// Uploads one empty part, with its SHA-256 and without, completes it and reads it.
async fn upload_nothing(address: std::net::SocketAddr, target: &str) {
    let send = async |request: Request| {
        exchange_and_close(address, &request.head(address), &request.body).await
    };
    for signed in [false, true] {
        let created = text(&send(s3("POST", &format!("{target}?uploads"))).await);
        let id = created.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned();
        let mut part = s3("PUT", &format!("{target}?partNumber=1&uploadId={id}"));
        if signed {
            part.payload = Sha256::of(b"").hex();
        }
        let stored = send(part).await;
        assert_eq!(stored.status, 200, "signed: {signed}, {stored:?}");
        let document = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>\
             </CompleteMultipartUpload>",
            stored.header("etag").unwrap()
        );
        let complete = s3("POST", &format!("{target}?uploadId={id}")).body(document.as_bytes());
        let completed = send(complete).await;
        assert_eq!(completed.status, 200, "signed: {signed}, {completed:?}");
        for read in [target.to_owned(), format!("{target}?partNumber=1")] {
            for method in ["GET", "HEAD"] {
                let found = send(s3(method, &read)).await;
                assert_eq!((found.status, &*found.body), (200, &b""[..]), "{method} {read}");
                assert_eq!(found.header("content-length"), Some("0"), "{method} {read}");
            }
        }
    }
}

#[tokio::test]
async fn a_part_without_bytes_is_a_part() {
    let gateway = start(settings()).await;
    upload_nothing(gateway.address, "/bucket/empty").await;
    if let Some(lab) = lab::s3().await {
        // A seeded clock makes the same ids in every run: the documents need a bucket of their own.
        let mut settings = settings();
        settings.upload.state_bucket = format!("{}-state", lab.bucket).into();
        let (address, _shutdown) = serve_as_it_is(lab.store.clone(), settings).await;
        upload_nothing(address, &format!("/{}/empty", lab.bucket)).await;
    }
}

/// The last part of an object may have no bytes; it is not the whole object.
#[tokio::test]
async fn an_empty_part_of_a_larger_object_is_read_as_such() {
    let gateway = start(settings()).await;
    let created = text(&s3("POST", "/bucket/k?uploads").send(&gateway).await);
    let id = element(&created, "UploadId").unwrap();
    let bytes = vec![7; 5 << 20];
    let mut parts = String::new();
    for (number, bytes) in [(1, &bytes[..]), (2, &[])] {
        let put = s3("PUT", &format!("/bucket/k?partNumber={number}&uploadId={id}")).body(bytes);
        let etag = put.send(&gateway).await.header("etag").unwrap().to_owned();
        parts += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let complete = s3("POST", &format!("/bucket/k?uploadId={id}")).body(document.as_bytes());
    assert_eq!(complete.send(&gateway).await.status, 200);
    let second = s3("GET", "/bucket/k?partNumber=2").send(&gateway).await;
    assert_eq!((second.status, second.body.len()), (206, 0));
    assert_eq!(second.header("x-amz-mp-parts-count"), Some("2"));
    let first = s3("GET", "/bucket/k?partNumber=1").send(&gateway).await;
    assert_eq!((first.status, first.body.len()), (206, bytes.len()));
    let third = s3("GET", "/bucket/k?partNumber=3");
    assert_eq!(status_and_code(&gateway, third).await, (416, "InvalidPartNumber".to_owned()));
}
