//! The embedded store under `kill -9`: a child process writes, is killed at a random point, and
//! everything that it said was done must be there when the store is opened again; what it had begun
//! is old or new, never torn.
//!
//! The child is this test binary itself, told by `RATCHET_KILL_DIR`. `RATCHET_KILLS` sets how often
//! (default 200).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use ratchet::clock::Clock;
use ratchet::store::{
    Attributes, Body, Bucket, ChosenPart, GetRange, Kind, Limits, PartNumber, PartTarget, PutMode,
    PutOptions, Store, UploadTarget, dir::Dir,
};

use crate::wait::{no_unfinished_bodies, until_nothing_leaks};

const KEYS: u64 = 12;
/// Half of the bodies go to files, half into the index.
const SIZES: [usize; 4] = [10, 5_000, 70 << 10, 300 << 10];
const LIMITS: Limits = Limits { min_part_bytes: 1, ..Limits::S3 };

fn bucket() -> Bucket {
    "b".into()
}

/// A body that names itself: `<number>` repeated, of one of the sizes.
fn content(number: u64) -> Bytes {
    let size = SIZES[(number % 4) as usize];
    let word = format!("{number:016x}");
    Bytes::from(word.bytes().cycle().take(size).collect::<Vec<u8>>())
}

/// What the child does until it is killed. Every acknowledged change is a line on stdout.
#[test]
fn child() {
    let Ok(dir) = std::env::var("RATCHET_KILL_DIR") else { return };
    let start: u64 = std::env::var("RATCHET_KILL_FROM").unwrap().parse().unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // The test runner's own words stand before the first line without an end.
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
        // Each writer has keys of its own, so that the parent knows the order of its changes.
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
    store.delete(&bucket(), &name.into(), None).await.unwrap();
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
    store.complete(target, &chosen, bytes.len() as u64).await.unwrap();
    number
}

/// What may be under a key: the last acknowledged change, or one that was begun after it.
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

    /// Lets the child work until a random number of lines came, kills it, and takes in everything
    /// it said.
    fn kill_one(&mut self, round: u64) {
        let mut child = self.spawn(round);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let most = 1 + self.random.number_below(60);
        let mut seen = 0;
        while seen < most {
            let Some(line) = lines.next() else {
                panic!("round {round}: the child ended by itself")
            };
            seen += u64::from(self.take(&line.unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            // The last line can be torn by the kill.
            let Ok(line) = line else { break };
            self.take(&line);
        }
    }

    /// Whether the line was one of the child's.
    fn take(&mut self, line: &str) -> bool {
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

    /// Opens the store as its next user would and looks at every key.
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
            let candidates = [Some(allowed.acknowledged), allowed.begun];
            let is = |number: u64| match &found {
                None => number == 0,
                Some(bytes) => number != 0 && content(number) == *bytes,
            };
            let number = candidates.into_iter().flatten().find(|number| is(*number));
            let holds = found.as_ref().map(|bytes| (bytes.len(), bytes.slice(..10)));
            let number = number.unwrap_or_else(|| {
                panic!("round {round}: {name} holds {holds:?}, wanted {candidates:?}")
            });
            *allowed = Allowed { acknowledged: number, begun: None };
        }
        let what = format!("round {round}");
        no_unfinished_bodies(&what, self.dir.path());
        // A round without this goes on in a store that was closed in the middle of removing.
        if round % 20 == 19 {
            until_nothing_leaks(&what, self.dir.path(), &store);
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
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
