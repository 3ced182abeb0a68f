//! Objects that S3 tools put, and backups whose object is gone: listed, restored and verified as
//! what they are.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::support::client::{Setup, on_each_store, text};
use crate::support::lab::pattern;
use crate::support::process::{Gateway, KEY};

const PART: usize = 5 << 20;

fn s3(gateway: &Gateway, method: &str, target: &str, body: &[u8]) -> String {
    let (status, body) = gateway.s3(KEY, method, target, body);
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!((200..300).contains(&status), "{method} {target}: {status} {body}");
    body
}

/// The text between two tags.
fn between(document: &str, name: &str) -> String {
    let (_, rest) = document.split_once(&format!("<{name}>")).unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

/// Uploads parts of these lengths as an S3 tool does.
fn upload_in_parts(gateway: &Gateway, path: &str, parts: &[&[u8]]) {
    let created = s3(gateway, "POST", &format!("{path}?uploads"), b"");
    let id = between(&created, "UploadId");
    let mut list = String::new();
    for (number, part) in (1..).zip(parts) {
        let target = format!("{path}?partNumber={number}&uploadId={id}");
        s3(gateway, "PUT", &target, part);
    }
    let listed = s3(gateway, "GET", &format!("{path}?uploadId={id}"), b"");
    for (number, rest) in (1..).zip(listed.split("<Part>").skip(1)) {
        let etag = between(rest, "ETag");
        list.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        ));
    }
    let document = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    s3(gateway, "POST", &format!("{path}?uploadId={id}"), document.as_bytes());
}

fn path(setup: &Setup, key: &str) -> String {
    format!("/{}/{key}", setup.bucket.strip_prefix("s3://").unwrap())
}

fn lines(output: Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The key and state of each row.
fn states(setup: &Setup, more: &[&str]) -> Vec<(String, String)> {
    let args = [&["ls", &setup.bucket, "--json"], more].concat();
    let rows = lines(setup.gateway.run(&args));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(&row["key"]), text(&row["state"]))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, state)| ((*key).to_owned(), (*state).to_owned())).collect()
}

#[test]
fn what_s3_tools_put_is_listed_restored_and_verified() {
    on_each_store(|setup| {
        let gateway = &setup.gateway;
        s3(gateway, "PUT", &path(setup, ""), b"");
        let even = pattern(2 * PART + 7, 1);
        let uneven = pattern(2 * PART + 10, 2);
        let whole = pattern((8 << 20) + 1, 3);
        let even_parts: Vec<&[u8]> = even.chunks(PART).collect();
        let (first, rest) = uneven.split_at(PART);
        // As many parts as there would be with the length of the first, but others.
        let (second, third) = rest.split_at(PART + 3);
        upload_in_parts(gateway, &path(setup, "d/even"), &even_parts);
        upload_in_parts(gateway, &path(setup, "d/uneven"), &[first, second, third]);
        s3(gateway, "PUT", &path(setup, "d/whole"), &whole);
        s3(gateway, "PUT", &path(setup, "d/empty"), b"");
        let expected = [("even", &even), ("uneven", &uneven), ("whole", &whole)];
        assert_eq!(
            states(setup, &[]),
            pairs(&[
                ("d/empty", "object"),
                ("d/even", "complete"),
                ("d/uneven", "complete"),
                ("d/whole", "object"),
            ])
        );
        for (name, bytes) in expected {
            let target = setup.target(&format!("d/{name}"));
            let back = setup.home.path().join(name);
            let restored = gateway.json(&["restore", &target, text(&back)]);
            assert!(fs::read(&back).unwrap() == **bytes, "{name}");
            assert_eq!(restored["unchecked"], false, "{name}: {restored}");
            let again = gateway.json(&["restore", &target, text(&back)]);
            assert_eq!(again["bytesRead"], 0, "{name}: {again}");
            let piped = gateway.run(&["restore", &target, "-"]);
            assert!(piped.status.success() && piped.stdout == **bytes, "{name}");
            let range = gateway.run(&["restore", &target, "-", "--range", "5242879-5242881"]);
            assert!(range.stdout == bytes[5_242_879..5_242_882], "{name}");
            let verified = gateway.json(&["verify", &target]);
            let is_backup = name == "even";
            assert_eq!(verified["backupId"].is_string(), is_backup, "{verified}");
            let by = verified["checkedBy"].as_str().unwrap();
            assert_eq!(by.contains("SHA-256 of each chunk"), is_backup, "{name}: {by}");
            assert_eq!(verified["unchecked"], false, "{name}: {verified}");
        }
        let to = setup.home.path().join("to");
        let report = gateway.json(&["restore", &setup.target("d/"), text(&to)]);
        assert_eq!((&report["done"], &report["unchecked"]), (&4.into(), &serde_json::json!([])));
        for (name, bytes) in expected {
            assert!(fs::read(to.join(name)).unwrap() == **bytes, "{name}");
        }
        assert_eq!(fs::read(to.join("empty")).unwrap(), b"");
        let verified = gateway.json(&["verify", &setup.target("d/")]);
        assert_eq!((&verified["done"], &verified["failed"]), (&4.into(), &serde_json::json!([])));
    });
}

#[test]
fn what_became_of_an_object_is_listed() {
    on_each_store(|setup| {
        let gateway = &setup.gateway;
        let file = setup.file("file", b"first");
        for key in ["gone", "kept", "replaced", "updated"] {
            gateway.json(&["backup", text(&file), &setup.target(key)]);
        }
        let file = setup.file("file", b"second");
        gateway.json(&["backup", text(&file), &setup.target("updated")]);
        s3(gateway, "DELETE", &path(setup, "gone"), b"");
        s3(gateway, "PUT", &path(setup, "replaced"), b"other");
        let newest = [
            ("gone", "removed"),
            ("kept", "complete"),
            ("replaced", "object"),
            ("updated", "complete"),
        ];
        assert_eq!(states(setup, &[]), pairs(&newest));
        let mut all = newest.to_vec();
        all.insert(3, ("replaced", "replaced"));
        all.push(("updated", "replaced"));
        assert_eq!(states(setup, &["--all"]), pairs(&all));
        let status = |key: &str| {
            let output = gateway.run(&["status", &setup.target(key)]);
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(status("gone").contains("; its object was removed since"), "{}", status("gone"));
        let replaced = status("replaced");
        assert!(
            replaced.contains("5 B, which no backup made")
                && replaced.contains("; its object was replaced since"),
            "{replaced}"
        );
        // Nobody named the size of an upload in parts, but once it is complete nothing is missing.
        upload_in_parts(gateway, &path(setup, "parts"), &[b"all"]);
        assert!(
            status("parts").contains("complete: 1 chunks stored, 0 missing"),
            "{}",
            status("parts")
        );
        assert_eq!(setup.restored("replaced"), b"other");
        assert_eq!(setup.restored("updated"), b"second");
        for command in ["restore", "verify"] {
            let back = setup.home.path().join("none");
            let mut args = vec![command.to_owned(), setup.target("gone")];
            args.extend((command == "restore").then(|| text(&back).to_owned()));
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let (code, stderr) = gateway.refused(&args);
            assert_eq!(
                (code, stderr.contains("its object was removed since")),
                (Some(1), true),
                "{stderr}"
            );
        }
    });
}

#[test]
fn buckets_are_listed_and_a_misspelt_one_is_an_error() {
    on_each_store(|setup| {
        let file = setup.file("file", &pattern(1536, 1));
        setup.gateway.json(&["backup", text(&file), &setup.target("key")]);
        let buckets = lines(setup.gateway.run(&["ls", "s3://", "--json"]));
        let name = setup.bucket.strip_prefix("s3://").unwrap();
        assert!(buckets.iter().any(|bucket| bucket["bucket"] == name), "{buckets:?}");
        let listed = setup.gateway.run(&["ls", &setup.bucket]).stdout;
        let listed = String::from_utf8(listed).unwrap();
        let words: Vec<&str> = listed.split_whitespace().collect();
        assert_eq!(words[1..], ["1.5", "KiB", "complete", &setup.target("key")], "{listed}");
        assert!(words[0].ends_with('Z') && words[0].starts_with("20"), "{listed}");
        for args in [
            ["ls", "s3://no-such-bucket-at-all", "--json"],
            ["verify", "s3://no-such-bucket-at-all/", "--json"],
        ] {
            let (code, stderr) = setup.gateway.refused(&args);
            assert_eq!(code, Some(1), "{stderr}");
            assert!(
                stderr.contains("bucket") && stderr.contains("no-such-bucket-at-all"),
                "{stderr}"
            );
        }
    });
}

#[test]
fn a_damaged_object_of_an_s3_tool_is_found() {
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    let bytes = pattern(3 << 20, 1);
    s3(&gateway, "PUT", "/bucket", b"");
    s3(&gateway, "PUT", "/bucket/key", &bytes);
    let mut todo = vec![home.path().join("store/data")];
    let mut damaged = 0;
    while let Some(dir) = todo.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                todo.push(path);
            } else if fs::read(&path).unwrap() == *bytes {
                let mut other = bytes.to_vec();
                other[1000] ^= 1;
                fs::write(&path, other).unwrap();
                damaged += 1;
            }
        }
    }
    assert_eq!(damaged, 1);
    let back = home.path().join("back");
    for args in [
        &["verify", "s3://bucket/key"][..],
        &["verify", "s3://bucket/"],
        &["restore", "s3://bucket/key", text(&back)],
    ] {
        let (code, stderr) = gateway.refused(args);
        assert_eq!((code, stderr.contains("is damaged")), (Some(1), true), "{stderr}");
    }
    let left = fs::read_dir(home.path()).unwrap().count();
    assert_eq!(left, 1, "a file that is not as recorded is not kept");
}
