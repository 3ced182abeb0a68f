//! `cat`, and the ranges that it takes.

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
