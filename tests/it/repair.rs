//! Damage in the store: found, named and repaired.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::support::client::text;
use crate::support::lab::pattern;
use crate::support::process::Gateway;

const CHUNK: usize = 8 << 20;

/// A gateway on a directory, with a file of three chunks that is backed up.
struct Scene {
    home: tempfile::TempDir,
    gateway: Gateway,
    file: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
        let file = home.path().join("file");
        fs::write(&file, pattern(3 * CHUNK - 5, 1)).unwrap();
        gateway.json(&["backup", text(&file), "s3://bucket/key"]);
        Self { home, gateway, file }
    }

    /// The file in the store that holds the chunk with this index.
    fn stored(&self, index: usize) -> PathBuf {
        let bytes = fs::read(&self.file).unwrap();
        let chunk = bytes.chunks(CHUNK).nth(index).unwrap();
        let mut todo = vec![self.home.path().join("store/data")];
        while let Some(dir) = todo.pop() {
            for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    todo.push(path);
                } else if fs::read(&path).unwrap() == chunk {
                    return path;
                }
            }
        }
        panic!("no file of the store has chunk {index}")
    }

    fn verify(&self, more: &[&str]) -> (Option<i32>, serde_json::Value, String) {
        let args = [&["verify", "s3://bucket/key", "--json"], more].concat();
        let output = self.gateway.run(&args);
        let found = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), found, String::from_utf8(output.stderr).unwrap())
    }

    fn restored(&self) -> Vec<u8> {
        let back = self.home.path().join("back");
        self.gateway.json(&["restore", "s3://bucket/key", text(&back)]);
        fs::read(back).unwrap()
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[1000] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn shorten(path: &Path) {
    File::options().write(true).open(path).unwrap().set_len(3_000_000).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

#[test]
fn every_kind_of_damage_is_named_and_repaired() {
    for damage in [flip, shorten, remove] {
        let scene = Scene::new();
        damage(&scene.stored(1));
        let (code, found, stderr) = scene.verify(&[]);
        assert_eq!((code, &found["bad"]), (Some(1), &serde_json::json!([1])), "{found} {stderr}");
        let reason = found["reasons"]["1"].as_str().unwrap();
        assert!(reason.contains("chunk 1 of s3://bucket/key"), "{reason}");
        let back = scene.home.path().join("back");
        let (code, stderr) = scene.gateway.refused(&["restore", "s3://bucket/key", text(&back)]);
        assert_eq!(
            (code, stderr.contains("chunk 1 of s3://bucket/key"), back.exists()),
            (Some(1), true, false),
            "{stderr}"
        );
        // Another file repairs nothing.
        let other = scene.home.path().join("other");
        fs::write(&other, pattern(3 * CHUNK - 5, 2)).unwrap();
        let (code, _, stderr) = scene.verify(&["--repair", text(&other)]);
        assert_eq!(
            (code, stderr.contains("is not the file that was backed up")),
            (Some(1), true),
            "{stderr}"
        );
        let (code, found, stderr) = scene.verify(&["--repair", text(&scene.file)]);
        assert_eq!((code, &found["bad"]), (Some(0), &serde_json::json!([1])), "{stderr}");
        assert_eq!(
            found["repaired"]["bytesSent"], CHUNK,
            "only the damaged chunk is sent: {found}"
        );
        let (code, found, stderr) = scene.verify(&[]);
        assert_eq!((code, &found["bad"]), (Some(0), &serde_json::json!([])), "{stderr}");
        assert!(scene.restored() == fs::read(&scene.file).unwrap());
    }
}

#[test]
fn a_backup_that_checks_sends_damaged_content_again() {
    let scene = Scene::new();
    let backup = |more: &[&str]| {
        scene.gateway.json(&[&["backup", text(&scene.file), "s3://bucket/key"], more].concat())
    };
    let whole = backup(&["--check"]);
    assert_eq!(whole["backupId"], backup(&[])["backupId"]);
    flip(&scene.stored(2));
    assert_eq!(whole["backupId"], backup(&[])["backupId"], "nothing is read without --check");
    assert_ne!(whole["backupId"], backup(&["--check"])["backupId"]);
    assert!(scene.restored() == fs::read(&scene.file).unwrap());
}

#[test]
fn one_damaged_file_ends_one_file_of_a_directory() {
    let scene = Scene::new();
    let from = scene.home.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::copy(&scene.file, from.join("b")).unwrap();
    for name in ["a", "c"] {
        fs::write(from.join(name), name).unwrap();
    }
    scene.gateway.json(&["backup", text(&from), "s3://tree/t/"]);
    let stored = |index| scene.stored(index);
    // Both backups have the same bytes: all copies of the chunk go.
    remove(&stored(1));
    remove(&stored(1));
    let to = scene.home.path().join("to");
    let output = scene.gateway.run(&["restore", "s3://tree/t/", text(&to)]);
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stdout.contains("2 received, 0 there already, 0 skipped, 0 left out, 1 failed"),
        "{stdout}{stderr}"
    );
    assert!(stderr.contains("chunk 1 of s3://tree/t/b"), "{stderr}");
    assert_eq!(
        (fs::read(to.join("a")).unwrap(), fs::read(to.join("c")).unwrap()),
        (b"a".to_vec(), b"c".to_vec())
    );
}
