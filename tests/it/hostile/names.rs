//! Names that would lead out of their bucket if they were used as paths: in targets, copy sources,
//! documents, forms and JSON, on a store in memory and on a directory.

use std::path::Path;
use std::sync::Arc;

use ratchet::clock::Clock;
use ratchet::store::dir::Dir;
use serde_json::json;

use super::Target;
use crate::support::form::form;
use crate::support::request::{chunk_api, s3};

/// The entries of a directory except `store`.
fn entries_besides_store(home: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(home)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != "store")
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn no_name_leads_out_of_its_bucket() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("canary"), "alive").unwrap();
    let dir = Dir::open(&home.path().join("store"), Clock::seeded(3)).unwrap();
    for mut gateway in [
        Target::new("names, in memory").await,
        Target::on(Arc::new(dir), "names, in a directory").await,
    ] {
        check_refused_names(&mut gateway).await;
        check_refused_keys_and_ids(&mut gateway).await;
        check_literal_names(&gateway).await;
    }
    assert_eq!(entries_besides_store(home.path()), ["canary"]);
    assert_eq!(std::fs::read_to_string(home.path().join("canary")).unwrap(), "alive");
}

async fn check_refused_names(gateway: &mut Target) {
    let (argument, bucket, uri) =
        ((400, "InvalidArgument"), (400, "InvalidBucketName"), (400, "InvalidURI"));
    let targets = [
        ("/bucket/../ratchet-state/v1/k", argument),
        ("/bucket/../../canary", argument),
        ("/bucket/a/../../../canary", argument),
        ("/bucket/a/..", argument),
        ("/bucket/%2e%2e/canary", argument),
        ("/bucket/%2E./canary", argument),
        ("/bucket/..%2Fcanary", argument),
        ("/bucket/%2e%2e%2f%2e%2e%2fcanary", argument),
        ("/bucket/a%00b", argument),
        ("/bucket%2F..%2Fratchet-state/k", bucket),
        ("/../canary", bucket),
        ("/%2e%2e/canary", bucket),
        ("/./bucket/x", bucket),
        ("/bucket%00/x", bucket),
        ("/BUCKET/x", bucket),
        ("/%5Fratchet/v1/backups", bucket),
        ("//bucket/x", uri),
        ("/bucket/%", uri),
        ("/bucket/%zz", uri),
        ("/bucket/%ff", uri),
        ("/bucket/%c0%ae%c0%ae/x", uri),
        ("/ratchet-state/v1/k", (404, "NoSuchBucket")),
        ("/ratchet%2Dstate/v1/k", (404, "NoSuchBucket")),
        ("/_ratchet/v1/../../bucket/x", (404, "not-found")),
        ("/_ratchet/v1/backups/..%2F..", (405, "method-not-allowed")),
    ];
    for (target, expected) in targets {
        let method = if expected.0 == 405 { "POST" } else { "PUT" };
        gateway.refuses_request(target, s3(method, target).body(b"x"), expected).await;
    }
    for source in
        ["/bucket/../ratchet-state/v1/k", "bucket/%2e%2e/k", "/bucket/a%00", "/../k", "k", ""]
    {
        gateway
            .refuses_request(
                source,
                s3("PUT", "/bucket/x").header("x-amz-copy-source", source),
                argument,
            )
            .await;
    }
}

async fn check_refused_keys_and_ids(gateway: &mut Target) {
    let argument = (400, "InvalidArgument");
    for key in ["../k", "a/../k", "a\0"] {
        let create = json!({"bucket": "bucket", "key": key, "chunkSize": 5 << 20});
        gateway
            .refuses_request(key, chunk_api("POST", "/backups").json(&create), (400, "bad-request"))
            .await;
        gateway.refuses_request(key, form(key, &[]), argument).await;
        let document =
            format!("<Delete><Object><Key>{}</Key></Object></Delete>", key.replace('\0', "&#0;"));
        let response =
            gateway.accepts(key, s3("POST", "/bucket?delete=").body(document.as_bytes())).await;
        assert_eq!(response.code(), "InvalidArgument", "{key:?}: {response:?}");
    }
    for id in ["../x", "..", "a/b", "%00"] {
        let id = id.replace('/', "%2F");
        gateway
            .refuses_request(&id, chunk_api("GET", &format!("/backups/{id}")), (400, "bad-request"))
            .await;
        let part = s3("GET", &format!("/bucket/k?uploadId={id}"));
        gateway.refuses_request(&id, part, (404, "NoSuchUpload")).await;
    }
    let query = s3("PUT", "/bucket/k?tagging&partNumber=1&uploadId=x").body(b"x");
    gateway.refuses_request("two subresources", query, argument).await;
    gateway
        .refuses_request(
            "one parameter twice",
            s3("GET", "/bucket?prefix=a&prefix=b"),
            (400, "InvalidRequest"),
        )
        .await;
}

async fn check_literal_names(gateway: &Target) {
    let keys = [
        ("/bucket//etc/passwd", "/etc/passwd"),
        ("/bucket/a//b", "a//b"),
        ("/bucket/./a", "./a"),
        ("/bucket/...", "..."),
        ("/bucket/..a/b..", "..a/b.."),
        ("/bucket/a%5C..%5Cb", "a\\..\\b"),
        ("/bucket/a%2Fb", "a/b"),
        ("/bucket/line%0D%0Afeed", "line\r\nfeed"),
        ("/bucket/%7F%1B%5B2J", "\u{7f}\u{1b}[2J"),
        ("/bucket/%E2%80%AEtxt", "\u{202e}txt"),
        ("/bucket/%2525", "%25"),
        ("/bucket/a+b%20c", "a+b c"),
    ];
    for (target, key) in keys {
        gateway.accepts(target, s3("PUT", target).body(b"literal")).await;
        gateway.assert_object_is(key, b"literal").await;
    }
    let listed = gateway.accepts("a list", s3("GET", "/bucket?prefix=line")).await;
    let listed = String::from_utf8(listed.body).unwrap();
    assert!(listed.contains("<Key>line&#13;\nfeed</Key>"), "{listed}");
}
