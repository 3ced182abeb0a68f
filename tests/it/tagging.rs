//! Tags over the S3 API: every way in and out, on a store that keeps them with the object.

use crate::support::form::form;
use crate::support::gateway::{Gateway, LIMITED, READER, settings, start};
use crate::support::request::{Request, s3};

fn document(pairs: &[(&str, &str)]) -> Vec<u8> {
    let tags: String = pairs
        .iter()
        .map(|(name, value)| format!("<Tag><Key>{name}</Key><Value>{value}</Value></Tag>"))
        .collect();
    format!("<Tagging><TagSet>{tags}</TagSet></Tagging>").into_bytes()
}

/// The tags of an object or bucket, as `name=value`.
async fn tags(gateway: &Gateway, target: &str) -> Vec<String> {
    let response = s3("GET", &format!("{target}?tagging=")).send(gateway).await;
    assert_eq!(response.status, 200, "{response:?}");
    let text = String::from_utf8(response.body).unwrap();
    let tag = |text: &str| {
        let inner = text.split_once("</Value>").unwrap().0;
        inner.replace("<Key>", "").replace("</Key><Value>", "=")
    };
    text.split("<Tag>").skip(1).map(tag).collect()
}

async fn code(gateway: &Gateway, request: Request) -> (u16, String) {
    let response = request.send(gateway).await;
    (response.status, response.code())
}

#[tokio::test]
async fn every_way_in_keeps_the_tags() {
    let gateway = start(settings()).await;
    let put = s3("PUT", "/bucket/put").body(b"x").header("x-amz-tagging", "a=1&b+c=%C3%BC");
    assert_eq!(code(&gateway, put).await.0, 200);
    assert_eq!(tags(&gateway, "/bucket/put").await, ["a=1", "b c=ü"]);
    let read = s3("GET", "/bucket/put").send(&gateway).await;
    assert_eq!(read.header("x-amz-tagging-count"), Some("2"));
    for (name, value) in [
        ("x-amz-tagging", "f=1".to_owned()),
        ("tagging", String::from_utf8(document(&[("f", "1")])).unwrap()),
    ] {
        let key = format!("form-{name}");
        assert_eq!(code(&gateway, form(&key, &[(name, &value)])).await.0, 204);
        assert_eq!(tags(&gateway, &format!("/bucket/{key}")).await, ["f=1"]);
    }
    let begin = s3("POST", "/bucket/parts?uploads=").header("x-amz-tagging", "m=1");
    let text = String::from_utf8(begin.send(&gateway).await.body).unwrap();
    let id = text.split_once("<UploadId>").unwrap().1.split_once("</UploadId>").unwrap().0;
    let part = s3("PUT", &format!("/bucket/parts?partNumber=1&uploadId={id}")).body(b"bytes");
    let etag = part.send(&gateway).await.header("etag").unwrap().to_owned();
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let complete = s3("POST", &format!("/bucket/parts?uploadId={id}")).body(list.as_bytes());
    assert_eq!(code(&gateway, complete).await.0, 200);
    assert_eq!(tags(&gateway, "/bucket/parts").await, ["m=1"]);
    let copy = |to: &str| s3("PUT", to).header("x-amz-copy-source", "/bucket/put");
    let replacing = |to: &str| copy(to).header("x-amz-tagging-directive", "REPLACE");
    let table: Vec<(&str, Request, &[&str])> = vec![
        ("/bucket/c1", copy("/bucket/c1"), &["a=1", "b c=ü"]),
        (
            "/bucket/c2",
            copy("/bucket/c2").header("x-amz-metadata-directive", "REPLACE"),
            &["a=1", "b c=ü"],
        ),
        ("/bucket/c3", replacing("/bucket/c3").header("x-amz-tagging", "n=2"), &["n=2"]),
        ("/bucket/c4", replacing("/bucket/c4"), &[]),
    ];
    for (target, request, expected) in table {
        assert_eq!(code(&gateway, request).await.0, 200);
        assert_eq!(tags(&gateway, target).await, expected, "{target}");
    }
    let unknown = copy("/bucket/c5").header("x-amz-tagging-directive", "MERGE");
    assert_eq!(code(&gateway, unknown).await, (400, "InvalidArgument".to_owned()));
    assert_eq!(code(&gateway, s3("PUT", "/bucket/put").body(b"y")).await.0, 200);
    assert!(tags(&gateway, "/bucket/put").await.is_empty(), "the new object was put without tags");
}

#[tokio::test]
async fn tags_change_without_the_object() {
    let gateway = start(settings()).await;
    s3("PUT", "/bucket/k").body(b"bytes").send(&gateway).await;
    let before = s3("GET", "/bucket/k").send(&gateway).await;
    assert_eq!(before.header("x-amz-tagging-count"), None);
    assert!(tags(&gateway, "/bucket/k").await.is_empty());
    let put = || s3("PUT", "/bucket/k?tagging=").body(&document(&[("b", "2"), ("a", "1")]));
    assert_eq!(code(&gateway, put()).await, (200, String::new()));
    assert_eq!(tags(&gateway, "/bucket/k").await, ["a=1", "b=2"]);
    let after = s3("GET", "/bucket/k?versionId=null").send(&gateway).await;
    for name in ["etag", "last-modified", "content-length"] {
        assert_eq!(after.header(name), before.header(name));
    }
    assert_eq!(code(&gateway, put().signed_by(Some(READER))).await.0, 403);
    let read = s3("GET", "/bucket/k?tagging=").signed_by(Some(READER));
    assert_eq!(code(&gateway, read).await.0, 200);
    assert_eq!(code(&gateway, put().signed_by(Some(LIMITED))).await.0, 403);
    let delete = s3("DELETE", "/bucket/k?tagging=");
    assert_eq!(code(&gateway, delete.clone()).await, (204, String::new()));
    assert!(tags(&gateway, "/bucket/k").await.is_empty());
    let many: Vec<(String, String)> = (0..11).map(|at| (at.to_string(), String::new())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let put_to = |target: &str, document: &[u8]| s3("PUT", target).body(document);
    let header = |value: &str| s3("PUT", "/bucket/h").body(b"x").header("x-amz-tagging", value);
    let table: Vec<(Request, u16, &str)> = vec![
        (put_to("/bucket/k?tagging=", &document(&many)), 400, "BadRequest"),
        (put_to("/bucket/k?tagging=", &document(&[("a", "1"), ("a", "2")])), 400, "InvalidTag"),
        (put_to("/bucket/k?tagging=", b"<Tagging>"), 400, "MalformedXML"),
        (put_to("/bucket/missing?tagging=", &document(&[])), 404, "NoSuchKey"),
        (put_to("/missing/k?tagging=", &document(&[])), 404, "NoSuchBucket"),
        (put_to("/bucket/k?tagging=&versionId=v1", &document(&[])), 404, "NoSuchVersion"),
        (s3("GET", "/bucket/missing?tagging="), 404, "NoSuchKey"),
        (s3("GET", "/bucket/k?tagging=&versionId=v1"), 404, "NoSuchVersion"),
        (s3("GET", "/bucket/k?tagging=&versionId=null"), 200, ""),
        (s3("DELETE", "/bucket/missing?tagging="), 404, "NoSuchKey"),
        (header("a=1&a=2"), 400, "InvalidArgument"),
        (header("aws:a=1"), 400, "InvalidTag"),
    ];
    for (request, status, expected) in table {
        let what = format!("{} {}", request.method, request.target);
        assert_eq!(code(&gateway, request).await, (status, expected.to_owned()), "{what}");
    }
    assert_eq!(code(&gateway, s3("GET", "/bucket/h")).await.0, 404, "nothing was stored");
}

#[tokio::test]
async fn buckets_have_tags_of_their_own() {
    let gateway = start(settings()).await;
    let missing = (404, "NoSuchTagSet".to_owned());
    assert_eq!(code(&gateway, s3("GET", "/bucket?tagging=")).await, missing);
    let put = s3("PUT", "/bucket?tagging=").body(&document(&[("team", "x")]));
    assert_eq!(code(&gateway, put.clone().signed_by(Some(READER))).await.0, 403);
    assert_eq!(code(&gateway, put).await, (204, String::new()));
    assert_eq!(tags(&gateway, "/bucket").await, ["team=x"]);
    let cors = b"<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin>\
                 <AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>";
    assert_eq!(code(&gateway, s3("PUT", "/bucket?cors=").body(cors)).await.0, 200);
    assert_eq!(code(&gateway, s3("DELETE", "/bucket?tagging=")).await, (204, String::new()));
    assert_eq!(code(&gateway, s3("GET", "/bucket?tagging=")).await, missing);
    assert_eq!(code(&gateway, s3("GET", "/bucket?cors=")).await.0, 200, "the other setting stays");
}
