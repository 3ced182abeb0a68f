//! The client's commands as processes, each on every store: what they print, what they leave, and
//! how they end.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use ratchet::clock::Clock;

use crate::process::{Gateway, same_bytes, stores};
use crate::support::lab::pattern;

/// A gateway, a directory for files, and a bucket that no other test has.
struct Room {
    home: tempfile::TempDir,
    gateway: Gateway,
    bucket: String,
}

fn on_each_store(test: impl Fn(&Room)) {
    let store_home = tempfile::tempdir().unwrap();
    for store in stores(store_home.path()) {
        let bucket = format!("s3://b{}", Clock::system().random_id());
        test(&Room { home: tempfile::tempdir().unwrap(), gateway: Gateway::start(&store), bucket });
    }
}

impl Room {
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn target(&self, key: &str) -> String {
        format!("{}/{key}", self.bucket)
    }

    fn restored(&self, key: &str) -> Vec<u8> {
        let back = self.home.path().join("back");
        self.gateway.json(&["restore", &self.target(key), text(&back)]);
        let bytes = fs::read(&back).unwrap();
        fs::remove_file(&back).unwrap();
        bytes
    }

    fn stored(&self, key: &str) -> u64 {
        let told = self.gateway.run(&["status", &self.target(key), "--json"]).stdout;
        let status: Option<serde_json::Value> = serde_json::from_slice(&told).ok();
        status.and_then(|status| status["stored"].as_u64()).unwrap_or(0)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn finished(child: Child) -> (Option<i32>, String, String) {
    let told = child.wait_with_output().unwrap();
    (
        told.status.code(),
        String::from_utf8(told.stdout).unwrap(),
        String::from_utf8(told.stderr).unwrap(),
    )
}

/// Path below the root → kind, mode, time of change and bytes.
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
    on_each_store(|room| {
        let (from, to) = (room.home.path().join("from"), room.home.path().join("to"));
        fs::create_dir(&from).unwrap();
        make_tree(&from);
        let target = room.target("tree/");
        let tally = room.gateway.json(&["backup", text(&from), &target]);
        assert_eq!(
            (&tally["done"], tally["failed"].as_array().unwrap().len()),
            (&8.into(), 0),
            "{tally}"
        );
        assert!(tally["leftOut"][0].as_str().unwrap().ends_with("/link"), "{tally}");
        let again = room.gateway.json(&["backup", text(&from), &target]);
        assert_eq!((&again["done"], &again["bytesMoved"]), (&8.into(), &0.into()), "{again}");
        for _ in 0..2 {
            let tally = room.gateway.json(&["restore", &target, text(&to)]);
            assert_eq!(
                (&tally["done"], tally["failed"].as_array().unwrap().len()),
                (&8.into(), 0),
                "{tally}"
            );
        }
        assert!(tree(&from) == tree(&to), "{:?} {:?}", tree(&from).keys(), tree(&to).keys());
        // One file changed: only that one is sent.
        let changed = from.join("deep.txt");
        fs::write(&changed, b"other").unwrap();
        let again = room.gateway.json(&["backup", text(&from), &target]);
        assert_eq!((&again["done"], &again["bytesMoved"]), (&8.into(), &5.into()), "{again}");
        room.gateway.json(&["restore", &target, text(&to)]);
        assert_eq!(fs::read(to.join("deep.txt")).unwrap(), b"other");
        let (code, said) =
            room.gateway.refused(&["backup", text(&from), &room.target("no-prefix")]);
        assert_eq!(
            (code, said.contains("a directory is backed up to a prefix")),
            (Some(2), true),
            "{said}"
        );
    });
}

#[test]
fn stdin_goes_up_and_comes_back_on_stdout() {
    on_each_store(|room| {
        let (target, bytes) = (room.target("piped"), pattern((20 << 20) + 3, 1));
        let mut command = room.gateway.client(&["backup", "-", &target, "--json"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let (code, _, said) = finished(child);
        assert_eq!(code, Some(0), "{said}");
        let back = room.gateway.run(&["restore", &target, "-"]);
        assert!(
            back.status.success() && back.stdout == bytes,
            "{}",
            String::from_utf8_lossy(&back.stderr)
        );
        assert!(back.stderr.is_empty(), "no bar where there is no terminal");
        // A reader that has seen enough is no failure.
        let mut child =
            room.gateway.client(&["restore", &target, "-"]).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn a_range_comes_back_and_nothing_beside_it() {
    on_each_store(|room| {
        let bytes = pattern((20 << 20) + 3, 2);
        let (file, target) = (room.file("file", &bytes), room.target("ranged"));
        room.gateway.json(&["backup", text(&file), &target]);
        let back = room.home.path().join("range");
        let size = bytes.len();
        for (first, last) in
            [(0, 0), (5, (8 << 20) + 5), (8 << 20, (16 << 20) - 1), (size - 1, size + 100)]
        {
            let range = format!("{first}-{last}");
            room.gateway.json(&["restore", &target, text(&back), "--range", &range]);
            assert!(fs::read(&back).unwrap() == bytes[first..(last + 1).min(size)], "{range}");
            let out = room.gateway.run(&["restore", &target, "-", "--range", &range]);
            assert!(out.stdout == bytes[first..(last + 1).min(size)], "{range}");
        }
        let (code, said) =
            room.gateway.refused(&["restore", &target, "-", "--range", &format!("{size}-{size}")]);
        assert_eq!(
            (code, said.contains(&format!("the file has {size} bytes"))),
            (Some(2), true),
            "{said}"
        );
    });
}

#[test]
fn every_chunk_size_and_digest_ends_with_the_same_bytes() {
    on_each_store(|room| {
        let bytes = pattern((20 << 20) + 5, 3);
        let file = room.file("file", &bytes);
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
                &room.target(&key),
                "--chunk-size",
                chunk_size,
                "--digest",
                digest,
            ];
            let told = room.gateway.json(&args);
            assert!(told["digests"][digest].is_string(), "{told}");
            assert!(room.restored(&key) == bytes, "{chunk_size} {digest}");
        }
        let args = [
            "backup",
            text(&file),
            &room.target("odd"),
            "--chunk-size",
            "6000001",
            "--digest",
            "blake3",
        ];
        let (code, said) = room.gateway.refused(&args);
        assert_eq!((code, said.contains("power of two")), (Some(1), true), "{said}");
    });
}

#[test]
fn a_file_that_changes_while_it_is_read_is_reported_and_not_completed() {
    on_each_store(|room| {
        let (file, target) = (room.file("file", &pattern(32 << 20, 4)), room.target("changing"));
        let mut command =
            room.gateway.client(&["backup", text(&file), &target, "--limit-rate", "16MiB"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while room.stored("changing") == 0 {
            assert!(child.try_wait().unwrap().is_none(), "it ended before anything was stored");
        }
        fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"more").unwrap();
        let (code, _, said) = finished(child);
        assert_eq!((code, said.contains("changed while it was read")), (Some(1), true), "{said}");
        let listed = room.gateway.run(&["ls", &target]).stdout;
        let listed = String::from_utf8(listed).unwrap();
        assert!(listed.starts_with("in_progress") && !listed.contains("complete"), "{listed}");
        room.gateway.json(&["backup", text(&file), &target]);
        assert!(room.restored("changing") == fs::read(&file).unwrap());
    });
}

#[test]
fn a_file_that_was_changed_between_runs_begins_a_fresh_backup() {
    on_each_store(|room| {
        let mut bytes = pattern(64 << 20, 5).to_vec();
        let (file, target) = (room.file("file", &bytes), room.target("changed"));
        let mut child = room
            .gateway
            .client(&["backup", text(&file), &target, "--limit-rate", "16MiB"])
            .spawn()
            .unwrap();
        // Chunks land in any order: of three one is neither the first nor the last.
        while room.stored("changed") < 3 {
            assert!(child.try_wait().unwrap().is_none(), "it ended before anything was stored");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Every chunk but those two, so that it looks like the same file.
        for chunk in 1..7 {
            bytes[chunk * (8 << 20)] ^= 1;
        }
        let file = room.file("file", &bytes);
        let told = room.gateway.run(&["backup", text(&file), &target]);
        let said = String::from_utf8(told.stderr).unwrap();
        assert_eq!((told.status.code(), said.contains("fresh backup")), (Some(0), true), "{said}");
        assert!(room.restored("changed") == bytes);
    });
}

#[test]
fn what_is_open_is_listed_shown_and_aborted() {
    on_each_store(|room| {
        let (file, target) = (room.file("file", &pattern(32 << 20, 6)), room.target("dir/open"));
        let mut child = room
            .gateway
            .client(&["backup", text(&file), &target, "--limit-rate", "16MiB"])
            .spawn()
            .unwrap();
        while room.stored("dir/open") == 0 {
            assert!(child.try_wait().unwrap().is_none(), "it ended before anything was stored");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let done = room.file("small", b"small");
        room.gateway.json(&["backup", text(&done), &room.target("dir/")]);
        let listed =
            String::from_utf8(room.gateway.run(&["ls", &room.target("dir/")]).stdout).unwrap();
        let words: Vec<&str> = listed.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(words, ["in_progress", "complete"], "{listed}");
        let id = room.gateway.json(&["status", &target])["backupId"].as_str().unwrap().to_owned();
        assert_eq!(room.gateway.json(&["status", &id])["status"], "in_progress");
        let aborted = room.gateway.run(&["abort", &target]);
        assert_eq!(String::from_utf8(aborted.stdout).unwrap(), format!("{id} aborted\n"));
        assert_eq!(room.gateway.json(&["status", &id])["status"], "aborted");
        for args in [["abort", &target], ["status", &target]] {
            let (code, said) = room.gateway.refused(&args);
            assert_eq!((code, said.contains("there is no such backup")), (Some(1), true), "{said}");
        }
        let (code, said) = room.gateway.refused(&["abort", "nobody"]);
        assert_eq!((code, said.contains("request ")), (Some(1), true), "{said}");
        // What is complete cannot be aborted, and is not by its target.
        let (code, _) = room.gateway.refused(&["abort", &room.target("dir/small")]);
        assert_eq!((code, room.restored("dir/small")), (Some(1), b"small".to_vec()));
    });
}

#[test]
fn verify_and_restore_notice_an_object_that_is_not_what_was_backed_up() {
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    let file = home.path().join("file");
    fs::write(&file, pattern(24 << 20, 7)).unwrap();
    gateway.json(&["backup", text(&file), "s3://bucket/key"]);
    assert_eq!(gateway.json(&["verify", "s3://bucket/key"])["bad"].as_array().unwrap().len(), 0);
    // A bit turns over on the disk.
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
    let told = gateway.run(&["verify", "s3://bucket/key", "--json"]);
    let verdict: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(
        (told.status.code(), verdict["bad"].as_array().unwrap().len()),
        (Some(1), 1),
        "{verdict}"
    );
    let back = home.path().join("back");
    let (code, said) = gateway.refused(&["restore", "s3://bucket/key", text(&back)]);
    assert_eq!(
        (code, said.contains("but the backup recorded sha256:"), back.exists()),
        (Some(1), true, false),
        "{said}"
    );
}

#[test]
fn a_restore_that_was_killed_goes_on_with_what_it_has() {
    on_each_store(|room| {
        let bytes = pattern(64 << 20, 8);
        let (file, target) = (room.file("file", &bytes), room.target("key"));
        room.gateway.json(&["backup", text(&file), &target]);
        let back = room.home.path().join("back");
        let part = room.home.path().join("back.ratchet-part");
        let mut child =
            room.gateway.client(&["restore", &target, text(&back), "--jobs", "1"]).spawn().unwrap();
        // A chunk is there once its last byte is not a hole any more.
        while fs::metadata(&part).map_or(0, |meta| meta.blocks() * 512) < 16 << 20
            && child.try_wait().unwrap().is_none()
        {}
        child.kill().unwrap();
        child.wait().unwrap();
        let told = room.gateway.json(&["restore", &target, text(&back)]);
        let (read, kept) =
            (told["bytesRead"].as_u64().unwrap(), told["bytesKept"].as_u64().unwrap());
        assert_eq!(read + kept, 64 << 20);
        assert!(kept >= 8 << 20, "{told}");
        assert!(same_bytes(&file, &back));
    });
}

#[test]
fn two_clients_with_one_file_both_succeed() {
    on_each_store(|room| {
        let bytes = pattern(40 << 20, 9);
        let (file, target) = (room.file("file", &bytes), room.target("key"));
        let start = || {
            let mut command = room.gateway.client(&["backup", text(&file), &target, "--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let ended = [start(), start()].map(finished);
        let ids = ended.each_ref().map(|(code, told, said)| {
            assert_eq!(*code, Some(0), "{said}");
            serde_json::from_str::<serde_json::Value>(told).unwrap()["backupId"].clone()
        });
        assert_eq!(ids[0], ids[1], "it is one backup");
        assert!(room.restored("key") == bytes);
    });
}

/// Both say that theirs is the content `same`. Chunks of the other are refused with
/// `checksum-conflict`; the client then begins a backup of its own, so that the object is always
/// one file whole.
#[test]
fn two_clients_with_different_files_never_mix_them() {
    on_each_store(|room| {
        let contents = [pattern(40 << 20, 10), pattern(40 << 20, 11)];
        let target = room.target("key");
        let start = |at: usize| {
            let file = room.file(&format!("file-{at}"), &contents[at]);
            let args =
                ["backup", text(&file), &target, "--file-id", "same", "--limit-rate", "40MiB"];
            room.gateway
                .client(&args)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let ended = [start(0), start(1)].map(finished);
        let mut conflicts = 0;
        for (code, _, said) in &ended {
            assert_eq!(*code, Some(0), "{said}");
            conflicts += usize::from(said.contains("the recorded backup is of other content"));
        }
        assert!(conflicts >= 1, "one of the two was refused: {ended:?}");
        let object = room.restored("key");
        assert!(
            contents.iter().any(|content| *content == object),
            "the object is none of the files"
        );
    });
}
