//! The embedded store under `kill -9`. A child process writes and is killed at a random point. When
//! the store is opened again, everything that the child reported as done must be present, and each
//! interrupted change is complete or absent, never partial.
//!
//! The child is this test binary itself, started with `RATCHET_KILL_DIR`. `RATCHET_KILLS` sets the
//! number of kills (default 200).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use ratchet::clock::Clock;
use ratchet::names::Bucket;
use ratchet::store::{
    Attributes, Body, ChosenPart, Completion, DeleteOptions, GetRange, Kind, Limits, PartNumber,
    PartTarget, PutMode, PutOptions, Store, UploadTarget,
    dir::{self, Dir, Finding},
};

use crate::support::wait::{no_unfinished_bodies, until_nothing_leaks};

const KEYS: u64 = 12;
/// A quarter of the bodies is stored in the index, one in packs, and half in files.
const SIZES: [usize; 4] = [10, 5_000, 70 << 10, 300 << 10];
const LIMITS: Limits = Limits { min_part_bytes: 1, ..Limits::S3 };

fn bucket() -> Bucket {
    "b".into()
}

/// A body that repeats its number, with one of the sizes.
fn content(number: u64) -> Bytes {
    let size = SIZES[(number % 4) as usize];
    let word = format!("{number:016x}");
    Bytes::from(word.bytes().cycle().take(size).collect::<Vec<u8>>())
}

/// Writes until it is killed, and prints a line for every acknowledged change.
#[test]
fn child() {
    let Ok(dir) = std::env::var("RATCHET_KILL_DIR") else { return };
    let start: u64 = std::env::var("RATCHET_KILL_FROM").unwrap().parse().unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Ends the line that the test runner has begun.
    println!();
    runtime.block_on(async {
        let store: Arc<dyn Store> =
            Arc::new(Dir::with_limits(Path::new(&dir), LIMITS, Clock::system()).unwrap());
        let writers =
            (0..4).map(|writer| tokio::spawn(write_for_ever(Arc::clone(&store), writer, start)));
        futures_util::future::join_all(writers).await;
    });
}

async fn write_for_ever(store: Arc<dyn Store>, writer: u64, start: u64) {
    let random = Clock::seeded(start ^ (writer << 40));
    let mut number = start * 1000 + writer * 250;
    loop {
        number += 1;
        // Each writer has its own keys, so that the parent knows the order of the changes of a key.
        let name = format!("w{writer}/{}", random.number_below(KEYS));
        let done = match random.number_below(10) {
            0 => delete(&store, &name).await,
            1..=3 => upload(&store, &name, number, &random).await,
            _ => put(&store, &name, number).await,
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "done {name} {done}").unwrap();
        out.flush().unwrap();
    }
}

fn announce(name: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "try {name} {number}").unwrap();
    out.flush().unwrap();
}

async fn delete(store: &Arc<dyn Store>, name: &str) -> u64 {
    announce(name, 0);
    store.delete(&bucket(), &name.into(), &DeleteOptions::default()).await.unwrap();
    0
}

async fn put(store: &Arc<dyn Store>, name: &str, number: u64) -> u64 {
    announce(name, number);
    let key = name.into();
    let mode = match store.head(&bucket(), &key).await {
        Ok(head) => PutMode::IfMatch(head.etag),
        Err(_) => PutMode::CreateOnly,
    };
    let options = PutOptions { mode, ..PutOptions::default() };
    store.put(&bucket(), &key, Body::from(content(number)), options).await.unwrap();
    number
}

async fn upload(store: &Arc<dyn Store>, name: &str, number: u64, random: &Clock) -> u64 {
    announce(name, number);
    let (bucket, key) = (bucket(), name.into());
    let upload = store.create_upload(&bucket, &key, &Attributes::default()).await.unwrap();
    let target = UploadTarget { bucket: &bucket, key: &key, upload: &upload };
    let bytes = content(number);
    let cut = random.number_below(bytes.len() as u64) as usize;
    let mut chosen = Vec::new();
    for (at, part) in [bytes.slice(..cut), bytes.slice(cut..)].into_iter().enumerate() {
        let number = PartNumber::new(at as u32 + 1).unwrap();
        let etag = store
            .put_part(PartTarget { upload: target, number }, part.into(), None.into())
            .await
            .unwrap();
        chosen.push(ChosenPart { number, etag: etag.etag, sha256: None });
    }
    store.complete(target, &chosen, &Completion::of(bytes.len() as u64)).await.unwrap();
    number
}

/// The content that a key may have: the last acknowledged change, or one that was begun after it.
#[derive(Default, Clone)]
struct Allowed {
    acknowledged: u64,
    begun: Option<u64>,
}

struct Parent {
    dir: tempfile::TempDir,
    random: Clock,
    allowed: BTreeMap<String, Allowed>,
    acknowledged: u64,
}

impl Parent {
    fn spawn(&self, round: u64) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "dir_kill::child", "--nocapture", "--test-threads=1"])
            .env("RATCHET_KILL_DIR", self.dir.path())
            .env("RATCHET_KILL_FROM", (round + 1).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Kills the child after a random number of lines, and records all its lines.
    fn kill_one(&mut self, round: u64) {
        let mut child = self.spawn(round);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let limit = 1 + self.random.number_below(60);
        let mut seen = 0;
        while seen < limit {
            let Some(line) = lines.next() else {
                panic!("round {round}: the child ended before it was killed")
            };
            seen += u64::from(self.record(&line.unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            // The kill may truncate the last line.
            let Ok(line) = line else { break };
            self.record(&line);
        }
    }

    /// Records a line. False if it is not a line of the child's protocol.
    fn record(&mut self, line: &str) -> bool {
        let mut words = line.split(' ');
        let (Some(word @ ("try" | "done")), Some(name), Some(Ok(number))) =
            (words.next(), words.next(), words.next().map(str::parse::<u64>))
        else {
            return false;
        };
        let allowed = self.allowed.entry(name.to_owned()).or_default();
        if word == "try" {
            allowed.begun = Some(number);
        } else {
            *allowed = Allowed { acknowledged: number, begun: None };
            self.acknowledged += 1;
        }
        true
    }

    /// Opens the store again and checks every key.
    async fn check(&mut self, round: u64) {
        let store = Dir::with_limits(self.dir.path(), LIMITS, Clock::system()).unwrap();
        for (name, allowed) in &mut self.allowed {
            let found = match store
                .get(&bucket(), &name.as_str().into(), GetRange::Whole, Default::default())
                .await
            {
                Ok((_, body)) => Some(body.collect(1 << 20).await.unwrap()),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::NotFound, "round {round}: {name}: {error:?}");
                    None
                }
            };
            let allowed_numbers = [Some(allowed.acknowledged), allowed.begun];
            let matches = |number: u64| match &found {
                None => number == 0,
                Some(bytes) => number != 0 && content(number) == *bytes,
            };
            let number = allowed_numbers.into_iter().flatten().find(|number| matches(*number));
            let found_bytes = found.as_ref().map(|bytes| (bytes.len(), bytes.slice(..10)));
            let number = number.unwrap_or_else(|| {
                panic!("round {round}: {name} has {found_bytes:?}, allowed are {allowed_numbers:?}")
            });
            *allowed = Allowed { acknowledged: number, begun: None };
        }
        let what = format!("round {round}");
        no_unfinished_bodies(&what, self.dir.path());
        // In the other rounds the store is closed while it may still be removing files or
        // compacting packs.
        if round % 20 == 19 {
            until_nothing_leaks(&what, self.dir.path(), &store);
            let on_finding = &mut |finding: &Finding| panic!("{what}: {finding:?}");
            let report = dir::check(self.dir.path(), on_finding).unwrap();
            assert!(report.is_sound(), "{what}: {report:?}");
        }
    }
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let kills = std::env::var("RATCHET_KILLS").map_or(200, |kills| kills.parse().unwrap());
    let seed = std::env::var("RATCHET_SEED")
        .map_or_else(|_| Clock::system().number_below(1 << 32), |s| s.parse().unwrap());
    println!("dir_kill: RATCHET_SEED={seed}");
    let random = Clock::seeded(seed);
    let mut parent = Parent {
        dir: tempfile::tempdir().unwrap(),
        random,
        allowed: BTreeMap::new(),
        acknowledged: 0,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Dir::with_limits(parent.dir.path(), LIMITS, Clock::system()).unwrap();
        store.create_bucket(&bucket()).await.unwrap();
    });
    for round in 0..kills {
        parent.kill_one(round);
        runtime.block_on(parent.check(round));
    }
    println!("dir_kill: {kills} kills, {} acknowledged changes, none lost", parent.acknowledged);
}
