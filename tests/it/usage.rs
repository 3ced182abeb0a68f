//! How much was sent, how much the store had, how much it needs, and what shares bytes with what:
//! on each store, through the calls of the gateway and as the commands print it.

use std::fs;
use std::process::{Command, Output, Stdio};

use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ratchet::digest::Sha256;
use ratchet::upload::{
    ChunkClaim, NewBackup, NewUpload, PartAdmission, PartClaim, Session, Uploads,
};

use serde_json::{Value, json};

use crate::support::client::{Setup, on_each_store, text};
use crate::support::fleet::{chosen, part_number};
use crate::support::lab::{self, Lab, pattern};
use crate::support::process::{Gateway, KEY, PROGRAM};
use crate::support::terminal::Terminal;

const PART: usize = 5 << 20;
const ACCOUNT: &str = "home";

async fn each_store(test: impl AsyncFn(Lab)) {
    for lab in [lab::memory().await, lab::dir().await, lab::s3().await].into_iter().flatten() {
        test(lab).await;
    }
}

/// Four parts of a file, each other than the next.
fn parts(salt: u8) -> Vec<Bytes> {
    (0..4).map(|at| pattern(PART + usize::from(at), salt.wrapping_add(at))).collect()
}

fn len(parts: &[Bytes]) -> u64 {
    parts.iter().map(|part| part.len() as u64).sum()
}

async fn upload(gateway: &Uploads, lab: &Lab, key: &str) -> Session {
    let new = NewUpload { bucket: lab.bucket.clone(), key: key.into(), ..NewUpload::default() };
    gateway.create_upload(&ACCOUNT.into(), new).await.unwrap()
}

/// Puts a part as a client that waits for `100 Continue`.
async fn put(session: &Session, number: u32, bytes: &Bytes) {
    let claim = PartClaim {
        sha256: Some(Sha256::of(bytes)),
        len_bytes: bytes.len() as u64,
        waits: true,
        ..PartClaim::default()
    };
    match session.admit_part(part_number(number), claim).await.unwrap() {
        PartAdmission::Known(_) => {}
        PartAdmission::Wanted(permit) => drop(permit.store(bytes.clone().into()).await.unwrap()),
    }
}

async fn complete(session: &Session) {
    let entries = session.part_entries().await.unwrap();
    session.complete_parts(&chosen(&entries)).await.unwrap();
}

/// Sent and known bytes by the records, and sent ones by the root once it is complete.
async fn counted(session: &Session) -> (u64, u64, Option<u64>) {
    let progress = session.progress().await.unwrap();
    let sent = session.root().finished().and_then(|object| object.sent_bytes);
    (progress.sent_bytes, progress.known_bytes, sent)
}

#[tokio::test]
async fn what_the_store_copied_counts_as_known_and_the_rest_as_sent() {
    each_store(async |lab| {
        let gateway = lab.gateway().await;
        let mut bytes = parts(1);
        let first = upload(&gateway, &lab, "disk").await;
        for (number, part) in (1..).zip(&bytes) {
            put(&first, number, part).await;
        }
        assert_eq!(counted(&first).await, (len(&bytes), 0, None));
        complete(&first).await;
        assert_eq!(counted(&first).await, (len(&bytes), 0, Some(len(&bytes))));
        bytes[2] = pattern(PART, 77);
        let changed = PART as u64;
        // By a client of the chunk API, which claims, and then by one of S3.
        let new = NewBackup {
            bucket: lab.bucket.clone(),
            key: "claimed".into(),
            chunk_size: PART as u64,
            size: Some(2 * changed),
            ..NewBackup::default()
        };
        let (_, claimed) = gateway.create(&ACCOUNT.into(), new).await.unwrap();
        let sha256 = Sha256::of(&bytes[0]);
        let claim = ChunkClaim { index: 0, sha256, len_bytes: changed };
        assert_eq!(claimed.claim_chunks(&[claim], false).await.unwrap().copied, 1);
        assert_eq!(counted(&claimed).await, (0, changed, None));
        let second = upload(&gateway, &lab, "disk").await;
        for (number, part) in (1..).zip(&bytes) {
            put(&second, number, part).await;
        }
        complete(&second).await;
        let known = len(&bytes) - changed;
        assert_eq!(counted(&second).await, (changed, known, Some(changed)));
        // Another gateway reads the same from the documents.
        let other = lab.gateway().await;
        let id = second.root().backup_id.clone();
        let read = other.open(&ACCOUNT.into(), &id).await.unwrap();
        assert_eq!(counted(&read).await, (changed, known, Some(changed)));
    })
    .await;
}

#[tokio::test]
async fn what_a_predecessor_recorded_counts_as_known() {
    each_store(async |lab| {
        let gateway = lab.gateway().await;
        let bytes = parts(1);
        let killed = upload(&gateway, &lab, "disk").await;
        put(&killed, 1, &bytes[0]).await;
        put(&killed, 2, &bytes[1]).await;
        killed.abort_and_keep("stopped by its client").await.unwrap();
        let resumed = upload(&gateway, &lab, "disk").await;
        for (number, part) in (1..).zip(&bytes) {
            put(&resumed, number, part).await;
        }
        complete(&resumed).await;
        let (sent, known) = (len(&bytes[2..]), len(&bytes[..2]));
        assert_eq!(counted(&resumed).await, (sent, known, Some(sent)));
    })
    .await;
}

const MIB: u64 = 1 << 20;

/// The path of an object in requests.
fn path(setup: &Setup, key: &str) -> String {
    format!("/{}/{key}", setup.bucket.strip_prefix("s3://").unwrap())
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Backs up a file of three chunks, and again after one of them changed, under another key.
fn two_backups(setup: &Setup) {
    let mut bytes = pattern(15 << 20, 1).to_vec();
    for name in ["monday", "tuesday"] {
        let file = setup.file("disk", &bytes);
        let target = setup.target(&format!("d/{name}"));
        setup.gateway.json(&["backup", text(&file), &target, "--chunk-size", "5MiB"]);
        bytes[7 << 20] ^= 1;
    }
}

#[test]
fn du_and_status_say_what_is_stored_sent_and_known() {
    on_each_store(|setup| {
        let gateway = &setup.gateway;
        two_backups(setup);
        let plain = pattern(1 << 20, 9);
        assert_eq!(gateway.s3(KEY, "PUT", &path(setup, "d/plain"), &plain).0, 200);
        let bucket = setup.bucket.strip_prefix("s3://").unwrap();
        let open = json!({"bucket": bucket, "key": "d/open", "chunkSize": 8 * MIB}).to_string();
        let create = gateway.s3(KEY, "POST", "/_ratchet/v1/backups", open.as_bytes());
        assert_eq!(create.0, 201);
        // What a server needs for its objects, the gateway does not know.
        let on_dir = |bytes: u64| if setup.is_on_directory { json!(bytes) } else { Value::Null };
        let totals = json!({
            "objects": 3, "logicalBytes": 31 * MIB, "storedBytes": on_dir(21 * MIB),
            "dedupRatio": if setup.is_on_directory { json!(1.48) } else { Value::Null },
            "sentBytes": 20 * MIB, "knownBytes": 10 * MIB, "unrecordedBytes": MIB, "openBackups": 1,
        });
        let below = setup.target("d/");
        assert_eq!(gateway.json(&["du", &below]), totals);
        let row = |key: &str, logical: u64, stored: u64, sent: Option<u64>| {
            json!({
                "bucket": bucket, "key": key, "logicalBytes": logical, "storedBytes": on_dir(stored),
                "sentBytes": sent, "knownBytes": sent.map(|sent| logical - sent),
            })
        };
        let (monday, plain) =
            (row("d/monday", 15 * MIB, 15 * MIB, Some(15 * MIB)), row("d/plain", MIB, MIB, None));
        let tuesday = row("d/tuesday", 15 * MIB, 5 * MIB, Some(5 * MIB));
        let rows = lines(&gateway.run(&["du", "--all", &below, "--json"]));
        assert_eq!(rows, [monday, plain, tuesday.clone(), totals]);
        // Alone it needs all of its bytes.
        let alone = gateway.json(&["du", &setup.target("d/tue")]);
        assert_eq!((&alone["storedBytes"], &alone["openBackups"]), (&on_dir(15 * MIB), &json!(0)));
        let shown = String::from_utf8(gateway.run(&["du", "--all", &below]).stdout).unwrap();
        println!("{shown}");
        let stored = if setup.is_on_directory {
            " 15.0 MiB logical   5.0 MiB stored"
        } else {
            " 15.0 MiB logical         ? stored"
        };
        for part in [
            stored,
            "   5.0 MiB sent s3://",
            " 20.0 MiB sent by clients\n",
            "\n 10.0 MiB known",
            "        1 backups in progress",
        ] {
            assert!(shown.contains(part), "{part:?}: {shown}");
        }
        let target = setup.target("d/tuesday");
        let status = gateway.json(&["status", &target]);
        assert_eq!(
            (&status["sentBytes"], &status["knownBytes"]),
            (&json!(5 * MIB), &json!(10 * MIB))
        );
        let status = String::from_utf8(gateway.run(&["status", &target]).stdout).unwrap();
        let expected = "0 missing; 15.0 MiB, of which 5.0 MiB sent and 10.0 MiB known\n";
        assert!(status.contains(expected), "{status}");
        let listed = lines(&gateway.run(&["ls", &target, "--json"]));
        assert_eq!(listed[0]["backup"]["object"]["sentBytes"], json!(5 * MIB));
    });
}

#[test]
fn du_names_what_shares_bytes_with_an_object() {
    on_each_store(|setup| {
        let gateway = &setup.gateway;
        two_backups(setup);
        let (monday, below) = (setup.target("d/monday"), setup.target(""));
        let args = ["du", "--shared-with", &monday, &below];
        if setup.is_on_directory {
            let shown = gateway.run(&args).stdout;
            let expected = format!(" 10.0 MiB shared {}\n", setup.target("d/tuesday"));
            assert_eq!(String::from_utf8(shown).unwrap(), expected);
            let bucket = setup.bucket.strip_prefix("s3://").unwrap();
            let sharer = json!({"bucket": bucket, "key": "d/tuesday", "sharedBytes": 10 * MIB});
            assert_eq!(gateway.json(&args), sharer);
            let none = gateway.run(&["du", "--shared-with", &monday, &setup.target("d/m")]);
            let note = String::from_utf8_lossy(&none.stderr).into_owned();
            assert_eq!((none.status.code(), none.stdout), (Some(0), Vec::new()));
            assert!(note.contains("shares bytes with"), "{note}");
        } else {
            let (code, stderr) = gateway.refused(&args);
            assert_eq!((code, stderr.contains("does not say")), (Some(1), true), "{stderr}");
        }
        let missing = setup.target("d/none");
        let (code, stderr) = gateway.refused(&["du", "--shared-with", &missing, &below]);
        assert_eq!((code, stderr.contains("there is no such object")), (Some(1), true), "{stderr}");
    });
}

#[test]
fn du_says_what_is_wrong_and_escapes_names() {
    on_each_store(|setup| {
        let gateway = &setup.gateway;
        let missing = gateway.run(&["du", "s3://no-bucket-of-this-name", "--json"]);
        let error: Value = serde_json::from_slice(&missing.stderr).unwrap();
        assert_eq!((missing.status.code(), &error["code"]), (Some(1), &json!("no-such-bucket")));
        assert!(missing.stdout.is_empty(), "{missing:?}");
        let (code, _) = gateway.refused(&["du", "bucket/key"]);
        assert_eq!(code, Some(2));
        let (code, _) = gateway.refused(&["du", "--all", "--shared-with", "s3://b/k", "s3://b"]);
        assert_eq!(code, Some(2));
        gateway.json(&["mb", &setup.bucket]);
        let empty = gateway.run(&["du", &setup.bucket]);
        let note = String::from_utf8_lossy(&empty.stderr).into_owned();
        assert_eq!((empty.status.code(), note.contains("there is nothing below")), (Some(0), true));
        assert!(
            String::from_utf8(empty.stdout).unwrap().starts_with("      0 B logical"),
            "{note}"
        );
        let name = path(setup, "clear%1B%5B2J");
        assert_eq!(gateway.s3(KEY, "PUT", &name, b"x").0, 200);
        let (code, rows) =
            Terminal::run(&gateway.client(&["du", "--all", &setup.bucket]), 200).end();
        let screen = rows.join("\n");
        assert_eq!((code, screen.contains("clear\\u{1b}[2J")), (Some(0), true), "{screen}");
    });
}

#[test]
fn pages_of_the_usage_call_have_each_object_once() {
    on_each_store(|setup| {
        let gateway = &setup.gateway;
        gateway.json(&["mb", &setup.bucket]);
        for key in ["p/a", "p/b", "p/c", "q"] {
            assert_eq!(gateway.s3(KEY, "PUT", &path(setup, key), b"x").0, 200);
        }
        let bucket = setup.bucket.strip_prefix("s3://").unwrap();
        let first = format!("/_ratchet/v1/usage?bucket={bucket}&prefix=p%2F&limit=1");
        let (mut page, mut found) = (first.clone(), Vec::new());
        for _ in 0..5 {
            let (status, body) = gateway.s3(KEY, "GET", &page, b"");
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
            let body: Value = serde_json::from_slice(&body).unwrap();
            let objects = body["objects"].as_array().unwrap().clone();
            assert!(objects.len() <= 1, "{body}");
            found.extend(objects.iter().map(|object| object["key"].as_str().unwrap().to_owned()));
            for object in &objects {
                let extents = object.get("extents");
                assert_eq!(extents.cloned(), setup.is_on_directory.then(|| json!([])), "{body}");
            }
            let Some(next) = body["next"].as_str() else { break };
            page = format!("{first}&after={}", utf8_percent_encode(next, NON_ALPHANUMERIC));
        }
        assert_eq!(found, ["p/a", "p/b", "p/c"]);
        for (query, status) in [
            ("", 400),
            ("?bucket=No", 400),
            ("?bucket=bucket&limit=0", 400),
            ("?bucket=bucket&after=x", 400),
            ("?bucket=bucket&delimiter=%2F", 400),
            ("?bucket=ratchet-state", 404),
            ("?bucket=no-bucket-of-this-name", 404),
        ] {
            let target = format!("/_ratchet/v1/usage{query}");
            assert_eq!(gateway.s3(KEY, "GET", &target, b"").0, status, "{query}");
        }
    });
}

const ACCOUNTS: &str = r#"
[[account]]
name = "ops"
root = true
[[account.key]]
id = "OPS"
secret = "ops-secret-0123456789"
[[account]]
name = "reader"
[[account.key]]
id = "READER"
secret = "reader-secret-0123456789"
[[account.grant]]
bucket = "bucket"
prefix = "mine/"
access = "read"
"#;

const OPS: (&str, &str) = ("OPS", "ops-secret-0123456789");
const READER: (&str, &str) = ("READER", "reader-secret-0123456789");

#[test]
fn nobody_learns_that_objects_they_may_not_list_share_bytes() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("ratchet.toml");
    fs::write(&config, ACCOUNTS).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0", "--store", "dir:store", "--config"]);
    command.arg(&config).current_dir(home.path()).stderr(Stdio::null());
    let gateway = Gateway::spawn(command);
    let run = |(id, secret): (&str, &str), args: &[&str]| {
        let mut command = gateway.client(args);
        command.envs([("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)]);
        command.output().unwrap()
    };
    let file = home.path().join("file");
    fs::write(&file, pattern(15 << 20, 1)).unwrap();
    let mine = "s3://bucket/mine/disk";
    assert!(run(OPS, &["backup", text(&file), mine]).status.success());
    assert!(run(OPS, &["mb", "s3://secret"]).status.success());
    let usage = "/_ratchet/v1/usage?bucket=bucket&prefix=mine%2F";
    let before = gateway.s3(READER, "GET", usage, b"");
    let shown = run(READER, &["du", "--all", "s3://bucket/mine/", "--json"]);
    assert_eq!((before.0, lines(&shown).len()), (200, 2));
    for to in ["/secret/copy", "/bucket/theirs/copy"] {
        let source = [("x-amz-copy-source", "bucket/mine/disk")];
        assert_eq!(gateway.s3_with(OPS, "PUT", to, &source, b"").0, 200);
    }
    assert_eq!(gateway.s3(READER, "GET", usage, b""), before);
    assert_eq!(run(READER, &["du", "--all", "s3://bucket/mine/", "--json"]), shown);
    for outside in ["s3://bucket", "s3://bucket/theirs/", "s3://secret", "s3://missing"] {
        for args in [&["du", outside][..], &["du", "--shared-with", mine, outside]] {
            let output = run(READER, &[args, &["--json"]].concat());
            let error: Value = serde_json::from_slice(&output.stderr).unwrap();
            assert_eq!(
                (output.status.code(), &error["code"]),
                (Some(1), &json!("forbidden")),
                "{args:?}"
            );
            assert!(output.stdout.is_empty(), "{args:?}");
        }
    }
    // Who may list both sees it.
    let shared = run(OPS, &["du", "--shared-with", mine, "s3://secret", "--json"]);
    let copy = json!({"bucket": "secret", "key": "copy", "sharedBytes": 15 * MIB});
    assert_eq!(lines(&shared), [copy]);
}
