//! Directories: what is excluded, what is deleted, several sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::client::{Setup, on_each_store, text};
use crate::support::process::KEY;

/// Makes files, each with its path as its content.
fn make(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
}

/// The files and directories below a directory.
fn paths(root: &Path) -> BTreeSet<String> {
    let (mut found, mut todo) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = text(path.strip_prefix(root).unwrap()).to_owned();
            if path.is_dir() {
                todo.push(path);
                found.insert(name + "/");
            } else {
                found.insert(name);
            }
        }
    }
    found
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The keys below `tree/` that have an object, without that prefix.
fn stored(setup: &Setup) -> BTreeSet<String> {
    let listed = setup.gateway.run(&["ls", "--json", &setup.target("tree/")]).stdout;
    let listed = String::from_utf8(listed).unwrap();
    let rows = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let there = rows.filter(|row| row["state"] == "complete" || row["state"] == "object");
    let keys = there.map(|row| row["key"].as_str().unwrap().to_owned());
    keys.map(|key| key.strip_prefix("tree/").unwrap().to_owned()).collect()
}

#[test]
fn patterns_leave_files_out_of_backups_restores_and_verifications() {
    on_each_store(|setup| {
        let (from, to) = (setup.home.path().join("from"), setup.home.path().join("to"));
        make(
            &from,
            &["a.txt", "b.tmp", "keep.tmp", "cache/x", "cache/keep.tmp", "sub/c.tmp", "sub/cache"],
        );
        let list = setup.file("patterns", b"# what can be made again\n\n/cache/\n");
        let target = setup.target("tree/");
        let filter = ["--exclude", "*.tmp", "--include", "keep.tmp", "--exclude-from", text(&list)];
        setup.gateway.json(&[&["backup", text(&from), &target], &filter[..]].concat());
        assert_eq!(stored(setup), set(&["a.txt", "keep.tmp", "sub/", "sub/cache"]));
        // The last that matches decides, in the order of the line.
        let tally = setup.gateway.json(&[
            "backup",
            text(&from),
            &target,
            "--include",
            "keep.tmp",
            "--exclude",
            "*.tmp",
        ]);
        assert_eq!(tally["done"], 5, "{tally}");
        setup.gateway.json(&["backup", text(&from), &target]);
        let tally = setup.gateway.json(&[&["verify", &target], &filter[..]].concat());
        assert_eq!(tally["done"], 4, "{tally}");
        let tally = setup.gateway.json(&[&["restore", &target, text(&to)], &filter[..]].concat());
        assert_eq!(tally["done"], 4, "{tally}");
        assert_eq!(paths(&to), set(&["a.txt", "keep.tmp", "sub/", "sub/cache"]));
        let missing = ["backup", text(&from), &target, "--exclude-from", "/nowhere"];
        assert_eq!(setup.gateway.refused(&missing).0, Some(1));
        for wrong in [
            ["backup", text(&from), &target, "--exclude", "{a"].as_slice(),
            &["backup", text(&list), &target, "--exclude", "a"],
            &["restore", &setup.target("tree/a.txt"), text(&to), "--exclude", "a"],
            &["verify", &setup.target("tree/a.txt"), "--include", "a"],
        ] {
            let (code, stderr) = setup.gateway.refused(wrong);
            assert_eq!(code, Some(2), "{wrong:?}: {stderr}");
        }
    });
}

#[test]
fn a_backup_deletes_what_the_source_does_not_have() {
    on_each_store(|setup| {
        let from = setup.home.path().join("from");
        make(&from, &["a", "old", "sub/b", "gone/c", "x.log"]);
        let target = setup.target("tree/");
        let backup = ["backup", text(&from), &target];
        setup.gateway.json(&backup);
        let path = format!("/{}/tree/foreign.log", setup.bucket.strip_prefix("s3://").unwrap());
        assert_eq!(setup.gateway.s3(KEY, "PUT", &path, b"x").0, 200);
        fs::remove_file(from.join("old")).unwrap();
        fs::remove_dir_all(from.join("gone")).unwrap();
        fs::remove_file(from.join("x.log")).unwrap();
        // Never by default.
        setup.gateway.json(&backup);
        let all = set(&["a", "foreign.log", "gone/", "gone/c", "old", "sub/", "sub/b", "x.log"]);
        assert_eq!(stored(setup), all);
        let delete = [&backup[..], &["--delete", "--exclude", "*.log"]].concat();
        let shown = setup.gateway.run(&[&delete[..], &["--dry-run"]].concat());
        assert_eq!(
            String::from_utf8(shown.stdout).unwrap(),
            "tree/gone/\ntree/gone/c\ntree/old\n3 would be deleted\n"
        );
        assert_eq!(stored(setup), all);
        let output = setup.gateway.run(&[&delete[..], &["-v"]].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        let summary = String::from_utf8(output.stdout).unwrap();
        assert!(
            summary.starts_with(
                "0 sent, 3 there already, 0 skipped, 0 left out, 0 failed, 3 deleted; 0 B sent in "
            ),
            "{summary}"
        );
        assert!(stderr.contains("tree/old: deleted"), "{stderr}");
        assert_eq!(stored(setup), set(&["a", "foreign.log", "sub/", "sub/b", "x.log"]));
        let report = setup.gateway.json(&[&backup[..], &["--delete"]].concat());
        assert_eq!(report["deleted"], serde_json::json!(["tree/foreign.log", "tree/x.log"]));
        let file = from.join("a");
        let single = ["backup", text(&file), &setup.target("a"), "--delete"];
        assert_eq!(setup.gateway.refused(&single).0, Some(2));
        let (code, _) = setup.gateway.refused(&[&backup[..], &["--dry-run"]].concat());
        assert_eq!(code, Some(2));
    });
}

#[test]
fn nothing_is_deleted_when_something_could_not_be_read() {
    on_each_store(|setup| {
        let (from, to) = (setup.home.path().join("from"), setup.home.path().join("to"));
        make(&from, &["a", "sub/b", "old"]);
        let target = setup.target("tree/");
        let backup = ["backup", text(&from), &target, "--delete"];
        setup.gateway.json(&backup);
        fs::remove_file(from.join("old")).unwrap();
        fs::remove_dir_all(from.join("sub")).unwrap();
        // Nobody can read this, not even root: it is no directory by the time it is read.
        let several = ["backup", text(&from), "/nowhere/at-all", &target, "--delete"];
        let (code, stderr) = setup.gateway.refused(&several);
        assert_eq!((code, stderr.contains("nothing was deleted")), (Some(1), true), "{stderr}");
        assert!(stored(setup).contains("old"));
        // A restore: a directory lies where a file should.
        make(&to, &["a/in-the-way", "extra"]);
        let (code, stderr) = setup.gateway.refused(&["restore", &target, text(&to), "--delete"]);
        assert_eq!((code, stderr.contains("nothing was deleted")), (Some(1), true), "{stderr}");
        assert!(to.join("extra").exists() && to.join("a/in-the-way").exists());
    });
}

#[test]
fn a_restore_deletes_what_the_backup_does_not_have() {
    on_each_store(|setup| {
        let (from, to) = (setup.home.path().join("from"), setup.home.path().join("to"));
        make(&from, &["a", "sub/b"]);
        let target = setup.target("tree/");
        setup.gateway.json(&["backup", text(&from), &target]);
        make(&to, &["extra", "sub/extra", "empty/er/x", "kept/x.log", "kept/y"]);
        let restore = ["restore", &target, text(&to), "--delete", "--exclude", "*.log"];
        let before = paths(&to);
        let shown = setup.gateway.json(&[&restore[..], &["--dry-run"]].concat());
        let expected = ["empty/er/x", "empty/er", "empty", "extra", "kept/y", "sub/extra"];
        let expected = expected.map(|name| text(&to.join(name)).to_owned());
        assert_eq!(shown["deleted"], serde_json::json!(expected));
        assert_eq!(paths(&to), before);
        let report = setup.gateway.json(&restore);
        assert_eq!(report["deleted"], shown["deleted"]);
        assert_eq!(paths(&to), set(&["a", "kept/", "kept/x.log", "sub/", "sub/b"]));
        setup.gateway.json(&["restore", &target, text(&to)]);
        assert!(to.join("kept/x.log").exists());
    });
}

#[test]
fn several_sources_keep_their_names() {
    on_each_store(|setup| {
        let home = setup.home.path();
        make(home, &["A/1", "A/deep/2", "other/A/3", "B"]);
        std::os::unix::fs::symlink("B", home.join("link")).unwrap();
        let target = setup.target("tree/");
        let (dir, file, link) = (home.join("A"), home.join("B"), home.join("link"));
        let several = ["backup", text(&dir), text(&file), text(&link), &target];
        setup.gateway.json(&several);
        assert_eq!(stored(setup), set(&["A/", "A/1", "A/deep/", "A/deep/2", "B", "link"]));
        let to = home.join("to");
        setup.gateway.json(&["restore", &target, text(&to)]);
        assert_eq!(paths(&to), set(&["A/", "A/1", "A/deep/", "A/deep/2", "B", "link"]));
        assert_eq!(fs::read(to.join("link")).unwrap(), b"B");
        // What lies beside the sources is not theirs to delete.
        fs::remove_file(home.join("A/1")).unwrap();
        let report = setup.gateway.json(&[
            "backup",
            text(&dir),
            text(&dir.join("deep")),
            &target,
            "--delete",
        ]);
        assert_eq!(report["deleted"], serde_json::json!(["tree/A/1"]));
        assert!(stored(setup).contains("B"));
        let same_name = home.join("other/A");
        for wrong in [
            ["backup", text(&dir), text(&same_name), &target].as_slice(),
            &["backup", text(&dir), text(&file), &setup.target("key")],
            &["backup", text(&dir), "-", &target],
            &["backup", text(&dir), "..", &target],
        ] {
            let (code, stderr) = setup.gateway.refused(wrong);
            assert_eq!(code, Some(2), "{wrong:?}: {stderr}");
        }
    });
}
