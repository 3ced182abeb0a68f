//! Backups in one request: complete at once, repeatable, conditional, and refused whole.

use ratchet::store::{DeleteOptions, ListOptions, Store};
use serde_json::json;

use crate::support::gateway::{Gateway, ROOT, settings, start};
use crate::support::request::{Request, chunk_api, s3};

const PATH: &str = "/whole?bucket=bucket&key=mine/small&fileId=f&chunkSize=8388608";

fn put(id: &str, body: &[u8]) -> Request {
    chunk_api("PUT", &format!("/backups/{id}{PATH}")).body(body).digest_of(body)
}

/// All documents of the state bucket, without those of leases.
async fn documents(gateway: &Gateway) -> Vec<String> {
    let options = ListOptions { limit: 1000, ..ListOptions::default() };
    let page = gateway.store.list(&"ratchet-state".into(), &options).await.unwrap();
    let keys = page.objects.into_iter().map(|object| object.key.to_string());
    keys.filter(|key| !key.contains("/leases/") && !key.contains("/probe/")).collect()
}

#[tokio::test]
async fn a_backup_in_one_request_is_complete_and_readable() {
    let gateway = start(settings()).await;
    let made = put("one", b"hello").header("x-amz-meta-file-mode", "0644").send(&gateway).await;
    assert_eq!(made.status, 201, "{made:?}");
    let backup = made.json();
    assert_eq!((&backup["status"], &backup["size"]), (&json!("complete"), &json!(5)));
    assert_eq!(backup["metadata"], json!({"file-mode": "0644"}));
    let digests = &backup["object"]["digests"];
    assert!(digests["sha256"].is_string() && digests["sha256-chunks"].is_string(), "{digests}");

    let manifest = chunk_api("GET", "/backups/one").send(&gateway).await.json();
    assert_eq!(manifest["chunks"], json!({"0": digests["sha256"]}));
    assert_eq!(manifest["uneven"], false);
    let missing = chunk_api("GET", "/backups/one?view=missing").send(&gateway).await.json();
    assert_eq!((&missing["stored"], &missing["missing"]), (&json!(1), &json!([])));
    let chunk = chunk_api("GET", "/backups/one/chunks/0").send(&gateway).await;
    assert_eq!(chunk.body, b"hello");
    let listed = chunk_api("GET", "/backups?bucket=bucket&prefix=mine/&status=complete");
    assert_eq!(listed.send(&gateway).await.json()["backups"], json!([backup]));
    let object = s3("GET", "/bucket/mine/small").send(&gateway).await;
    assert_eq!((object.status, object.body.as_slice()), (200, b"hello".as_slice()));
    assert_eq!(object.header("x-amz-meta-file-mode"), Some("0644"));

    // One document and one entry, and nothing that is open.
    let documents = documents(&gateway).await;
    assert_eq!(documents.len(), 2, "{documents:?}");
    let late = chunk_api("PUT", "/backups/one/chunks/0").body(b"hello").digest_of(b"hello");
    assert_eq!(late.send(&gateway).await.problem(), "not-open");
}

#[tokio::test]
async fn an_empty_file_is_backed_up_in_one_request() {
    let gateway = start(settings()).await;
    let backup = put("none", b"").send(&gateway).await;
    assert_eq!((backup.status, &backup.json()["size"]), (201, &json!(0)), "{backup:?}");
    let manifest = chunk_api("GET", "/backups/none").send(&gateway).await.json();
    assert_eq!(manifest["chunks"], json!({}));
    let wrong = chunk_api("PUT", &format!("/backups/wrong{PATH}")).body(b"").digest_of(b"x");
    let wrong = wrong.send(&gateway).await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (422, "checksum-mismatch"));
}

#[tokio::test]
async fn a_repeated_request_has_the_first_result() {
    let gateway = start(settings()).await;
    let absent = |body: &[u8]| put("one", body).header("if-none-match", "*");
    assert_eq!(absent(b"hello").send(&gateway).await.status, 201);
    assert_eq!(absent(b"hello").send(&gateway).await.status, 200);
    let other = absent(b"other").send(&gateway).await;
    assert_eq!((other.status, other.problem().as_str()), (409, "backup-conflict"));
    assert_eq!(s3("GET", "/bucket/mine/small").send(&gateway).await.body, b"hello");

    // As after a crash between object and root.
    let root = "v1/root/sessions/one/manifest.json";
    let (state, options) = ("ratchet-state".into(), DeleteOptions::default());
    gateway.store.delete(&state, &root.into(), &options).await.unwrap();
    let restarted = gateway.another(settings()).await;
    let again = absent(b"hello").send(&restarted).await;
    assert_eq!(again.status, 201, "{again:?}");
}

#[tokio::test]
async fn an_object_is_replaced_only_under_the_condition() {
    let gateway = start(settings()).await;
    let first = put("one", b"first").send(&gateway).await;
    let etag = format!("\"{}\"", first.json()["object"]["etag"].as_str().unwrap());
    let refused = [("if-none-match", "*"), ("if-match", "\"0123\"")];
    for (at, (name, value)) in refused.into_iter().enumerate() {
        let refused = put(&format!("no{at}"), b"second").header(name, value).send(&gateway).await;
        assert_eq!((refused.status, refused.problem().as_str()), (412, "condition-failed"));
    }
    for (name, value) in [("if-none-match", "\"a\""), ("if-match", "*"), ("if-match", "a")] {
        let refused = put("bad", b"second").header(name, value).send(&gateway).await;
        assert_eq!(refused.status, 400, "{name}: {value}");
    }
    assert_eq!(s3("GET", "/bucket/mine/small").send(&gateway).await.body, b"first");
    let replaced = put("two", b"second").header("if-match", &etag).send(&gateway).await;
    assert_eq!(replaced.status, 201);
    assert_eq!(s3("GET", "/bucket/mine/small").send(&gateway).await.body, b"second");
    let gone = chunk_api("GET", "/backups/one/chunks/0").send(&gateway).await;
    assert_eq!(gone.problem(), "object-changed");
}

#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    let gateway = start(settings()).await;
    let path = |query: &str| format!("/backups/one/whole?{query}");
    let table = [
        (path("bucket=bucket&key=k&chunkSize=3"), 400, "bad-request"),
        (path("bucket=bucket&key=k&chunkSize=x"), 400, "bad-request"),
        (path("bucket=bucket&key=k&digest=blake3"), 400, "bad-request"),
        (path("bucket=bucket"), 400, "bad-request"),
        (path("bucket=nothere&key=k"), 404, "no-such-bucket"),
        (path("bucket=ratchet-state&key=k"), 404, "no-such-bucket"),
        ("/backups/a.b/whole?bucket=bucket&key=k".to_owned(), 400, "bad-request"),
    ];
    for (path, status, word) in table {
        let request = chunk_api("PUT", &path).body(b"hello").digest_of(b"hello");
        let refused = request.signed_by(Some(ROOT)).send(&gateway).await;
        assert_eq!((refused.status, refused.problem().as_str()), (status, word), "{path}");
    }
    let damaged = chunk_api("PUT", &path("bucket=bucket&key=k")).body(b"hello").digest_of(b"x");
    let refused = damaged.send(&gateway).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "checksum-mismatch"));
    assert_eq!(s3("GET", "/bucket/k").send(&gateway).await.status, 404);
    assert_eq!(documents(&gateway).await, Vec::<String>::new());
}
