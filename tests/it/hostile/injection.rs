//! Injection: values that would become header lines or markup, and documents that attack their
//! parser.

use serde_json::json;

use super::{Target, closing};
use crate::support::form::form;
use crate::support::request::{chunk_api, s3};

#[tokio::test]
async fn no_value_becomes_a_header_line() {
    let mut gateway = Target::new("header injection").await;
    let argument = (400, "InvalidArgument");
    for name in [
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    ] {
        for value in ["a%0D%0Aset-cookie:%20evil", "a%0Aset-cookie:evil", "%00"] {
            let target = format!("/bucket/k?response-{name}={value}");
            gateway.refuses_request(&target, s3("GET", &target), argument).await;
        }
    }
    for (name, value) in [
        ("x-amz-meta-a", "b\0c"),
        ("content-type", "a\x01b"),
        ("x-amz-meta-\u{1}", "a"),
        ("x-amz-meta-a", "b\rc"),
    ] {
        gateway.refuses_request(name, s3("PUT", "/bucket/x").header(name, value), (400, "")).await;
    }
    let head =
        s3("PUT", "/bucket/x").header("x-amz-meta-a", "@").head(gateway.address).into_bytes();
    let head: Vec<u8> =
        head.into_iter().map(|byte| if byte == b'@' { 0xff } else { byte }).collect();
    let mismatch = (403, "SignatureDoesNotMatch");
    gateway.refuses("metadata that was not signed so", &closing(&head), mismatch).await;
    for (name, value) in [
        ("content-type", "text/plain\r\nset-cookie: evil"),
        ("x-amz-meta-a", "b\r\nset-cookie: evil"),
        ("success_action_redirect", "http://h/\r\nset-cookie: evil"),
        ("x-amz-meta-a b", "c"),
    ] {
        gateway.refuses_request(name, form("x", &[(name, value)]), argument).await;
    }
    for (field, value) in [
        ("contentType", json!("text/plain\r\nset-cookie: evil")),
        ("metadata", json!({"a": "b\r\nset-cookie: evil"})),
        ("metadata", json!({"a\r\nset-cookie": "evil"})),
    ] {
        let mut create = json!({"bucket": "bucket", "key": "x", "chunkSize": 5 << 20});
        create[field] = value;
        gateway
            .refuses_request(
                field,
                chunk_api("POST", "/backups").json(&create),
                (400, "bad-request"),
            )
            .await;
    }
    for (name, value) in [("x-amz-meta-ratchet-upload", "x"), ("x-amz-meta-ratchet-checksum", "x")]
    {
        gateway.refuses_request(name, s3("PUT", "/bucket/x").header(name, value), argument).await;
    }
}

#[tokio::test]
async fn echoed_values_are_escaped() {
    let gateway = Target::new("markup").await;
    let target = "/bucket/%3C%2FKey%3E%3CCode%3Eevil%3C%2FCode%3E%26%22'";
    gateway.accepts("a put", s3("PUT", target).body(b"x")).await;
    for request in [
        s3("GET", "/bucket"),
        s3("GET", "/bucket?prefix=%3CCode%3Eevil"),
        s3("GET", "/bucket/absent%3CCode%3Eevil"),
    ] {
        let response = crate::support::response::exchange_and_close(
            gateway.address,
            &request.head(gateway.address),
            b"",
        )
        .await;
        assert!(
            !String::from_utf8(response.body).unwrap().contains("<Code>evil"),
            "{}",
            request.target
        );
    }
}

#[tokio::test]
async fn malicious_documents_are_refused() {
    let mut gateway = Target::new("documents").await;
    let id = gateway.begin_upload().await;
    let laughs: String = (1..10)
        .map(|level| format!("<!ENTITY l{level} \"{}\">", format!("&l{};", level - 1).repeat(10)))
        .collect();
    let delete = |inner: &str| format!("<Delete><Object><Key>{inner}</Key></Object></Delete>");
    let documents = [
        (
            "a billion laughs",
            format!("<!DOCTYPE x [<!ENTITY l0 \"ha\">{laughs}]>{}", delete("&l9;")),
        ),
        (
            "a local file",
            format!("<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>{}", delete("&e;")),
        ),
        ("only a document type", format!("<!DOCTYPE Delete>{}", delete("k"))),
        ("an undefined entity", delete("&e;")),
        ("an invalid character", delete("&#x110000;")),
        ("half a surrogate", delete("&#xD800;")),
        ("deep nesting", format!("<Delete>{}", "<Object>".repeat(100_000))),
        ("another root", "<CompleteMultipartUpload/>".to_owned()),
        ("two roots", format!("{0}{0}", delete("k"))),
        ("crossed tags", "<Delete><Object><Key>k</Object></Key></Delete>".to_owned()),
        ("half a document", "<Delete><Object><Key>k</Key></Object>".to_owned()),
        ("nothing", String::new()),
        ("no XML", "{\"Delete\": []}".to_owned()),
        (
            "1,001 keys",
            format!("<Delete>{}</Delete>", "<Object><Key>k</Key></Object>".repeat(1001)),
        ),
    ];
    for (what, document) in documents {
        let request = s3("POST", "/bucket?delete=").body(document.as_bytes());
        gateway.refuses_request(what, request, (400, "MalformedXML")).await;
    }
    let long = s3("POST", "/bucket?delete=").body(delete(&"k".repeat(3 << 20)).as_bytes());
    gateway.refuses_request("3 MiB", long, (400, "MaxMessageLengthExceeded")).await;
    let utf16: Vec<u8> = delete("k").encode_utf16().flat_map(u16::to_be_bytes).collect();
    gateway
        .refuses_request(
            "UTF-16",
            s3("POST", "/bucket?delete=").body(&utf16),
            (400, "MalformedXML"),
        )
        .await;
    let part =
        |number: u32| format!("<Part><PartNumber>{number}</PartNumber><ETag>e</ETag></Part>");
    let parts = |numbers: std::ops::RangeInclusive<u32>| numbers.map(part).collect::<String>();
    let complete = [
        ("10,001 parts", parts(1..=10_001), "InvalidArgument"),
        ("100,000 times one part", part(1).repeat(50_000), "InvalidPartOrder"),
        ("part 0", part(0), "InvalidArgument"),
        ("no part", String::new(), "MalformedXML"),
        ("parts backwards", format!("{}{}", part(2), part(1)), "InvalidPartOrder"),
        ("a part that is not there", part(7), "InvalidPart"),
        ("6 MiB", parts(1..=100_000).repeat(2), "MaxMessageLengthExceeded"),
    ];
    for (what, parts, code) in complete {
        let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let request = s3("POST", &format!("/bucket/up?uploadId={id}")).body(document.as_bytes());
        gateway.refuses_request(what, request, (400, code)).await;
    }
    let deep = "[".repeat(20_000);
    gateway
        .refuses_request(
            "deep JSON",
            chunk_api("POST", "/backups").body(deep.as_bytes()),
            (400, "bad-request"),
        )
        .await;
    gateway.assert_object_is("k", b"old").await;
}
