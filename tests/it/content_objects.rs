//! Objects of the layout `content` through the gateway, its commands and S3: on the S3 server,
//! where they are kept in blobs, and on the embedded store, where objects share files anyway.

use std::fs;
use std::process::{Command, Stdio};

use ratchet::clock::Clock;
use serde_json::{Value, json};

use crate::support::client::{Setup, on_each_store, text, wait};
use crate::support::lab::pattern;
use crate::support::process::{Gateway, KEY, PROGRAM};

const MIB: u64 = 1 << 20;
const PART: usize = 5 << 20;

/// The path of an object in requests.
fn path(setup: &Setup, key: &str) -> String {
    format!("/{}/{key}", bucket(setup))
}

fn bucket(setup: &Setup) -> &str {
    setup.bucket.strip_prefix("s3://").unwrap()
}

/// Backs up a file of three chunks, and again under another key after one of them changed.
fn two_backups(setup: &Setup) -> [Vec<u8>; 2] {
    let first = pattern(3 * PART, 1).to_vec();
    let mut second = first.clone();
    second[PART + 7] ^= 1;
    for (name, bytes) in [("monday", &first), ("tuesday", &second)] {
        let (file, target) = (setup.file("disk", bytes), setup.target(&format!("d/{name}")));
        let args = ["backup", text(&file), &target, "--chunk-size", "5MiB", "--layout", "content"];
        setup.gateway.json(&args);
    }
    [first, second]
}

#[test]
fn two_backups_share_what_is_the_same_and_read_as_plain_ones() {
    on_each_store(|setup| {
        let gateway = &setup.gateway;
        let files = two_backups(setup);
        let du = gateway.json(&["du", &setup.target("d/")]);
        let stored = (&du["logicalBytes"], &du["storedBytes"], &du["sentBytes"]);
        assert_eq!(stored, (&json!(30 * MIB), &json!(20 * MIB), &json!(20 * MIB)), "{du}");
        let shared =
            gateway.run(&["du", "--shared-with", &setup.target("d/monday"), &setup.target("d/")]);
        assert!(String::from_utf8(shared.stdout).unwrap().contains("tuesday"));
        for (name, bytes) in ["monday", "tuesday"].iter().zip(&files) {
            let key = format!("d/{name}");
            assert!(setup.restored(&key) == *bytes);
            assert!(gateway.run(&["verify", &setup.target(&key)]).status.success());
            let listed = gateway.json(&["ls", &setup.target(&key)]);
            assert_eq!(listed["backup"]["layout"], json!("content"), "{listed}");
            let (code, all) = gateway.s3(KEY, "GET", &path(setup, &key), b"");
            assert!(code == 200 && all == *bytes);
            let range = format!("bytes={}-{}", PART - 3, 2 * PART + 2);
            let headers = [("range", range.as_str())];
            let (code, part) = gateway.s3_with(KEY, "GET", &path(setup, &key), &headers, b"");
            assert!(code == 206 && part == bytes[PART - 3..2 * PART + 3]);
            let headers = [("range", "bytes=-9")];
            let (code, end) = gateway.s3_with(KEY, "GET", &path(setup, &key), &headers, b"");
            assert!(code == 206 && end == bytes[3 * PART - 9..]);
        }
        let (_, listing) = gateway.s3(KEY, "GET", &format!("/{}?list-type=2", bucket(setup)), b"");
        let listing = String::from_utf8(listing).unwrap();
        assert_eq!(listing.matches("<Size>15728640</Size>").count(), 2, "{listing}");
        // What the listing says is what a condition is compared with.
        let etag = listing.split("&quot;").nth(1).unwrap();
        for (condition, tag, code) in [
            ("if-match", etag, 200),
            ("if-match", "0123", 412),
            ("if-none-match", etag, 304),
            ("if-none-match", "0123", 200),
        ] {
            let quoted = format!("\"{tag}\"");
            let headers = [(condition, quoted.as_str())];
            let (found, _) = gateway.s3_with(KEY, "GET", &path(setup, "d/monday"), &headers, b"");
            assert_eq!(found, code, "{condition}: {tag}");
        }
        let source = path(setup, "d/monday");
        let headers = [("x-amz-copy-source", source.as_str())];
        let copied = gateway.s3_with(KEY, "PUT", &path(setup, "d/copy"), &headers, b"");
        assert_eq!(copied.0, 200, "{}", String::from_utf8_lossy(&copied.1));
        assert!(setup.restored("d/copy") == files[0]);
        let du = gateway.json(&["du", &setup.target("d/")]);
        assert_eq!((&du["logicalBytes"], &du["storedBytes"]), (&json!(45 * MIB), &json!(20 * MIB)));
    });
}

#[test]
fn what_is_removed_comes_back_by_gc_and_the_rest_stays() {
    let Ok(endpoint) = std::env::var("RATCHET_TEST_S3") else {
        println!("SKIP on s3: RATCHET_TEST_S3 names no server");
        return;
    };
    let store = format!("s3+{endpoint}");
    let state = format!("state-{}", Clock::system().random_id());
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--store", &store])
        .envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)])
        .envs([("RATCHET_STATE_BUCKET", state.as_str()), ("RATCHET_GC_ENABLED", "false")])
        .stderr(Stdio::null());
    let setup = Setup {
        home: tempfile::tempdir().unwrap(),
        gateway: Gateway::spawn(command),
        bucket: format!("s3://b{}", Clock::system().random_id()),
        is_on_directory: false,
    };
    let files = two_backups(&setup);
    let gc = |dry: &[&str]| {
        let output = Command::new(PROGRAM)
            .args([&["gc", "--store", &store, "--json"], dry].concat())
            .envs([("RATCHET_STATE_BUCKET", state.as_str()), ("RATCHET_GC_EXPIRE_AFTER_S", "1")])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let report: Option<Value> = text.lines().last().and_then(|l| serde_json::from_str(l).ok());
        report.unwrap_or_default()
    };
    let monday = path(&setup, "d/monday");
    assert_eq!(setup.gateway.s3(KEY, "DELETE", &monday, b"").0, 204);
    // The first sweep finds the recipe unused; it goes in one that is a second later.
    assert_eq!(gc(&[])["bytes"], json!(0));
    let mut announced = json!(0);
    while announced == json!(0) {
        announced = gc(&["--dry-run"])["bytes"].clone();
    }
    // Monday's own chunk; what Tuesday has too stays.
    let mut freed = gc(&[])["bytes"].as_u64().unwrap();
    assert_eq!((freed, announced), (PART as u64, json!(PART)));
    assert!(setup.restored("d/tuesday") == files[1]);
    assert_eq!(setup.gateway.s3(KEY, "DELETE", &path(&setup, "d/tuesday"), b"").0, 204);
    while freed < 20 * MIB {
        freed += gc(&[])["bytes"].as_u64().unwrap_or(0);
    }
    assert_eq!(freed, 20 * MIB);
}

#[test]
fn a_materialized_object_is_plain_and_reads_as_before() {
    on_each_store(|setup| {
        let gateway = &setup.gateway;
        let files = two_backups(setup);
        let target = setup.target("d/monday");
        let (_, head) = gateway.s3(KEY, "GET", &format!("/{}?list-type=2", bucket(setup)), b"");
        let made = gateway.json(&["materialize", &target]);
        let expected = if setup.is_on_directory { json!([]) } else { json!(["d/monday"]) };
        assert_eq!(made["made"], expected);
        let (_, after) = gateway.s3(KEY, "GET", &format!("/{}?list-type=2", bucket(setup)), b"");
        let etags = |listing: &[u8]| {
            let text = String::from_utf8_lossy(listing).into_owned();
            text.split("&quot;").skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(etags(&head), etags(&after));
        assert!(setup.restored("d/monday") == files[0]);
        assert!(gateway.run(&["verify", &target]).status.success());
        let again = gateway.json(&["materialize", &setup.target("d/")]);
        let plain = if setup.is_on_directory { 2 } else { 1 };
        assert_eq!(again["plain"], json!(plain), "{again}");
        assert!(setup.restored("d/tuesday") == files[1]);
        let (code, text) = gateway.refused(&["materialize", &setup.target("d/wednesday")]);
        assert!(code == Some(1) && text.contains("has no object"), "{code:?}: {text}");
    });
}

#[test]
fn uploads_of_s3_tools_are_kept_in_blobs_where_the_settings_say_so() {
    let Ok(endpoint) = std::env::var("RATCHET_TEST_S3") else {
        println!("SKIP on s3: RATCHET_TEST_S3 names no server");
        return;
    };
    let bucket = format!("b{}", Clock::system().random_id());
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--store", &format!("s3+{endpoint}")])
        .envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)])
        .env("RATCHET_CONTENT_TARGETS", format!("{bucket}/images/"))
        .stderr(Stdio::null());
    let gateway = Gateway::spawn(command);
    assert_eq!(gateway.s3(KEY, "PUT", &format!("/{bucket}"), b"").0, 200);
    let parts = [pattern(PART, 1), pattern(PART, 2), pattern(99, 3)];
    let mut etags = Vec::new();
    for key in ["images/disk", "plain"] {
        let target = format!("/{bucket}/{key}");
        let (_, begun) = gateway.s3(KEY, "POST", &format!("{target}?uploads="), b"");
        let begun = String::from_utf8(begun).unwrap();
        let id = begun.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0;
        let mut document = String::new();
        for (number, part) in (1..).zip(&parts) {
            let query = format!("{target}?partNumber={number}&uploadId={id}");
            assert_eq!(gateway.s3(KEY, "PUT", &query, part).0, 200);
        }
        let (_, listed) = gateway.s3(KEY, "GET", &format!("{target}?uploadId={id}"), b"");
        let listed = String::from_utf8(listed).unwrap();
        for (number, part) in (1..).zip(listed.split("<ETag>").skip(1)) {
            let etag = part.split_once('<').unwrap().0;
            document +=
                &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        }
        let document = format!("<CompleteMultipartUpload>{document}</CompleteMultipartUpload>");
        let query = format!("{target}?uploadId={id}");
        let (code, made) = gateway.s3(KEY, "POST", &query, document.as_bytes());
        let made = String::from_utf8(made).unwrap();
        assert_eq!(code, 200, "{made}");
        etags.push(made.split_once("<ETag>").unwrap().1.split_once('<').unwrap().0.to_owned());
        let (code, found) = gateway.s3(KEY, "GET", &target, b"");
        assert!(code == 200 && found == parts.concat());
    }
    assert_eq!(etags[0], etags[1], "the ETag is that of a plain object");
    let du = |prefix: &str| gateway.json(&["du", &format!("s3://{bucket}/{prefix}")]);
    assert_eq!(du("images/")["storedBytes"], json!(2 * PART + 99));
    assert_eq!(du("plain")["storedBytes"], Value::Null);
}

#[test]
fn a_backup_in_blobs_goes_on_after_its_gateway_was_killed() {
    on_each_store(|setup| {
        let Ok(endpoint) = std::env::var("RATCHET_TEST_S3") else { return };
        if setup.is_on_directory {
            return;
        }
        let bytes = pattern(8 * PART, 5).to_vec();
        let (file, target) = (setup.file("disk", &bytes), setup.target("killed"));
        let mut gateway = Gateway::start(&format!("s3+{endpoint}"));
        let options = ["--chunk-size", "5MiB", "--layout", "content", "--jobs", "1"];
        let args = [&["backup", text(&file), &target, "--retry-for", "0"], &options[..]].concat();
        let mut client = gateway.client(&args);
        let mut client = client.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        while setup.stored_chunks("killed") < 3 {
            assert!(client.try_wait().unwrap().is_none(), "{:?}", wait(client));
        }
        gateway.kill();
        assert_ne!(wait(client).0, Some(0));
        let stored = setup.stored_chunks("killed");
        let args = [&["backup", text(&file), &target], &options[..]].concat();
        let report = setup.gateway.json(&args);
        let sent = report["bytesSent"].as_u64().unwrap();
        assert_eq!(sent, (8 - stored) * PART as u64, "{stored} were stored");
        assert!(setup.restored("killed") == bytes);
        fs::remove_file(file).unwrap();
    });
}
