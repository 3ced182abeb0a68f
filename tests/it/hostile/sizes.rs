//! Sizes above their limits: names, heads, numbers, fields.

use serde_json::json;

use super::Target;
use crate::support::form::form;
use crate::support::request::{chunk_api, s3};

#[tokio::test]
async fn sizes_and_numbers_above_their_limits_are_refused() {
    let mut gateway = Target::new("sizes").await;
    let id = gateway.begin_upload().await;
    let (argument, bad) = ((400, "InvalidArgument"), (400, "bad-request"));
    let key = format!("/bucket/{}", "k".repeat(1025));
    gateway
        .refuses_request("a key of 1,025 bytes", s3("PUT", &key), (400, "KeyTooLongError"))
        .await;
    let bucket = format!("/{}/k", "b".repeat(64));
    gateway
        .refuses_request("a bucket of 64 bytes", s3("PUT", &bucket), (400, "InvalidBucketName"))
        .await;
    let long = format!("/bucket/{}", "k".repeat(40_000));
    gateway.refuses_request("a target of 40,000 bytes", s3("GET", &long), (431, "")).await;
    let vast = format!("/bucket/{}", "k".repeat(70_000));
    gateway.refuses_request("a target of 70,000 bytes", s3("GET", &vast), (431, "")).await;
    gateway
        .refuses_request(
            "a field of 40,000 bytes",
            s3("GET", "/").header("x-a", &"v".repeat(40_000)),
            (431, ""),
        )
        .await;
    let mut many = s3("GET", "/");
    for number in 0..110 {
        many = many.header(&format!("x-{number}"), "v");
    }
    gateway.refuses_request("110 fields", many, (431, "")).await;
    let metadata = s3("PUT", "/bucket/x").header("x-amz-meta-a", &"v".repeat(2049));
    gateway.refuses_request("metadata of 2,049 bytes", metadata, (400, "MetadataTooLarge")).await;
    let vast = (6_u64 << 30).to_string();
    let put = s3("PUT", "/bucket/x").header("content-length", &vast);
    gateway.refuses_request("an object of 6 GiB", put, (400, "EntityTooLarge")).await;
    let part = s3("PUT", &format!("/bucket/up?partNumber=1&uploadId={id}"))
        .header("content-length", &vast);
    gateway.refuses_request("a part of 6 GiB", part, (400, "EntityTooLarge")).await;
    for number in ["0", "10001", "-1", "1e3", "99999999999999999999", ""] {
        let part = s3("PUT", &format!("/bucket/up?partNumber={number}&uploadId={id}")).body(b"x");
        gateway.refuses_request(&format!("part {number:?}"), part, argument).await;
    }
    for number in ["-1", "many", "99999999999999999999999"] {
        gateway
            .refuses_request(number, s3("GET", &format!("/bucket?max-keys={number}")), argument)
            .await;
        gateway
            .refuses_request(number, chunk_api("GET", &format!("/backups?limit={number}")), bad)
            .await;
        gateway
            .refuses_request(number, chunk_api("GET", &format!("/backups/a/chunks/{number}")), bad)
            .await;
    }
    gateway
        .refuses_request(
            "JSON of 70,000 bytes",
            chunk_api("POST", "/backups").body(&[b' '; 70_000]),
            bad,
        )
        .await;
    for (field, value) in
        [("key", "k".repeat(1025)), ("fileId", "f".repeat(257)), ("contentType", "t".repeat(257))]
    {
        let mut create = json!({"bucket": "bucket", "key": "x", "chunkSize": 5 << 20});
        create[field] = json!(value);
        gateway.refuses_request(field, chunk_api("POST", "/backups").json(&create), bad).await;
    }
}

#[tokio::test]
async fn forms_above_their_limits_are_refused() {
    let mut gateway = Target::new("sizes of forms").await;
    let malformed = (400, "MalformedPOSTRequest");
    gateway
        .refuses_request(
            "a field of 70,000 bytes",
            form("x", &[("x-ignore-a", &"v".repeat(70_000))]),
            malformed,
        )
        .await;
    let names: Vec<String> = (0..2000).map(|number| format!("x-ignore-{number}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    gateway.refuses_request("2,000 fields", form("x", &fields), malformed).await;
    gateway
        .refuses_request(
            "one field twice",
            form("x", &[("x-ignore-a", ""), ("x-ignore-a", "")]),
            malformed,
        )
        .await;
}
