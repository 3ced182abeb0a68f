//! `ratchet snapshot` and `ratchet check` as processes, on a directory that a gateway has open.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::lab::pattern;
use crate::support::process::{Gateway, KEY, PROGRAM};
use crate::support::small_disk::SmallDisk;

/// In the index, in a pack, in a file, in a file of several writes.
const SIZES: [usize; 4] = [10, 9000, 70 << 10, 300 << 10];
const KEYS: u64 = 12;

fn ratchet(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn store_of(directory: &Path) -> String {
    format!("dir:{}", directory.display())
}

/// Runs a command that must succeed, and returns the JSON objects that it prints.
fn json(args: &[&str]) -> Vec<Value> {
    let output = ratchet(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    lines(&output)
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Exit code and JSON objects of a check.
fn check(directory: &Path, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let store = store_of(directory);
    let output = ratchet(&[&["check", "--json", "--store", &store], more].concat());
    (output.status.code(), lines(&output))
}

/// Exit code and stderr of a command that is refused.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let output = ratchet(args);
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A body that repeats its number.
fn content(number: u64) -> Vec<u8> {
    let word = format!("{number}.");
    word.bytes().cycle().take(SIZES[(number % 4) as usize]).collect()
}

fn put(gateway: &Gateway, key: &str, body: &[u8]) {
    let (status, answer) = gateway.s3(KEY, "PUT", &format!("/bucket/{key}"), body);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
}

fn get(gateway: &Gateway, key: &str) -> (u16, Vec<u8>) {
    gateway.s3(KEY, "GET", &format!("/bucket/{key}"), b"")
}

fn gateway_with_bucket(directory: &Path) -> Gateway {
    let gateway = Gateway::start(&store_of(directory));
    let (status, answer) = gateway.s3(KEY, "PUT", "/bucket", b"");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    gateway
}

/// The files below `data/`, by path.
fn data_files(directory: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(directory.join("data")).unwrap();
    let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// Whether a file has small objects.
fn is_pack(file: &Path) -> bool {
    fs::read(file).unwrap().starts_with(b"RPK1")
}

/// The acknowledged number of each key, and how many backups are done.
#[derive(Default)]
struct Acknowledged {
    numbers: BTreeMap<String, u64>,
    backups: u64,
}

fn write_until(stop: &AtomicBool, gateway: &Gateway, done: &Mutex<Acknowledged>, writer: u64) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let key = format!("w{writer}-{}", number * 7 % KEYS);
        put(gateway, &key, &content(number));
        done.lock().unwrap().numbers.insert(key, number);
    }
}

fn back_up_until(stop: &AtomicBool, gateway: &Gateway, done: &Mutex<Acknowledged>, file: &Path) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let target = format!("s3://bucket/backup{number}");
        let output = gateway.run(&["backup", text(file), &target, "--chunk-size", "5MiB"]);
        assert!(output.status.success(), "{output:?}");
        number += 1;
        done.lock().unwrap().backups = number;
    }
}

/// The snapshot opens, has nothing lost, and every object as it was acknowledged or newer.
fn require_whole(snapshot: &Path, before: &Acknowledged, file: &Path) {
    let (code, found) = check(snapshot, &[]);
    assert_eq!(code, Some(0), "{found:?}");
    assert_eq!(found.len(), 1, "nothing is lost or left over: {found:?}");
    let gateway = Gateway::start(&store_of(snapshot));
    for (key, number) in &before.numbers {
        let (status, body) = get(&gateway, key);
        assert_eq!(status, 200, "{key}");
        let written = std::str::from_utf8(&body[..10]).unwrap().split('.').next().unwrap();
        let found: u64 = written.parse().unwrap();
        assert!(found >= *number, "{key}: {number} or newer, not {found}");
        assert!(content(found) == body, "{key}: all of {found}, not {} bytes", body.len());
    }
    for number in 0..before.backups {
        let back = snapshot.with_extension("back");
        let target = format!("s3://bucket/backup{number}");
        gateway.json(&["restore", &target, text(&back)]);
        assert!(fs::read(&back).unwrap() == fs::read(file).unwrap(), "{target}");
        fs::remove_file(back).unwrap();
    }
}

#[test]
fn snapshots_of_a_busy_store_are_whole() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("store");
    let gateway = gateway_with_bucket(&directory);
    let file = home.path().join("file");
    fs::write(&file, pattern(12 << 20, 1)).unwrap();
    let (stop, done) = (AtomicBool::new(false), Mutex::<Acknowledged>::default());
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (stop, gateway, done) = (&stop, &gateway, &done);
            scope.spawn(move || write_until(stop, gateway, done, writer));
        }
        scope.spawn(|| back_up_until(&stop, &gateway, &done, &file));
        for round in 0..5 {
            let wanted = 20 * (round + 1);
            crate::support::wait::until("objects are written", || {
                done.lock().unwrap().numbers.values().sum::<u64>() > wanted
            });
            let before = {
                let done = done.lock().unwrap();
                Acknowledged { numbers: done.numbers.clone(), backups: done.backups.min(2) }
            };
            let snapshot = home.path().join(format!("snapshot{round}"));
            let taken = json(&["snapshot", "--json", text(&directory), text(&snapshot)]);
            assert_eq!(taken[0]["files"], taken[0]["linked"], "one file system: {taken:?}");
            let (code, found) = check(&directory, &[]);
            assert_eq!(code, Some(0), "the busy store itself: {found:?}");
            assert_eq!(found.len(), 1, "nothing is left over in it: {found:?}");
            require_whole(&snapshot, &before, &file);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_snapshot_is_made_of_a_stopped_store_too_and_on_another_file_system() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("store");
    let (key, body) = ("key", pattern(200 << 10, 3));
    put(&gateway_with_bucket(&directory), key, &body);
    fs::write(directory.join("credentials"), "[ratchet]\n").unwrap();
    let disk = SmallDisk::mount(64);
    let mut targets = vec![(home.path().join("deep/snapshot"), 1)];
    targets.extend(disk.as_ref().map(|disk| (disk.path().join("snapshot"), 0)));
    for (target, linked) in targets {
        let taken = json(&["snapshot", "--json", &store_of(&directory), text(&target)]);
        assert_eq!((&taken[0]["files"], &taken[0]["linked"]), (&1.into(), &linked.into()));
        assert_eq!(taken[0]["bytes"], body.len());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&target), mode(&target.join("index.redb"))), (0o700, 0o600));
        assert_eq!(fs::read_to_string(target.join("credentials")).unwrap(), "[ratchet]\n");
        assert_eq!(get(&Gateway::start(&store_of(&target)), key), (200, body.to_vec()));
        let (code, message) = refused(&["snapshot", text(&directory), text(&target)]);
        assert_eq!((code, message.contains("not empty")), (Some(2), true), "{message}");
    }
    // The links are no danger to each other: what one store removes, the other keeps.
    let gateway = Gateway::start(&store_of(&directory));
    assert_eq!(gateway.s3(KEY, "DELETE", "/bucket/key", b"").0, 204);
    crate::support::wait::until("the file is gone", || data_files(&directory).is_empty());
    let files = data_files(&home.path().join("deep/snapshot"));
    assert_eq!(fs::metadata(&files[0]).unwrap().nlink(), 1);
}

#[test]
fn commands_for_a_directory_without_a_store_create_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (missing, to) = (home.path().join("missing"), home.path().join("to"));
    let store = store_of(&missing);
    for args in [
        vec!["snapshot", text(&missing), text(&to)],
        vec!["check", "--store", &store],
        vec!["check", "--rebuild", "--store", &store],
        vec!["gc", "--dry-run", "--store", &store],
        vec!["gc", "--store", &store],
        vec!["doctor", "--store", &store],
    ] {
        let (code, message) = refused(&args);
        assert_eq!(code, Some(2), "{args:?}: {message}");
        assert!(
            message.contains("there is no store in") && message.contains("missing"),
            "{message}"
        );
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "{args:?} created something");
    }
}

#[test]
fn a_check_names_lost_shortened_and_left_over_files() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("store");
    let mut gateway = gateway_with_bucket(&directory);
    put(&gateway, "whole", &pattern(200 << 10, 1));
    let known = data_files(&directory);
    let file = home.path().join("file");
    fs::write(&file, pattern(12 << 20, 2)).unwrap();
    gateway.json(&["backup", text(&file), "s3://bucket/parts", "--chunk-size", "5MiB"]);
    let parts = data_files(&directory).into_iter().filter(|file| !known.contains(file));
    let (small, large): (Vec<_>, Vec<_>) = parts
        .filter(|file| !is_pack(file))
        .partition(|part| fs::metadata(part).unwrap().len() < 5 << 20);
    fs::remove_file(&small[0]).unwrap();
    OpenOptions::new().write(true).open(&known[0]).unwrap().set_len(1000).unwrap();
    fs::copy(&large[0], directory.join("data/00/00stray")).unwrap();
    for runs in [true, false] {
        if !runs {
            gateway.kill();
        }
        let (code, mut found) = check(&directory, &[]);
        let report = found.pop().unwrap();
        assert_eq!(code, Some(1), "{report}");
        assert_eq!((&report["lost"], &report["left_over"]), (&2.into(), &1.into()), "{report}");
        let of = |key: &str| found.iter().find(|found| found["key"] == key).unwrap();
        let gone = of("parts");
        assert_eq!((&gone["bucket"], &gone["part"]), (&"bucket".into(), &3.into()), "{gone}");
        assert_eq!((&gone["parts"], &gone["found_bytes"]), (&3.into(), &Value::Null), "{gone}");
        let short = of("whole");
        assert_eq!(short["needed_bytes"], 200 << 10, "{short}");
        assert_eq!(short["found_bytes"], 1000, "{short}");
        assert!(text(&known[0]).ends_with(short["file"].as_str().unwrap()), "{short}");
        assert!(found.iter().any(|found| found["file"] == "data/00/00stray"), "{found:?}");
        let (code, message) =
            refused(&["snapshot", text(&directory), text(&home.path().join("to"))]);
        assert_eq!((code, message.contains("ratchet check")), (Some(1), true), "{message}");
        assert!(!home.path().join("to").exists() && !home.path().join("to.partial").exists());
    }
}

#[test]
fn a_check_names_every_object_of_a_lost_or_shortened_pack() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("store");
    let mut gateway = gateway_with_bucket(&directory);
    for key in ["a", "b", "c"] {
        put(&gateway, key, &pattern(9000, 1));
    }
    gateway.kill();
    let packs = data_files(&directory);
    assert!(packs.len() == 1 && is_pack(&packs[0]), "{packs:?}");
    let bytes = fs::read(&packs[0]).unwrap();
    let lost = |expected: &[&str]| {
        let (code, mut found) = check(&directory, &[]);
        let report = found.pop().unwrap();
        assert_eq!((code, &report["lost"]), (Some(1), &expected.len().into()), "{found:?}");
        assert_eq!((&report["left_over"], &report["wrong_counts"]), (&0.into(), &0.into()));
        for (key, found) in expected.iter().zip(&found) {
            assert_eq!((&found["key"], &found["part"]), (&(*key).into(), &1.into()), "{found}");
            assert!(text(&packs[0]).ends_with(found["file"].as_str().unwrap()), "{found}");
        }
    };
    // The index takes the journal over, which is behind the last object.
    assert_eq!(check(&directory, &[]).0, Some(0));
    // The last object is cut.
    let of = |body: &[u8]| bytes.windows(body.len()).rposition(|window| window == body).unwrap();
    fs::write(&packs[0], &bytes[..of(&pattern(9000, 1)) + 8999]).unwrap();
    lost(&["c"]);
    fs::remove_file(&packs[0]).unwrap();
    lost(&["a", "b", "c"]);
    // What a crash may leave behind the last object.
    fs::write(&packs[0], [&bytes[..], b"RPK1 and more"].concat()).unwrap();
    assert_eq!(check(&directory, &[]).0, Some(0));
    let gateway = Gateway::start(&store_of(&directory));
    put(&gateway, "d", &pattern(9000, 2));
    assert_eq!(data_files(&directory).len(), 2, "a new pack is begun");
    for (key, salt) in [("a", 1), ("b", 1), ("c", 1), ("d", 2)] {
        assert_eq!(get(&gateway, key), (200, pattern(9000, salt).to_vec()), "{key}");
    }
}

#[test]
fn an_index_whose_head_is_lost_is_rebuilt() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("store");
    let mut gateway = gateway_with_bucket(&directory);
    for number in 0..30 {
        put(&gateway, &format!("key{number}"), &content(number));
    }
    let file = home.path().join("file");
    fs::write(&file, pattern(12 << 20, 2)).unwrap();
    gateway.json(&["backup", text(&file), "s3://bucket/parts", "--chunk-size", "5MiB"]);
    let (code, message) = refused(&["check", "--rebuild", "--store", &store_of(&directory)]);
    assert_eq!((code, message.contains("another process")), (Some(2), true), "{message}");
    gateway.kill();
    let index = OpenOptions::new().write(true).open(directory.join("index.redb")).unwrap();
    index.write_all_at(&[0; 4096], 0).unwrap();
    let (code, message) = refused(&["check", "--store", &store_of(&directory)]);
    assert_eq!((code, message.contains("--rebuild")), (Some(1), true), "{message}");
    let (code, found) = check(&directory, &["--rebuild"]);
    let report = found.last().unwrap();
    assert_eq!((code, &report["salvaged"]), (Some(0), &true.into()), "{found:?}");
    assert_eq!(report["left_over"], 0, "{report}");
    assert!(directory.join(report["old_index"].as_str().unwrap()).is_file());
    let gateway = Gateway::start(&store_of(&directory));
    for number in 0..30 {
        assert_eq!(get(&gateway, &format!("key{number}")), (200, content(number)), "key{number}");
    }
    gateway.json(&["verify", "s3://bucket/parts"]);
}
