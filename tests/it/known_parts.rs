//! Parts of complete objects are not sent again: at the same key and at others, through S3's calls
//! and by claims, on each store, through another gateway, and after the source changed.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::names::Key;
use ratchet::store::{
    GetRange, PutMode, Store,
    faulty::{Call, Faulty, Op},
};
use ratchet::upload::{
    Admission, ChunkClaim, ChunkRange, Claimed, NewBackup, NewUpload, PartAdmission, PartClaim,
    Session, Settings, Uploads,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::text;
use crate::support::fleet::{chosen, part_number};
use crate::support::gateway::{LIMITED, OTHER, ROOT, settings, start};
use crate::support::lab::{self, Lab, pattern};
use crate::support::process::{Gateway, PROGRAM, Relay, same_bytes, stores};
use crate::support::request::{AccessKey, begin_upload, chunk_api, s3, with_signed_body};

const PART: usize = 5 << 20;
const ACCOUNT: &str = "home";

/// Four parts of a file, each other than the next.
fn parts(salt: u8) -> Vec<Bytes> {
    (0..4).map(|at| pattern(PART + usize::from(at), salt.wrapping_add(at))).collect()
}

async fn upload(gateway: &Uploads, lab: &Lab, key: &str) -> Session {
    let new = NewUpload { bucket: lab.bucket.clone(), key: key.into(), ..NewUpload::default() };
    gateway.create_upload(&ACCOUNT.into(), new).await.unwrap()
}

/// Puts a part as a client that waits for `100 Continue`. Returns whether its bytes were needed.
async fn put(session: &Session, at: u32, bytes: &Bytes) -> bool {
    let sha256 = Some(Sha256::of(bytes));
    let len_bytes = bytes.len() as u64;
    let claim = PartClaim { sha256, len_bytes, waits: true, ..PartClaim::default() };
    match session.admit_part(part_number(at), claim).await.unwrap() {
        PartAdmission::Known(entry) => {
            assert_eq!((entry.sha256(), entry.size_bytes), (Sha256::of(bytes), len_bytes));
            false
        }
        PartAdmission::Wanted(permit) => {
            permit.store(bytes.clone().into()).await.unwrap();
            true
        }
    }
}

async fn complete(session: &Session) {
    let entries = session.part_entries().await.unwrap();
    session.complete_parts(&chosen(&entries)).await.unwrap();
}

/// Waits until a gateway has loaded the known parts: a claim waits longer for that than a part of
/// an S3 client can.
async fn load(gateway: &Uploads, lab: &Lab) {
    let session = upload(gateway, lab, "scratch").await;
    let sha256 = Sha256::of(b"unknown");
    let claim = ChunkClaim { index: 0, sha256, len_bytes: PART as u64 };
    session.claim_chunks(&[claim], false).await.unwrap();
    session.abort("only a look").await.unwrap();
}

/// Uploads all parts, and returns the numbers of those whose bytes were needed.
async fn upload_all(gateway: &Uploads, lab: &Lab, key: &str, parts: &[Bytes]) -> Vec<u32> {
    let session = upload(gateway, lab, key).await;
    let mut sent = Vec::new();
    for (number, bytes) in (1..).zip(parts) {
        if put(&session, number, bytes).await {
            sent.push(number);
        }
    }
    complete(&session).await;
    let (_, stored) = lab.get(key, GetRange::Whole).await.unwrap();
    assert!(stored == parts.concat(), "{key}: the object has other bytes");
    sent
}

async fn each_store(test: impl AsyncFn(Lab)) {
    for lab in [lab::memory().await, lab::dir().await, lab::s3().await].into_iter().flatten() {
        test(lab).await;
    }
}

#[tokio::test]
async fn only_what_changed_is_sent_again() {
    each_store(async |lab| {
        let gateway = lab.gateway().await;
        let mut parts = parts(1);
        assert_eq!(upload_all(&gateway, &lab, "disk", &parts).await, [1, 2, 3, 4]);
        parts[2] = pattern(PART, 77);
        assert_eq!(upload_all(&gateway, &lab, "disk", &parts).await, [3]);
        // A gateway that knows nothing yet, and another key; the last part comes first.
        parts.rotate_right(1);
        let other = lab.gateway().await;
        load(&other, &lab).await;
        assert_eq!(upload_all(&other, &lab, "copy", &parts).await, [0_u32; 0]);
    })
    .await;
}

/// A gateway that has seen the upload open knows its parts as soon as another one completed it.
#[tokio::test]
async fn a_gateway_knows_at_once_what_another_one_completed() {
    each_store(async |lab| {
        let (first, second) = (lab.gateway().await, lab.gateway().await);
        let parts = parts(1);
        let session = upload(&first, &lab, "disk").await;
        let id = session.root().backup_id.clone();
        let (account, key) = (ACCOUNT.into(), "disk".into());
        let seen = second.open_upload(&account, &lab.bucket, &key, &id).await.unwrap();
        for (number, bytes) in (1..).zip(&parts) {
            put(if number % 2 == 0 { &seen } else { &session }, number, bytes).await;
        }
        complete(&session).await;
        load(&second, &lab).await;
        assert_eq!(upload_all(&second, &lab, "disk", &parts).await, [0_u32; 0]);
    })
    .await;
}

#[tokio::test]
async fn who_sends_at_once_and_who_may_not_read_the_bucket_find_nothing() {
    let lab = lab::dir().await.unwrap();
    let gateway = lab.gateway().await;
    let parts = parts(1);
    upload_all(&gateway, &lab, "disk", &parts).await;
    let session = upload(&gateway, &lab, "disk").await;
    let sha256 = Some(Sha256::of(&parts[0]));
    let claim = PartClaim { sha256, len_bytes: PART as u64, ..PartClaim::default() };
    let admission = session.admit_part(part_number(1), claim).await.unwrap();
    assert!(matches!(admission, PartAdmission::Wanted(_)));
    let new = NewUpload { bucket: lab.bucket.clone(), key: "x".into(), ..NewUpload::default() };
    let foreign = gateway.create_upload(&"other".into(), new).await.unwrap();
    assert!(put(&foreign, 1, &parts[0]).await, "it is of another account");
    let claim = PartClaim { waits: true, reads_bucket: true, ..claim };
    let admission = foreign.admit_part(part_number(2), claim).await.unwrap();
    assert!(matches!(admission, PartAdmission::Known(_)), "its client may read the bucket");
}

/// Neither what is answered nor the store calls that it takes tell one account of another's bytes.
#[tokio::test]
async fn bytes_of_another_account_cost_the_calls_of_unknown_ones() {
    let lab = lab::memory().await.unwrap();
    let parts = parts(1);
    upload_all(&lab.gateway().await, &lab, "disk", &parts).await;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    let hook = move |call: Call<'_>| {
        // An index may be loaded at any time, of the own account's sessions only.
        if !call.key.contains("/known/") {
            seen.lock().unwrap().push(call.op);
        }
        (Duration::ZERO, None)
    };
    let store = Faulty::new(Arc::clone(&lab.store), Clock::system(), Box::new(hook));
    let gateway = Uploads::new(Arc::new(store), Clock::system(), Settings::default());
    gateway.prepare().await.unwrap();
    load(&gateway, &lab).await;
    let own = upload(&gateway, &lab, "own").await;
    assert!(!put(&own, 1, &parts[0]).await, "this gateway knows what the first account has");

    let ask = async |bytes: &Bytes, key: &str| {
        calls.lock().unwrap().clear();
        let other = "other".into();
        let new = NewUpload { bucket: lab.bucket.clone(), key: key.into(), ..NewUpload::default() };
        let session = gateway.create_upload(&other, new).await.unwrap();
        assert!(put(&session, 1, bytes).await, "{key} is of another account");
        let new = NewBackup {
            bucket: lab.bucket.clone(),
            key: key.into(),
            chunk_size: PART as u64,
            size: Some(6 * PART as u64),
            ..NewBackup::default()
        };
        let (_, backup) = gateway.create(&other, new).await.unwrap();
        let (sha256, len_bytes) = (Sha256::of(bytes), PART as u64);
        let claimed =
            backup.claim_chunks(&[ChunkClaim { index: 3, sha256, len_bytes }], false).await;
        (claimed.unwrap(), std::mem::take(&mut *calls.lock().unwrap()))
    };
    ask(&pattern(PART, 70), "first").await;
    let unknown = ask(&pattern(PART, 71), "second").await;
    assert!(unknown.1.contains(&Op::PutPart), "{unknown:?}");
    assert_eq!(ask(&parts[0], "third").await, unknown);
}

#[tokio::test]
async fn a_source_that_changed_or_is_gone_leads_to_the_bytes() {
    each_store(async |lab| {
        let gateway = lab.gateway().await;
        let parts = parts(9);
        upload_all(&gateway, &lab, "source", &parts).await;
        load(&gateway, &lab).await;
        // It knows of the source before that changes.
        assert!(!put(&upload(&gateway, &lab, "other").await, 1, &parts[0]).await);
        lab.put("source", "another object", PutMode::Overwrite).await.unwrap();
        let session = upload(&gateway, &lab, "other").await;
        for (number, bytes) in (1..).zip(&parts) {
            assert!(put(&session, number, bytes).await, "part {number}");
        }
        complete(&session).await;
        let (_, stored) = lab.get("other", GetRange::Whole).await.unwrap();
        assert!(stored == parts.concat());
    })
    .await;
}

/// The embedded store's files can be damaged; the sender must not be told that it need not send.
#[tokio::test]
async fn damaged_bytes_are_not_taken_for_known_ones() {
    let home = tempfile::tempdir().unwrap();
    let store = ratchet::store::dir::Dir::open(home.path(), Clock::system()).unwrap();
    let bucket = ratchet::names::Bucket::from("bucket");
    store.create_bucket(&bucket).await.unwrap();
    let lab = Lab { store: Arc::new(store), bucket, ..lab::memory().await.unwrap() };
    let gateway = lab.gateway().await;
    let parts = parts(3);
    upload_all(&gateway, &lab, "disk", &parts).await;
    let is_second = |path: &std::path::Path| path.metadata().unwrap().len() == PART as u64 + 1;
    let files = files_below(&home.path().join("data"));
    let second = files.into_iter().find(|path| is_second(path)).unwrap();
    let mut bytes = std::fs::read(&second).unwrap();
    bytes[PART / 2] ^= 1;
    std::fs::write(&second, bytes).unwrap();
    assert_eq!(upload_all(&gateway, &lab, "disk", &parts).await, [2]);
}

fn files_below(path: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    directories.iter().flat_map(|path| files_below(path)).chain(files).collect()
}

#[tokio::test]
async fn claims_record_what_is_known_and_name_the_rest() {
    each_store(async |lab| {
        let gateway = lab.gateway().await;
        let chunks: Vec<Bytes> = (0..6).map(|at| pattern(PART, at)).collect();
        let new = |key: &str, size: usize| NewBackup {
            bucket: lab.bucket.clone(),
            key: key.into(),
            chunk_size: PART as u64,
            size: Some(size as u64),
            ..NewBackup::default()
        };
        let claims = |chunks: &[Bytes]| -> Vec<ChunkClaim> {
            let claim = |(index, bytes): (u64, &Bytes)| ChunkClaim {
                index,
                sha256: Sha256::of(bytes),
                len_bytes: PART as u64,
            };
            (0..).zip(chunks).map(claim).collect()
        };
        let (_, first) = gateway.create(&ACCOUNT.into(), new("one", 6 * PART)).await.unwrap();
        let all = [ChunkRange { first: 0, last: 5 }];
        let claimed = first.claim_chunks(&claims(&chunks), false).await.unwrap();
        assert_eq!(claimed, Claimed { recorded: 0, copied: 0, missing: all.to_vec() });
        for claim in claims(&chunks) {
            let admitted = first.admit(claim.index, claim.sha256, PART as u64).await.unwrap();
            let Admission::Wanted(permit) = admitted else { panic!("nothing is known") };
            permit.store(chunks[claim.index as usize].clone().into()).await.unwrap();
        }
        first.finalize(None).await.unwrap();

        let mut changed = chunks.clone();
        (changed[1], changed[4]) = (pattern(PART, 91), pattern(PART, 94));
        let other = lab.gateway().await;
        let (_, second) = other.create(&ACCOUNT.into(), new("two", 6 * PART)).await.unwrap();
        let missing = vec![ChunkRange { first: 1, last: 1 }, ChunkRange { first: 4, last: 4 }];
        let claimed = second.claim_chunks(&claims(&changed), false).await.unwrap();
        assert_eq!(claimed, Claimed { recorded: 0, copied: 4, missing: missing.clone() });
        let claimed = second.claim_chunks(&claims(&changed), false).await.unwrap();
        assert_eq!(claimed, Claimed { recorded: 4, copied: 0, missing });
        for index in [1, 4] {
            let sha256 = Sha256::of(&changed[index]);
            let admitted = second.admit(index as u64, sha256, PART as u64).await.unwrap();
            let Admission::Wanted(permit) = admitted else { panic!("it is missing") };
            permit.store(changed[index].clone().into()).await.unwrap();
        }
        second.finalize(None).await.unwrap();
        let (_, stored) = lab.get("two", GetRange::Whole).await.unwrap();
        assert!(stored == changed.concat(), "the object has other bytes than were claimed");
    })
    .await;
}

/// The documents of a session that gc forgets take its entry among the known parts along.
#[tokio::test]
async fn what_is_forgotten_is_known_no_more() {
    let lab = lab::dir().await.unwrap();
    let gateway = lab.gateway().await;
    let parts = parts(5);
    upload_all(&gateway, &lab, "disk", &parts).await;
    let entries = || async {
        let options = ratchet::store::ListOptions {
            prefix: format!("v1/{ACCOUNT}/known/"),
            ..ratchet::store::ListOptions::default()
        };
        let page = lab.store.list(&"ratchet-state".into(), &options).await.unwrap();
        page.objects.into_iter().map(|listed| listed.key).collect::<Vec<Key>>()
    };
    assert_eq!(entries().await.len(), 1);
    let records = gateway.session_records(&ACCOUNT.into(), None).await.unwrap().sessions;
    for record in records {
        let root = gateway.root_of(&ACCOUNT.into(), &record.backup_id).await.unwrap().unwrap();
        gateway.forget(&root).await.unwrap();
    }
    assert_eq!(entries().await, [] as [Key; 0]);
    let other = lab.gateway().await;
    assert_eq!(upload_all(&other, &lab, "again", &parts).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_part_of_a_complete_object_is_answered_before_its_body_is_sent() {
    let gateway = start(settings()).await;
    let (one, two) = (pattern(PART, 1), pattern(PART, 2));
    let put = |id: &str, number: u32, bytes: &[u8]| {
        with_signed_body(s3("PUT", &format!("/bucket/k?partNumber={number}&uploadId={id}")), bytes)
    };
    let first = begin_upload(&gateway, "/bucket/k").await;
    let mut list = String::new();
    for (number, bytes) in [(1, &one), (2, &two)] {
        let stored = put(&first, number, bytes).send(&gateway).await;
        let etag = stored.header("etag").unwrap();
        list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let completed = s3("POST", &format!("/bucket/k?uploadId={first}")).body(list.as_bytes());
    assert_eq!(completed.send(&gateway).await.status, 200);

    let second = begin_upload(&gateway, "/bucket/k").await;
    // The parts have changed places, and nothing else.
    for (number, bytes) in [(1, &two), (2, &one)] {
        let head = put(&second, number, bytes).header("expect", "100-continue");
        let mut socket = TcpStream::connect(gateway.address).await.unwrap();
        socket.write_all(head.head(gateway.address).as_bytes()).await.unwrap();
        let mut response = String::new();
        let read = socket.read_to_string(&mut response);
        tokio::time::timeout(Duration::from_secs(30), read).await.unwrap().unwrap();
        assert!(response.starts_with("HTTP/1.0 200 OK\r\n"), "{response}");
    }
    let listed = s3("GET", &format!("/bucket/k?uploadId={second}")).send(&gateway).await;
    let listed = String::from_utf8(listed.body).unwrap();
    assert_eq!(listed.matches("<Part>").count(), 2, "{listed}");
}

/// Root's object, a claim of its chunks by each account, and the same through S3.
#[tokio::test]
async fn parts_of_other_accounts_are_known_to_who_may_read_the_bucket() {
    let gateway = start(settings()).await;
    let chunks = [pattern(PART, 1), pattern(PART, 2)];
    let create = |id: &str, by: AccessKey| {
        let key = format!("mine/{id}");
        let new = json!({"bucket": "bucket", "key": key, "chunkSize": PART, "size": 2 * PART});
        chunk_api("PUT", &format!("/backups/{id}")).json(&new).signed_by(Some(by))
    };
    assert_eq!(create("source", ROOT).send(&gateway).await.status, 201);
    for (index, bytes) in chunks.iter().enumerate() {
        let put = chunk_api("PUT", &format!("/backups/source/chunks/{index}")).body(bytes);
        assert_eq!(put.digest_of(bytes).send(&gateway).await.status, 201);
    }
    let finalize = chunk_api("POST", "/backups/source/finalize").json(&json!({}));
    assert_eq!(finalize.send(&gateway).await.status, 200);

    let claim = |(index, bytes): (usize, &Bytes)| json!({"index": index, "checksum": Sha256::of(bytes).to_string(), "length": PART});
    let claims = json!({"chunks": chunks.iter().enumerate().map(claim).collect::<Vec<_>>()});
    for (id, by, copied) in [("other", OTHER, 2), ("limited", LIMITED, 0), ("own", ROOT, 2)] {
        assert_eq!(create(id, by).send(&gateway).await.status, 201);
        let request = chunk_api("POST", &format!("/backups/{id}/claims")).json(&claims);
        let claimed = request.signed_by(Some(by)).send(&gateway).await;
        assert_eq!(claimed.json()["copied"], copied, "{id}: {claimed:?}");

        let target = format!("/bucket/mine/s3-{id}");
        let begun = s3("POST", &format!("{target}?uploads=")).signed_by(Some(by));
        let begun = String::from_utf8(begun.send(&gateway).await.body).unwrap();
        let upload = begun.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0;
        let put = s3("PUT", &format!("{target}?partNumber=1&uploadId={upload}"));
        let put = with_signed_body(put, &chunks[1]).signed_by(Some(by));
        let mut socket = TcpStream::connect(gateway.address).await.unwrap();
        let head = put.header("expect", "100-continue").head(gateway.address);
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut response = [0; 12];
        socket.read_exact(&mut response).await.unwrap();
        let expected = if copied > 0 { b"HTTP/1.0 200" } else { b"HTTP/1.1 100" };
        assert_eq!(&response, expected, "{id}");
    }
}

#[tokio::test]
async fn wrong_claims_are_refused() {
    let gateway = start(settings()).await;
    let create = json!({"bucket": "bucket", "key": "k", "chunkSize": 5, "size": 12});
    let created = chunk_api("PUT", "/backups/one").json(&create).send(&gateway).await;
    assert_eq!(created.status, 201, "{created:?}");
    let claim = |index: u64, checksum: String, length: u64| {
        let fields = [("index", json!(index)), ("checksum", json!(checksum))];
        let all = fields.into_iter().chain([("length", json!(length))]);
        serde_json::Value::Object(all.map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let sha256 = || Sha256::of(b"hello").to_string();
    let send = |chunks: serde_json::Value| {
        let request = chunk_api("POST", "/backups/one/claims").json(&json!({"chunks": chunks}));
        let gateway = &gateway;
        async move { request.send(gateway).await }
    };
    let good = send(json!([claim(2, sha256(), 2), claim(0, sha256(), 5)])).await;
    let missing = json!({"recorded": 0, "copied": 0, "missing": [[0, 0], [2, 2]]});
    assert_eq!((good.status, good.json()), (200, missing));
    for (chunks, problem) in [
        (json!([claim(0, sha256(), 4)]), "chunk-size-mismatch"),
        (json!([claim(3, sha256(), 5)]), "no-such-chunk"),
        (json!([claim(0, sha256(), 5), claim(0, sha256(), 5)]), "bad-request"),
        (json!([claim(0, "md5:00".to_owned(), 5)]), "bad-request"),
        (json!([{"index": 0, "checksum": sha256()}]), "bad-request"),
        (json!(vec![claim(0, sha256(), 5); 10_001]), "bad-request"),
    ] {
        let refused = send(chunks.clone()).await;
        assert_eq!(refused.problem(), problem, "{:.100}", chunks.to_string());
    }
    let stored = chunk_api("PUT", "/backups/one/chunks/0").body(b"hello").digest_of(b"hello");
    assert_eq!(stored.send(&gateway).await.status, 201);
    let known = send(json!([claim(0, sha256(), 5), claim(1, sha256(), 5)])).await;
    assert_eq!(known.json(), json!({"recorded": 1, "copied": 0, "missing": [[1, 1]]}));
    let other = send(json!([claim(0, Sha256::of(b"other").to_string(), 5)])).await;
    assert_eq!(other.problem(), "checksum-conflict");
}

const KILLED_CHUNKS: usize = 16;

/// Clients and gateways are killed while a backup is made of known parts and one that changed.
#[test]
fn kills_while_known_parts_are_copied_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    for store in stores(home.path()) {
        let bucket = format!("b{}", Clock::system().random_id());
        let wire = Relay::new();
        let mut gateway = Gateway::start(&store).behind(&wire);
        let (first, second) = (home.path().join("first"), home.path().join("second"));
        let mut bytes = pattern(KILLED_CHUNKS * PART, 1).to_vec();
        std::fs::write(&first, &bytes).unwrap();
        bytes[6 * PART] ^= 1;
        std::fs::write(&second, &bytes).unwrap();
        let backup = |file: &std::path::Path, key: &str| {
            let target = format!("s3://{bucket}/{key}");
            let words = ["backup", "--chunk-size", "5M", "--jobs", "2", "--json", text(file)];
            [&words[..], &[&target]].concat().iter().map(|word| (*word).to_owned()).collect()
        };
        let run = |gateway: &Gateway, words: &Vec<String>| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            gateway.client(&words)
        };
        let words: Vec<String> = backup(&first, "first");
        assert!(run(&gateway, &words).output().unwrap().status.success());

        let words: Vec<String> = backup(&second, "second");
        let target = format!("s3://{bucket}/second");
        let before = wire.sent();
        for kill in 0..4 {
            let mut client = run(&gateway, &words).stdout(Stdio::null()).spawn().unwrap();
            let is_under_way = || stored_chunks(&gateway, &target) > kill * 2;
            while client.try_wait().unwrap().is_none() && !is_under_way() {}
            if kill % 2 == 0 {
                gateway.kill();
                gateway = Gateway::start(&store).behind(&wire);
            }
            client.kill().unwrap();
            client.wait().unwrap();
        }
        let last = run(&gateway, &words).output().unwrap();
        assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
        let sent = (wire.sent() - before) as usize;
        // The part that changed was in flight at each kill at the most.
        assert!(sent < 6 * PART, "{sent} bytes were sent on {store}");
        let back = home.path().join("back");
        let restored = gateway.run(&["restore", &target, text(&back)]);
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        assert!(same_bytes(&second, &back), "the restored file differs on {store}");
        std::fs::remove_file(&back).unwrap();
        gateway.kill();
        if let Some(directory) = store.strip_prefix("dir:") {
            let check = ["check", "--store", &store, "--json"];
            let checked = std::process::Command::new(PROGRAM).args(check).output().unwrap();
            assert!(checked.status.success(), "{directory}: {checked:?}");
        }
    }
}

fn stored_chunks(gateway: &Gateway, target: &str) -> u64 {
    let output = gateway.run(&["status", target, "--json"]).stdout;
    let status: Option<serde_json::Value> = serde_json::from_slice(&output).ok();
    status.and_then(|status| status["stored"].as_u64()).unwrap_or(0)
}
