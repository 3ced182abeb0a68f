//! The chunk API over a socket: every problem, and that a refused request changes nothing.

use std::time::Duration;

use ratchet::digest::Sha256;
use ratchet::store::{GetOptions, GetRange, Store};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::gateway::{Gateway, LIMITED, OTHER, READER, ROOT, settings, start};
use crate::support::request::{Request, chunk_api};
use crate::support::response::{Response, exchange};

const CHUNK: usize = 5 << 20;

/// All headers that a response may have, so that a new header is added deliberately.
const ALLOWED_HEADERS: &[&str] = &[
    "allow",
    "connection",
    "content-digest",
    "content-length",
    "content-type",
    "date",
    "etag",
    "location",
    "retry-after",
    "transfer-encoding",
    "www-authenticate",
    "x-amz-request-id",
    "x-amz-retry-after",
];

fn bytes(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

/// The document that creates a backup of one full chunk and a last chunk of 100 bytes.
fn new_backup() -> Value {
    json!({"bucket": "bucket", "key": "mine/key", "chunkSize": CHUNK, "size": CHUNK + 100, "fileId": "file"})
}

async fn create_backup(gateway: &Gateway) -> String {
    let response = chunk_api("POST", "/backups").json(&new_backup()).send(gateway).await;
    assert!(response.status == 200 || response.status == 201, "{response:?}");
    response.json()["backupId"].as_str().unwrap().to_owned()
}

fn put_chunk(id: &str, index: u64, body: &[u8]) -> Request {
    chunk_api("PUT", &format!("/backups/{id}/chunks/{index}")).body(body).digest_of(body)
}

async fn recorded_chunks(gateway: &Gateway, id: &str) -> Value {
    chunk_api("GET", &format!("/backups/{id}")).send(gateway).await.json()["chunks"].clone()
}

#[tokio::test]
async fn a_backup_is_created_filled_finalized_and_read() {
    let gateway = start(settings()).await;
    let id = create_backup(&gateway).await;
    assert_eq!(create_backup(&gateway).await, id, "the same file is the same backup");
    let (first, last) = (bytes(1, CHUNK), bytes(2, 100));
    let response = put_chunk(&id, 1, &last).send(&gateway).await;
    assert_eq!(response.status, 201, "{response:?}");
    assert_eq!(response.json(), json!({"index": 1, "checksum": Sha256::of(&last).to_string()}));
    let missing =
        chunk_api("GET", &format!("/backups/{id}?view=missing")).send(&gateway).await.json();
    assert_eq!(
        (&missing["stored"], &missing["remaining"], &missing["missing"]),
        (&json!(1), &json!(1), &json!([[0, 0]]))
    );
    let response = chunk_api("POST", &format!("/backups/{id}/finalize")).send(&gateway).await;
    assert_eq!((response.status, response.problem().as_str()), (409, "incomplete"));
    assert_eq!(response.json()["missing"], json!([[0, 0]]));
    assert_eq!(put_chunk(&id, 0, &first).send(&gateway).await.status, 201);
    assert_eq!(put_chunk(&id, 0, &first).send(&gateway).await.status, 200);
    let response = chunk_api("GET", &format!("/backups/{id}/chunks/0")).send(&gateway).await;
    assert_eq!(response.problem(), "not-open");
    let finalize = chunk_api("POST", &format!("/backups/{id}/finalize")).json(&json!({}));
    let response = finalize.clone().send(&gateway).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(
        finalize.send(&gateway).await.json(),
        response.json(),
        "a repeated finalize returns the same response"
    );
    let read = GetRange::Whole;
    let (_, body) = gateway
        .store
        .get(&"bucket".into(), &"mine/key".into(), read, GetOptions::default())
        .await
        .unwrap();
    assert_eq!(body.collect(2 * CHUNK).await.unwrap(), [first.clone(), last.clone()].concat());
    for (index, chunk) in [(0, &first), (1, &last)] {
        let response =
            chunk_api("GET", &format!("/backups/{id}/chunks/{index}")).send(&gateway).await;
        assert_eq!((response.status, &response.body), (200, chunk));
        let digest = format!("sha-256=:{}:", Sha256::of(chunk).base64());
        assert_eq!(response.header("content-digest"), Some(digest.as_str()));
    }
    let response = put_chunk(&id, 1, &bytes(3, 100)).send(&gateway).await;
    assert_eq!(response.problem(), "not-open");
    let options = ratchet::store::PutOptions::default();
    gateway
        .store
        .put(&"bucket".into(), &"mine/key".into(), bytes(9, 10).into(), options)
        .await
        .unwrap();
    let response = chunk_api("GET", &format!("/backups/{id}/chunks/0")).send(&gateway).await;
    assert_eq!((response.status, response.problem().as_str()), (409, "object-changed"));
}

#[tokio::test]
async fn the_manifest_lists_its_chunks_and_has_an_etag() {
    let gateway = start(settings()).await;
    let id = create_backup(&gateway).await;
    assert_eq!(put_chunk(&id, 1, &bytes(2, 100)).send(&gateway).await.status, 201);
    let response = chunk_api("GET", &format!("/backups/{id}")).send(&gateway).await;
    let manifest: ratchet::api::Manifest = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(manifest.summary.backup_id, id);
    assert_eq!(
        manifest.chunks.into_iter().collect::<Vec<_>>(),
        [("1".to_owned(), Sha256::of(&bytes(2, 100)).to_string())]
    );
    let tag = response.header("etag").unwrap().to_owned();
    let get_if_none_match =
        |tag: &str| chunk_api("GET", &format!("/backups/{id}")).header("if-none-match", tag);
    let response = get_if_none_match(&tag).send(&gateway).await;
    assert_eq!((response.status, response.header("etag")), (304, Some(tag.as_str())));
    assert_eq!(get_if_none_match("\"other\"").send(&gateway).await.status, 200);
    assert_eq!(put_chunk(&id, 0, &bytes(1, CHUNK)).send(&gateway).await.status, 201);
    assert_eq!(
        get_if_none_match(&tag).send(&gateway).await.status,
        200,
        "another chunk changes the ETag"
    );
}

#[tokio::test]
async fn a_bad_chunk_gets_its_problem_and_changes_nothing() {
    let gateway = start(settings()).await;
    let id = create_backup(&gateway).await;
    let (good, other) = (bytes(2, 100), bytes(3, 100));
    assert_eq!(put_chunk(&id, 1, &good).send(&gateway).await.status, 201);
    let before = recorded_chunks(&gateway, &id).await;
    let path = format!("/backups/{id}/chunks/0");
    let whole = bytes(1, CHUNK);
    let mut streaming = put_chunk(&id, 0, &whole);
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD".clone_into(&mut streaming.payload);
    let mut another_hash = put_chunk(&id, 0, &whole);
    another_hash.payload = Sha256::of(&good).hex();
    let mut expired = put_chunk(&id, 0, &whole);
    "20231114T010000Z".clone_into(&mut expired.date);
    let refused = [
        (put_chunk(&id, 1, &other), 409, "checksum-conflict"),
        (put_chunk(&id, 0, &good), 400, "chunk-size-mismatch"),
        (put_chunk(&id, 0, &bytes(1, CHUNK + 1)), 400, "chunk-size-mismatch"),
        (put_chunk(&id, 2, &good), 404, "no-such-chunk"),
        (chunk_api("PUT", &path).body(&whole).digest_of(&good), 422, "checksum-mismatch"),
        (chunk_api("PUT", &path).body(&whole), 400, "bad-request"),
        (
            chunk_api("PUT", &path).body(&whole).header("content-digest", "sha-256=abc"),
            400,
            "bad-request",
        ),
        (
            chunk_api("PUT", &path)
                .header("transfer-encoding", "chunked")
                .body(b"0\r\n\r\n")
                .digest_of(b""),
            411,
            "length-required",
        ),
        (streaming, 400, "bad-request"),
        (another_hash, 400, "bad-request"),
        (expired, 401, "unauthorized"),
        (put_chunk(&id, 0, &whole).signed_by(None), 401, "unauthorized"),
        (
            put_chunk(&id, 0, &whole).signed_by(Some((ROOT.0, "wrong-secret-0123"))),
            401,
            "unauthorized",
        ),
        (put_chunk(&id, 0, &whole).signed_by(Some(("AKNOBODY", ROOT.1))), 401, "unauthorized"),
        (put_chunk(&id, 0, &whole).signed_by(Some(OTHER)), 403, "forbidden"),
        (put_chunk(&id, 0, &whole).signed_by(Some(READER)), 403, "forbidden"),
        (put_chunk("absent", 0, &whole), 404, "no-such-backup"),
        (put_chunk("a.b", 0, &whole), 400, "bad-request"),
    ];
    for (request, status, problem) in refused {
        let what = format!("{} by {:?} {:?}", request.target, request.key, request.headers);
        let response = request.send(&gateway).await;
        assert_eq!(
            (response.status, response.problem().as_str()),
            (status, problem),
            "{what}: {response:?}"
        );
    }
    assert_eq!(recorded_chunks(&gateway, &id).await, before);
    assert_eq!(
        put_chunk(&id, 0, &whole).send(&gateway).await.status,
        201,
        "the right chunk is still accepted"
    );
}

#[tokio::test]
async fn a_truncated_chunk_is_not_recorded() {
    let gateway = start(settings()).await;
    let id = create_backup(&gateway).await;
    let whole = bytes(1, CHUNK);
    let head = put_chunk(&id, 0, &whole).head(gateway.address);
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&whole[..CHUNK / 2]).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut rest = Vec::new();
    // The gateway may respond or just close the connection; in both cases nothing is recorded.
    drop(socket.read_to_end(&mut rest).await);
    assert_eq!(recorded_chunks(&gateway, &id).await, json!({}));
    assert_eq!(put_chunk(&id, 0, &whole).send(&gateway).await.status, 201);
}

#[tokio::test]
async fn a_known_chunk_gets_its_response_before_its_body_is_requested() {
    let gateway = start(settings()).await;
    let id = create_backup(&gateway).await;
    let whole = bytes(1, CHUNK);
    let head = put_chunk(&id, 0, &whole).header("expect", "100-continue").head(gateway.address);
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    socket.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(&whole).await.unwrap();
    assert_eq!(Response::read(&mut socket).await.status, 201);
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.0 200 OK\r\n"), "{response}");
    assert!(response.contains("connection: close\r\n"), "{response}");
    assert!(!response.contains("content-length"), "it ends with its connection: {response}");
}

#[tokio::test]
async fn a_client_that_stops_sending_is_cut_off() {
    let mut settings = settings();
    settings.web.body_idle = Duration::from_millis(50);
    let gateway = start(settings).await;
    let id = create_backup(&gateway).await;
    let whole = bytes(1, CHUNK);
    let head = put_chunk(&id, 0, &whole).head(gateway.address);
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let response = Response::read(&mut socket).await;
    assert_eq!((response.status, response.problem().as_str()), (408, "request-timeout"));
    assert_eq!(response.header("connection"), Some("close"));
}

#[tokio::test]
async fn every_field_of_a_create_is_checked() {
    let gateway = start(settings()).await;
    let with = |name: &str, value: Value| {
        let mut body = new_backup();
        body[name] = value;
        chunk_api("POST", "/backups").json(&body)
    };
    let mut hashed = chunk_api("POST", "/backups").json(&new_backup());
    hashed.payload = Sha256::of(b"another body").hex();
    let refused = [
        (with("bucket", json!("Not_A_Bucket")), 400, "bad-request", "bucket"),
        (with("bucket", json!("ratchet-state")), 404, "no-such-bucket", "ratchet-state"),
        (with("bucket", json!("absent")).signed_by(Some(LIMITED)), 403, "forbidden", "absent"),
        (with("key", json!("")), 400, "bad-request", "key"),
        (with("key", json!("theirs/key")).signed_by(Some(LIMITED)), 403, "forbidden", "bucket"),
        (with("key", json!("mine/key")).signed_by(Some(READER)), 403, "forbidden", "bucket"),
        (with("chunkSize", json!(0)), 400, "bad-request", "chunkSize"),
        (with("chunkSize", json!(1.5)), 400, "bad-request", "1.5"),
        (with("size", json!(1e300)), 400, "bad-request", "whole number"),
        (with("colour", json!("red")), 400, "bad-request", "colour"),
        (with("digest", json!("md5")), 400, "bad-request", "digest"),
        (with("metadata", json!({"a": "v".repeat(3000)})), 400, "bad-request", "metadata"),
        (with("fileId", json!("f".repeat(300))), 400, "bad-request", "fileId"),
        (chunk_api("POST", "/backups").body(&vec![b' '; 70_000]), 400, "bad-request", "65536"),
        (chunk_api("POST", "/backups").body(b"{"), 400, "bad-request", "body"),
        (hashed, 400, "bad-request", "SHA-256"),
        (chunk_api("POST", "/backups?x=1").json(&new_backup()), 400, "bad-request", "\"x\""),
        (chunk_api("PUT", "/backups/a%2Fb").json(&new_backup()), 400, "bad-request", "backupId"),
    ];
    for (request, status, problem, mentioned) in refused {
        let response = request.send(&gateway).await;
        let detail = response.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (response.status, response.problem().as_str()),
            (status, problem),
            "{response:?}"
        );
        assert!(detail.contains(mentioned), "{detail} does not mention {mentioned}");
    }
    let response = with("chunkSize", json!(8_388_608.0)).send(&gateway).await;
    assert_eq!(response.status, 201, "1.0 is an integer of JSON Schema: {response:?}");
    let response = with("bucket", json!("made-for-root")).send(&gateway).await;
    assert_eq!(
        response.status, 201,
        "for an administrator a missing bucket is created: {response:?}"
    );
    assert_eq!(
        chunk_api("POST", "/backups")
            .json(&new_backup())
            .signed_by(Some(LIMITED))
            .send(&gateway)
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn an_id_that_the_client_chooses_is_used_or_conflicts() {
    let gateway = start(settings()).await;
    let create = |body: &Value| chunk_api("PUT", "/backups/my-id").json(body);
    let response = create(&new_backup()).send(&gateway).await;
    assert_eq!(
        (response.status, response.header("location")),
        (201, Some("/_ratchet/v1/backups/my-id"))
    );
    assert_eq!(create(&new_backup()).send(&gateway).await.status, 200);
    let mut other = new_backup();
    other["fileId"] = json!("another");
    let response = create(&other).send(&gateway).await;
    assert_eq!((response.status, response.problem().as_str()), (409, "backup-conflict"));
}

#[tokio::test]
async fn an_abort_ends_the_backup_and_may_be_repeated() {
    let gateway = start(settings()).await;
    let id = create_backup(&gateway).await;
    let abort = chunk_api("DELETE", &format!("/backups/{id}"));
    assert_eq!(abort.clone().signed_by(Some(OTHER)).send(&gateway).await.problem(), "forbidden");
    assert_eq!(abort.clone().send(&gateway).await.status, 204);
    assert_eq!(abort.send(&gateway).await.status, 204);
    assert_eq!(put_chunk(&id, 1, &bytes(2, 100)).send(&gateway).await.problem(), "not-open");
}

#[tokio::test]
async fn lists_are_filtered() {
    let gateway = start(settings()).await;
    let id = create_backup(&gateway).await;
    let listed =
        |query: &str, key| chunk_api("GET", &format!("/backups{query}")).signed_by(Some(key));
    let ids = |response: Response| -> Vec<String> {
        let list: ratchet::api::BackupList = serde_json::from_slice(&response.body).unwrap();
        list.backups.into_iter().map(|backup| backup.backup_id).collect()
    };
    assert_eq!(ids(listed("", ROOT).send(&gateway).await), std::slice::from_ref(&id));
    for found in ["?bucket=bucket&prefix=mine%2F&fileId=file", "?prefix=mine%2F", "?key=mine%2Fkey"]
    {
        let found = ids(listed(found, ROOT).send(&gateway).await);
        assert_eq!(found, std::slice::from_ref(&id), "{found:?}");
    }
    for other in ["?prefix=other%2F", "?key=mine%2F", "?bucket=bucket&key=mine%2F"] {
        assert!(ids(listed(other, ROOT).send(&gateway).await).is_empty(), "{other}");
    }
    assert!(ids(listed("?status=complete", ROOT).send(&gateway).await).is_empty());
    // Whoever may read the target sees it.
    for by in [OTHER, READER, LIMITED] {
        assert_eq!(ids(listed("", by).send(&gateway).await), std::slice::from_ref(&id), "{by:?}");
    }
    for bad in ["?limit=0", "?limit=1001", "?status=odd", "?what=x"] {
        assert_eq!(listed(bad, ROOT).send(&gateway).await.problem(), "bad-request", "{bad}");
    }
}

#[tokio::test]
async fn presigned_urls_are_verified() {
    let gateway = start(settings()).await;
    let id = create_backup(&gateway).await;
    let get = chunk_api("GET", &format!("/backups/{id}?view=missing"));
    let good = get.clone().presigned(60, gateway.address);
    assert_eq!(exchange(&gateway, &good, b"").await.status, 200);
    let tampered = good.replacen("view=missing", "view=mis5ing", 1);
    assert_eq!(exchange(&gateway, &tampered, b"").await.problem(), "unauthorized");
    let mut old = get;
    "20231114T010000Z".clone_into(&mut old.date);
    assert_eq!(
        exchange(&gateway, &old.presigned(60, gateway.address), b"").await.problem(),
        "unauthorized"
    );
}

#[tokio::test]
async fn probes_metrics_and_the_description_need_no_signature() {
    let gateway = start(settings()).await;
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(
            chunk_api("GET", path).signed_by(None).send(&gateway).await.status,
            200,
            "{path}"
        );
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let mut at_root = chunk_api("GET", "").signed_by(None);
        path.clone_into(&mut at_root.target);
        let response = at_root.send(&gateway).await;
        assert_eq!(response.status, 200, "{path}");
    }
    let response = chunk_api("GET", "/metrics").signed_by(None).send(&gateway).await;
    assert!(String::from_utf8(response.body).unwrap().contains("op=\"healthz\",status=\"200\"} 2"));
    let response = chunk_api("GET", "/nothing").send(&gateway).await;
    assert_eq!((response.status, response.problem().as_str()), (404, "not-found"));
    let response = chunk_api("PATCH", "/backups").send(&gateway).await;
    assert_eq!(
        (response.status, response.problem().as_str(), response.header("allow")),
        (405, "method-not-allowed", Some("GET, POST"))
    );
}

#[tokio::test]
async fn responses_have_no_header_that_is_not_on_the_list() {
    let gateway = start(settings()).await;
    let id = create_backup(&gateway).await;
    let last = bytes(2, 100);
    let requests = [
        chunk_api("POST", "/backups").json(&new_backup()),
        put_chunk(&id, 1, &last),
        put_chunk(&id, 1, &last),
        put_chunk(&id, 1, &bytes(3, 100)),
        chunk_api("GET", &format!("/backups/{id}")),
        chunk_api("GET", "/backups"),
        chunk_api("GET", "/metrics"),
        chunk_api("GET", "/backups").signed_by(None),
        chunk_api("PATCH", "/backups"),
        chunk_api("DELETE", &format!("/backups/{id}")),
    ];
    for request in requests {
        let response = request.send(&gateway).await;
        for (name, value) in &response.headers {
            assert!(ALLOWED_HEADERS.contains(&name.as_str()), "{name}: {value}");
        }
        assert!(
            response.header("x-amz-request-id").is_some_and(|id| id.len() == 32),
            "{response:?}"
        );
    }
}
