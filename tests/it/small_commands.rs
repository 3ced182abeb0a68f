//! The small commands: `cat` and its ranges, `mb`, `rm`.

use crate::support::client::{Setup, on_each_store, text};
use crate::support::lab::pattern;
use crate::support::process::KEY;

const MIB: usize = 1 << 20;

/// A key that a backup made, and one that an S3 tool put.
fn two_objects(setup: &Setup, bytes: &[u8]) -> [String; 2] {
    let file = setup.file("file", bytes);
    setup.gateway.json(&["backup", text(&file), &setup.target("backup"), "--chunk-size", "5MiB"]);
    let path = format!("/{}/plain", setup.bucket.strip_prefix("s3://").unwrap());
    assert_eq!(setup.gateway.s3(KEY, "PUT", &path, bytes).0, 200);
    [setup.target("backup"), setup.target("plain")]
}

#[test]
fn cat_and_restore_take_open_ranges() {
    on_each_store(|setup| {
        let bytes = pattern(9 * MIB, 1);
        let len = bytes.len();
        for target in two_objects(setup, &bytes) {
            let ranges = [
                ("0-9", 0..10),
                ("9437180-", len - 4..len),
                ("0-", 0..len),
                ("-500", len - 500..len),
                ("-99999999", 0..len),
                ("5242879-5242880", 5 * MIB - 1..5 * MIB + 1),
            ];
            for (range, expected) in ranges {
                let output = setup.gateway.run(&["cat", &target, "--range", range]);
                assert!(
                    output.stdout == bytes[expected.clone()],
                    "{target} {range}: {:?}",
                    output.stderr
                );
                let back = setup.home.path().join("part");
                setup.gateway.json(&["restore", "--range", range, &target, text(&back)]);
                assert!(std::fs::read(&back).unwrap() == bytes[expected], "{target} {range}");
            }
            for wrong in ["-", "-0", "9-1", "9437184-"] {
                let (code, stderr) = setup.gateway.refused(&["cat", &target, "--range", wrong]);
                assert_eq!(code, Some(2), "{wrong}: {stderr}");
            }
        }
    });
}

#[test]
fn cat_writes_objects_one_after_the_other() {
    on_each_store(|setup| {
        let bytes = pattern(6 * MIB, 2);
        let [backup, plain] = two_objects(setup, &bytes);
        let output = setup.gateway.run(&["cat", &backup, &plain, "--json"]);
        assert!(output.status.success());
        assert!(output.stdout == [&bytes[..], &bytes[..]].concat());
        let (code, _) = setup.gateway.refused(&["cat", &setup.target("none")]);
        assert_eq!(code, Some(1));
        let (code, stderr) = setup.gateway.refused(&["cat", &setup.target("dir/")]);
        assert_eq!((code, stderr.contains("is a prefix")), (Some(2), true), "{stderr}");
    });
}

#[test]
fn mb_makes_a_bucket() {
    on_each_store(|setup| {
        let bucket = setup.bucket.strip_prefix("s3://").unwrap();
        assert_eq!(setup.gateway.json(&["mb", &setup.bucket])["bucket"], bucket);
        let listed = setup.gateway.run(&["ls", "s3://"]).stdout;
        assert!(String::from_utf8(listed).unwrap().contains(&setup.bucket));
        let (code, stderr) = setup.gateway.refused(&["mb", &setup.target("key")]);
        assert_eq!(code, Some(2), "{stderr}");
        let (code, stderr) = setup.gateway.refused(&["mb", "s3://No_Bucket"]);
        assert_eq!(code, Some(1), "{stderr}");
    });
}

fn keys(setup: &Setup) -> Vec<String> {
    let listed = setup.gateway.run(&["ls", "--all", "--json", &setup.bucket]).stdout;
    let rows = String::from_utf8(listed).unwrap();
    let rows = rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let there = rows.filter(|row| row["state"] == "complete" || row["state"] == "object");
    there.map(|row| row["key"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn rm_removes_an_object_and_a_prefix_only_when_told_so() {
    on_each_store(|setup| {
        setup.gateway.json(&["mb", &setup.bucket]);
        let bucket = setup.bucket.strip_prefix("s3://").unwrap();
        for key in ["a", "d/1", "d/2%20%26+%C3%BC%3C", "d/3%0A", "d2", "dx/1"] {
            let path = format!("/{bucket}/{key}");
            assert_eq!(setup.gateway.s3(KEY, "PUT", &path, b"x").0, 200, "{key}");
        }
        let output = setup.gateway.run(&["rm", &setup.target("a")]);
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(0), b"1 removed\n".as_slice())
        );
        let (code, stderr) = setup.gateway.refused(&["rm", &setup.target("a")]);
        assert_eq!((code, stderr.contains("no such object")), (Some(1), true), "{stderr}");
        for wrong in [vec!["rm", "D"], vec!["rm", "-r", "K"], vec!["rm", "--dry-run", "D"]] {
            let (prefix, key) = (setup.target("d/"), setup.target("d2"));
            let args: Vec<&str> = wrong
                .into_iter()
                .map(|arg| match arg {
                    "D" => prefix.as_str(),
                    "K" => key.as_str(),
                    arg => arg,
                })
                .collect();
            assert_eq!(setup.gateway.refused(&args).0, Some(2), "{args:?}");
        }
        let below = ["d/1", "d/2 &+ü<", "d/3\n"];
        let shown = setup.gateway.json(&["rm", "-r", "--dry-run", &setup.target("d/")]);
        assert_eq!(shown["removed"], serde_json::json!(below));
        assert_eq!(keys(setup).len(), 5);
        let output = setup.gateway.run(&["rm", "-r", "-v", &setup.target("d/")]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.stdout, b"3 removed\n", "{stderr}");
        assert!(stderr.contains("d/2 &+ü<: removed") && stderr.contains("d/3\\u{a}"), "{stderr}");
        assert_eq!(keys(setup), ["d2", "dx/1"]);
        let (code, _) = setup.gateway.refused(&["rm", "-r", &setup.target("d/")]);
        assert_eq!(code, Some(1));
    });
}

#[test]
fn rm_takes_the_attributes_along_that_have_objects_of_their_own() {
    on_each_store(|setup| {
        let dir = setup.home.path().join("dir");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("a"), b"a").unwrap();
        std::fs::write(dir.join("b"), b"b").unwrap();
        let target = setup.target("dir/");
        setup.gateway.json(&["backup", text(&dir), &target]);
        for name in ["a", "b"] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(dir.join(name), mode).unwrap();
        }
        setup.gateway.json(&["backup", text(&dir), &target]);
        assert!(keys(setup).contains(&"dir/.ratchet-attributes/a".to_owned()));
        let report = setup.gateway.json(&["rm", &setup.target("dir/a")]);
        assert_eq!(report["removed"], serde_json::json!(["dir/a"]));
        assert_eq!(keys(setup), ["dir/.ratchet-attributes/b", "dir/b"]);
        let output = setup.gateway.run(&["rm", "-rq", &format!("{}/", setup.bucket)]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
        assert!(keys(setup).is_empty());
    });
}
