//! The commands of the client as processes, each on every store: output, results and exit codes.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use crate::support::client::{on_each_store, text, wait};
use crate::support::lab::pattern;
use crate::support::process::{Gateway, same_bytes};

/// Kind with mode, modification time and bytes of each path below the root.
fn tree(root: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let bytes = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            if meta.is_dir() {
                todo.push(path.clone());
            }
            if !meta.is_symlink() {
                found.insert(
                    path.strip_prefix(root).unwrap().to_owned(),
                    (meta.mode(), meta.mtime(), bytes),
                );
            }
        }
    }
    found
}

fn make_tree(root: &Path) {
    let files = [
        ("empty", 0, 0o644),
        ("a file, with spaces & ümlaut+%20", 10, 0o600),
        ("deep/down/one-chunk", 8 << 20, 0o755),
        ("deep/two-chunks", (8 << 20) + 1, 0o440),
        ("deep.txt", 5, 0o644),
    ];
    for (at, (name, len, mode)) in files.into_iter().enumerate() {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, pattern(len, at as u8)).unwrap();
        let file = fs::File::open(&path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000 + at as u64)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(root.join("empty-dir")).unwrap();
    symlink("empty", root.join("link")).unwrap();
    for (dir, mode) in [("deep/down", 0o700), ("deep", 0o750), ("empty-dir", 0o755)] {
        let dir = root.join(dir);
        fs::File::open(&dir)
            .unwrap()
            .set_modified(UNIX_EPOCH + Duration::from_secs(1_100_000_000))
            .unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn a_directory_comes_back_with_names_modes_and_times() {
    on_each_store(|setup| {
        let (from, to) = (setup.home.path().join("from"), setup.home.path().join("to"));
        fs::create_dir(&from).unwrap();
        make_tree(&from);
        let target = setup.target("tree/");
        let tally = setup.gateway.json(&["backup", text(&from), &target]);
        assert_eq!(
            (&tally["done"], tally["failed"].as_array().unwrap().len()),
            (&9.into(), 0),
            "{tally}"
        );
        let again = setup.gateway.json(&["backup", text(&from), &target]);
        assert_eq!((&again["done"], &again["bytesMoved"]), (&9.into(), &0.into()), "{again}");
        for _ in 0..2 {
            let tally = setup.gateway.json(&["restore", &target, text(&to)]);
            assert_eq!(
                (&tally["done"], tally["failed"].as_array().unwrap().len()),
                (&9.into(), 0),
                "{tally}"
            );
        }
        assert!(tree(&from) == tree(&to), "{:?} {:?}", tree(&from).keys(), tree(&to).keys());
        // Only the changed file is sent.
        let changed = from.join("deep.txt");
        fs::write(&changed, b"other").unwrap();
        let again = setup.gateway.json(&["backup", text(&from), &target]);
        assert_eq!((&again["done"], &again["bytesMoved"]), (&9.into(), &5.into()), "{again}");
        setup.gateway.json(&["restore", &target, text(&to)]);
        assert_eq!(fs::read(to.join("deep.txt")).unwrap(), b"other");
        let (code, stderr) =
            setup.gateway.refused(&["backup", text(&from), &setup.target("no-prefix")]);
        assert_eq!(
            (code, stderr.contains("a directory is backed up to a prefix")),
            (Some(2), true),
            "{stderr}"
        );
    });
}

#[test]
fn stdin_is_backed_up_and_restored_to_stdout() {
    on_each_store(|setup| {
        let (target, bytes) = (setup.target("piped"), pattern((20 << 20) + 3, 1));
        let mut command = setup.gateway.client(&["backup", "-", &target, "--json"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let (code, _, stderr) = wait(child);
        assert_eq!(code, Some(0), "{stderr}");
        let output = setup.gateway.run(&["restore", &target, "-"]);
        assert!(
            output.status.success() && output.stdout == bytes,
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.stderr.is_empty(), "no progress bar without a terminal");
        // A closed pipe is no failure.
        let mut child = setup
            .gateway
            .client(&["restore", &target, "-"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn a_restored_range_has_exactly_its_bytes() {
    on_each_store(|setup| {
        let bytes = pattern((20 << 20) + 3, 2);
        let (file, target) = (setup.file("file", &bytes), setup.target("ranged"));
        setup.gateway.json(&["backup", text(&file), &target]);
        let restored_range = setup.home.path().join("range");
        let size = bytes.len();
        for (first, last) in
            [(0, 0), (5, (8 << 20) + 5), (8 << 20, (16 << 20) - 1), (size - 1, size + 100)]
        {
            let range = format!("{first}-{last}");
            setup.gateway.json(&["restore", &target, text(&restored_range), "--range", &range]);
            assert!(
                fs::read(&restored_range).unwrap() == bytes[first..(last + 1).min(size)],
                "{range}"
            );
            let out = setup.gateway.run(&["restore", &target, "-", "--range", &range]);
            assert!(out.stdout == bytes[first..(last + 1).min(size)], "{range}");
        }
        let (code, stderr) =
            setup.gateway.refused(&["restore", &target, "-", "--range", &format!("{size}-{size}")]);
        assert_eq!(
            (code, stderr.contains(&format!("the file has {size} bytes"))),
            (Some(2), true),
            "{stderr}"
        );
    });
}

#[test]
fn every_chunk_size_and_digest_restores_the_same_bytes() {
    on_each_store(|setup| {
        let bytes = pattern((20 << 20) + 5, 3);
        let file = setup.file("file", &bytes);
        let table = [
            ("8MiB", "sha256-chunks"),
            ("4MiB", "blake3"),
            ("5MiB", "crc64nvme"),
            ("16MiB", "blake3"),
        ];
        for (at, (chunk_size, digest)) in
            table.into_iter().chain([("6000001", "sha256")]).enumerate()
        {
            let key = format!("of-{at}");
            let args = [
                "backup",
                text(&file),
                &setup.target(&key),
                "--chunk-size",
                chunk_size,
                "--digest",
                digest,
            ];
            let output = setup.gateway.json(&args);
            assert!(output["digests"][digest].is_string(), "{output}");
            assert!(setup.restored(&key) == bytes, "{chunk_size} {digest}");
        }
        let args = [
            "backup",
            text(&file),
            &setup.target("odd"),
            "--chunk-size",
            "6000001",
            "--digest",
            "blake3",
        ];
        let (code, stderr) = setup.gateway.refused(&args);
        assert_eq!((code, stderr.contains("power of two")), (Some(1), true), "{stderr}");
    });
}

#[test]
fn a_directory_is_backed_up_with_every_digest() {
    on_each_store(|room| {
        let from = room.home.path().join("from");
        fs::create_dir_all(from.join("empty-dir")).unwrap();
        fs::write(from.join("file"), b"content").unwrap();
        for digest in ["sha256-chunks", "blake3", "crc64nvme", "sha256"] {
            let target = room.target(&format!("{digest}/"));
            let report = room.gateway.json(&["backup", text(&from), &target, "--digest", digest]);
            assert_eq!(report["done"], 2, "{digest}: {report}");
        }
    });
}

#[test]
fn a_file_that_changes_while_it_is_read_is_reported_and_not_completed() {
    on_each_store(|setup| {
        let (file, target) = (setup.file("file", &pattern(32 << 20, 4)), setup.target("changing"));
        let mut command =
            setup.gateway.client(&["backup", text(&file), &target, "--limit-rate", "16MiB"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while setup.stored_chunks("changing") == 0 {
            assert!(
                child.try_wait().unwrap().is_none(),
                "the backup ended before anything was stored"
            );
        }
        fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"more").unwrap();
        let (code, _, stderr) = wait(child);
        assert_eq!(
            (code, stderr.contains("changed while it was read")),
            (Some(1), true),
            "{stderr}"
        );
        let listed = setup.gateway.run(&["ls", &target]).stdout;
        let listed = String::from_utf8(listed).unwrap();
        assert!(listed.contains(" in_progress ") && !listed.contains("complete"), "{listed}");
        setup.gateway.json(&["backup", text(&file), &target]);
        assert!(setup.restored("changing") == fs::read(&file).unwrap());
    });
}

#[test]
fn a_file_that_changed_between_runs_begins_a_new_backup() {
    on_each_store(|setup| {
        let mut bytes = pattern(64 << 20, 5).to_vec();
        let (file, target) = (setup.file("file", &bytes), setup.target("changed"));
        let mut child = setup
            .gateway
            .client(&["backup", text(&file), &target, "--limit-rate", "16MiB"])
            .spawn()
            .unwrap();
        // Chunks are stored in any order: of three, one is neither the first nor the last.
        while setup.stored_chunks("changed") < 3 {
            assert!(
                child.try_wait().unwrap().is_none(),
                "the backup ended before anything was stored"
            );
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // All chunks except the first and the last, so that it seems to be the same file.
        for chunk in 1..7 {
            bytes[chunk * (8 << 20)] ^= 1;
        }
        let file = setup.file("file", &bytes);
        let output = setup.gateway.run(&["backup", text(&file), &target]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), stderr.contains("fresh backup")),
            (Some(0), true),
            "{stderr}"
        );
        assert!(setup.restored("changed") == bytes);
    });
}

#[test]
fn open_backups_are_listed_shown_and_aborted() {
    on_each_store(|setup| {
        let (file, target) = (setup.file("file", &pattern(32 << 20, 6)), setup.target("dir/open"));
        let mut child = setup
            .gateway
            .client(&["backup", text(&file), &target, "--limit-rate", "16MiB"])
            .spawn()
            .unwrap();
        while setup.stored_chunks("dir/open") == 0 {
            assert!(
                child.try_wait().unwrap().is_none(),
                "the backup ended before anything was stored"
            );
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let done = setup.file("small", b"small");
        setup.gateway.json(&["backup", text(&done), &setup.target("dir/")]);
        let listed =
            String::from_utf8(setup.gateway.run(&["ls", &setup.target("dir/")]).stdout).unwrap();
        let state = |line: &str| line.split_whitespace().nth(3).unwrap().to_owned();
        let states: Vec<String> = listed.lines().map(state).collect();
        assert_eq!(states, ["in_progress", "complete"], "{listed}");
        let id = setup.gateway.json(&["status", &target])["backupId"].as_str().unwrap().to_owned();
        assert_eq!(setup.gateway.json(&["status", &id])["status"], "in_progress");
        let aborted = setup.gateway.run(&["abort", &target]);
        assert_eq!(String::from_utf8(aborted.stdout).unwrap(), format!("{id} aborted\n"));
        assert_eq!(setup.gateway.json(&["status", &id])["status"], "aborted");
        for args in [["abort", &target], ["status", &target]] {
            let (code, stderr) = setup.gateway.refused(&args);
            assert_eq!(
                (code, stderr.contains("there is no such backup")),
                (Some(1), true),
                "{stderr}"
            );
        }
        let (code, stderr) = setup.gateway.refused(&["abort", "nobody"]);
        assert_eq!((code, stderr.contains("request ")), (Some(1), true), "{stderr}");
        // A complete backup cannot be aborted, by its target either.
        let (code, _) = setup.gateway.refused(&["abort", &setup.target("dir/small")]);
        assert_eq!((code, setup.restored("dir/small")), (Some(1), b"small".to_vec()));
    });
}

#[test]
fn verify_and_restore_detect_a_corrupted_object() {
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    let file = home.path().join("file");
    fs::write(&file, pattern(24 << 20, 7)).unwrap();
    gateway.json(&["backup", text(&file), "s3://bucket/key"]);
    assert_eq!(gateway.json(&["verify", "s3://bucket/key"])["bad"].as_array().unwrap().len(), 0);
    // One bit on the disk is flipped.
    let is_part = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == 8 << 20)
    };
    let found = Command::new("find")
        .arg(home.path().join("store"))
        .args(["-type", "f"])
        .output()
        .unwrap()
        .stdout;
    let found = String::from_utf8(found).unwrap();
    let part =
        found.lines().map(PathBuf::from).find(is_part).expect("each chunk is a file of its own");
    let mut bytes = fs::read(&part).unwrap();
    bytes[1000] ^= 1;
    fs::write(&part, bytes).unwrap();
    let output = gateway.run(&["verify", "s3://bucket/key", "--json"]);
    let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), verdict["bad"].as_array().unwrap().len()),
        (Some(1), 1),
        "{verdict}"
    );
    let restored_file = home.path().join("back");
    let (code, stderr) = gateway.refused(&["restore", "s3://bucket/key", text(&restored_file)]);
    assert_eq!(
        (code, stderr.contains("but the backup recorded sha256:"), restored_file.exists()),
        (Some(1), true, false),
        "{stderr}"
    );
}

#[test]
fn a_killed_restore_continues_with_the_chunks_it_has() {
    on_each_store(|setup| {
        let bytes = pattern(64 << 20, 8);
        let (file, target) = (setup.file("file", &bytes), setup.target("key"));
        setup.gateway.json(&["backup", text(&file), &target]);
        let restored_file = setup.home.path().join("back");
        let part = setup.home.path().join("back.ratchet-part");
        let mut child = setup
            .gateway
            .client(&["restore", &target, text(&restored_file), "--jobs", "1"])
            .spawn()
            .unwrap();
        // Chunks are written once they use disk space; the rest of the file is a hole.
        while fs::metadata(&part).map_or(0, |meta| meta.blocks() * 512) < 16 << 20
            && child.try_wait().unwrap().is_none()
        {}
        child.kill().unwrap();
        child.wait().unwrap();
        let output = setup.gateway.json(&["restore", &target, text(&restored_file)]);
        let (read, kept) =
            (output["bytesRead"].as_u64().unwrap(), output["bytesKept"].as_u64().unwrap());
        assert_eq!(read + kept, 64 << 20);
        assert!(kept >= 8 << 20, "{output}");
        assert!(same_bytes(&file, &restored_file));
    });
}

#[test]
fn two_clients_with_one_file_both_succeed() {
    on_each_store(|setup| {
        let bytes = pattern(40 << 20, 9);
        let (file, target) = (setup.file("file", &bytes), setup.target("key"));
        let start = || {
            let mut command = setup.gateway.client(&["backup", text(&file), &target, "--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let ended = [start(), start()].map(wait);
        let ids = ended.each_ref().map(|(code, output, stderr)| {
            assert_eq!(*code, Some(0), "{stderr}");
            serde_json::from_str::<serde_json::Value>(output).unwrap()["backupId"].clone()
        });
        assert_eq!(ids[0], ids[1], "both clients must use one backup");
        assert!(setup.restored("key") == bytes);
    });
}

/// Both clients declare the same `--file-id`. Chunks of the second file are refused with
/// `checksum-conflict`; its client then begins a backup of its own, so that the object is always
/// exactly one of the files.
#[test]
fn two_clients_with_different_files_never_mix_their_chunks() {
    on_each_store(|setup| {
        let contents = [pattern(40 << 20, 10), pattern(40 << 20, 11)];
        let target = setup.target("key");
        let start = |at: usize| {
            let file = setup.file(&format!("file-{at}"), &contents[at]);
            let args =
                ["backup", text(&file), &target, "--file-id", "same", "--limit-rate", "40MiB"];
            setup
                .gateway
                .client(&args)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let ended = [start(0), start(1)].map(wait);
        let mut conflicts = 0;
        for (code, _, stderr) in &ended {
            assert_eq!(*code, Some(0), "{stderr}");
            conflicts += usize::from(stderr.contains("the recorded backup is of other content"));
        }
        assert!(conflicts >= 1, "chunks of one of the two must be refused: {ended:?}");
        let object = setup.restored("key");
        assert!(
            contents.iter().any(|content| *content == object),
            "the object is none of the files"
        );
    });
}
