//! Real processes and bad lines: relays that reset, cut short, stall, slow down and turn bytes
//! over, between clients and gateway and between gateway and store, while clients, gateway and
//! store are killed again and again. Whoever fails is run again, as a person would; in the end
//! every file is there, byte for byte, and a sweep finds nothing that nobody owns. Beside it: disks
//! that run full, and clocks that jump.
//!
//! `RATCHET_CHAOS_SECONDS` is how long it goes on, `RATCHET_SEED` repeats its random numbers.

mod clock;
mod disk;
mod line;
pub mod weed;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::store::dir::Dir;
use tokio::net::TcpListener;

use crate::process::{Gateway, KEY, PROGRAM, same_bytes};
use line::Line;
use weed::Weed;

const FILES: usize = 3;
const FILE_BYTES: usize = 24 << 20;
const CHUNKS: u64 = 3;
/// How often each is killed: one look, of some fifty a second, in so many.
const GATEWAY_DIES: u64 = 120;
const STORE_DIES: u64 = 250;
const CLIENT_DIES: u64 = 250;

/// What was done to whom.
#[derive(Default)]
struct Tally {
    gateway_kills: u64,
    store_kills: u64,
    client_kills: u64,
    reruns: u64,
    files: u64,
}

/// Where the bytes end up.
enum Place {
    Directory(PathBuf),
    /// A server of our own, to be killed.
    Weed(Box<Weed>),
    /// Everybody's server.
    Shared(String),
}

struct Room {
    seed: u64,
    random: Clock,
    place: Place,
    /// The store as the gateway is told, over the line if there is one.
    store: String,
    listen: String,
    state: String,
    bucket: String,
    gateway: Gateway,
    front: Line,
    /// Between gateway and store, where there is a network.
    back: Option<Line>,
    tally: Tally,
}

/// `serve` or `gc`, with what both are told of a store.
fn program(word: &str, store: &str, state: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args([word, "--store", store]).stderr(Stdio::null());
    command.envs([("RATCHET_STATE_BUCKET", state), ("RATCHET_GC_ENABLED", "false")]);
    command.envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)]);
    command
}

impl Place {
    fn url(&self) -> String {
        match self {
            Self::Directory(path) => format!("dir:{}", path.display()),
            Self::Weed(weed) => format!("s3+http://{}", weed.address()),
            Self::Shared(endpoint) => format!("s3+{endpoint}"),
        }
    }

    fn key(&self, command: &mut Command) {
        if let Self::Weed(_) = self {
            command
                .envs([("AWS_ACCESS_KEY_ID", weed::KEY.0), ("AWS_SECRET_ACCESS_KEY", weed::KEY.1)]);
            command.env("AWS_REGION", "us-east-1");
        }
    }

    fn serve(&self, store: &str, listen: &str, state: &str) -> Gateway {
        let mut serve = program("serve", store, state);
        serve.args(["--listen", listen]);
        self.key(&mut serve);
        Gateway::spawn(serve)
    }
}

impl Room {
    async fn new(place: Place, seed: u64) -> Self {
        let random = Clock::seeded(seed);
        // A port that is the gateway's own, whichever process it is.
        let listen = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let state = format!("s{}", Clock::system().random_id());
        let direct = place.url();
        let (store, back) = match direct.strip_prefix("s3+http://") {
            None => (direct, None),
            Some(server) => {
                let line = Line::start(server.parse().unwrap(), random.clone()).await;
                line.set_calm(true);
                (format!("s3+http://{}", line.address), Some(line))
            }
        };
        let gateway = place.serve(&store, &listen.to_string(), &state);
        let front = Line::start(listen, random.clone()).await;
        let bucket = format!("b{}", Clock::system().random_id());
        let (listen, tally) = (listen.to_string(), Tally::default());
        Self { seed, random, place, store, listen, state, bucket, gateway, front, back, tally }
    }

    /// Whether the line to the store fails; what it was.
    fn calm(&self, calm: bool) -> bool {
        self.back.as_ref().is_some_and(|line| line.set_calm(calm))
    }

    fn backup(&self, file: &Path, target: &str) -> Child {
        let mut command = Command::new(PROGRAM);
        command.envs([
            ("AWS_ACCESS_KEY_ID", KEY.0),
            ("AWS_SECRET_ACCESS_KEY", KEY.1),
            ("AWS_REGION", "us-east-1"),
        ]);
        command.env("AWS_ENDPOINT_URL", format!("http://{}", self.front.address));
        command.arg("backup").arg(file).args([target, "--retry-for", "20"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Backs every file up over the bad lines, again until it is done, while all are killed.
    async fn round(&mut self, number: u64, files: &[PathBuf]) {
        let targets: Vec<String> =
            (0..FILES).map(|at| format!("s3://{}/round{number}-{at}", self.bucket)).collect();
        let mut clients: Vec<Option<Child>> =
            (0..FILES).map(|at| Some(self.backup(&files[at], &targets[at]))).collect();
        while clients.iter().any(Option::is_some) {
            self.random.pause(Duration::from_millis(20)).await;
            self.maybe_kill_servers().await;
            for (at, child) in clients.iter_mut().enumerate() {
                let Some(ended) = child.as_mut().and_then(|child| self.ended(child)) else {
                    continue;
                };
                *child = (!ended).then(|| {
                    self.tally.reruns += 1;
                    self.backup(&files[at], &targets[at])
                });
            }
        }
        for (file, target) in files.iter().zip(&targets) {
            self.restore(file, target);
        }
        self.tally.files += FILES as u64;
    }

    /// Reads a file back, again until it is all there: a restore never ends well with other bytes.
    fn restore(&mut self, file: &Path, target: &str) {
        let back = file.with_extension("back");
        let words = ["restore", target, back.to_str().unwrap()];
        for run in 1.. {
            let told = self.gateway.run(&words);
            if told.status.success() {
                break;
            }
            let told = String::from_utf8_lossy(&told.stderr);
            assert!(run < 20, "seed {}: {target} cannot be read: {told}", self.seed);
            // What the line did is not the client's to mend.
            assert!(!told.contains("mend the request"), "seed {}: {told}", self.seed);
            self.tally.reruns += 1;
        }
        assert!(same_bytes(file, &back), "seed {}: {target} is another file", self.seed);
        std::fs::remove_file(back).unwrap();
    }

    /// Whether a client is done, or None while it goes on; it may be killed here.
    fn ended(&mut self, child: &mut Child) -> Option<bool> {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.success());
        }
        if self.random.number_below(CLIENT_DIES) > 0 {
            return None;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        self.tally.client_kills += 1;
        Some(false)
    }

    async fn maybe_kill_servers(&mut self) {
        if self.random.number_below(GATEWAY_DIES) == 0 {
            self.gateway.kill();
            // It starts on a good line: a store that fails its checks is refused, and rightly so.
            let was_calm = self.calm(true);
            self.gateway = self.place.serve(&self.store, &self.listen, &self.state);
            self.calm(was_calm);
            self.tally.gateway_kills += 1;
        }
        if let Place::Weed(weed) = &mut self.place
            && self.random.number_below(STORE_DIES) == 0
        {
            weed.restart().await;
            self.tally.store_kills += 1;
        }
    }

    /// Frees what was abandoned. What was freed, and what is left beside the records of complete
    /// files and tombstones.
    fn sweep(&self) -> (u64, u64) {
        let gc = || {
            let mut command = program("gc", &self.store, &self.state);
            command.arg("--json").env("RATCHET_GC_EXPIRE_AFTER_S", "1").stderr(Stdio::piped());
            self.place.key(&mut command);
            let told = command.output().unwrap();
            assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
            let text = String::from_utf8(told.stdout).unwrap();
            let report: serde_json::Value =
                serde_json::from_str(text.lines().last().unwrap()).unwrap();
            (report["actions"]["expire"].as_u64().unwrap_or(0), report["seen"].as_u64().unwrap())
        };
        let (mut freed, mut left) = (0, u64::MAX);
        // Ages are whole seconds: what is too young now is not in a moment.
        for _ in 0..100 {
            let (expired, seen) = gc();
            freed += expired;
            left = seen.saturating_sub(self.tally.files + freed);
            if left == 0 {
                break;
            }
        }
        (freed, left)
    }

    /// Parts in the store that belong to no object; and uploads without any, whose creator died
    /// before it could record them: those take no room, and no store tells them reliably from a
    /// tool's own.
    async fn leaked_parts(&self) -> (u64, u64) {
        match &self.place {
            Place::Directory(path) => {
                let files = Dir::open(path, Clock::system()).unwrap().count_files().unwrap();
                (files - self.tally.files * CHUNKS, 0)
            }
            Place::Weed(weed) => weed.open_uploads(&self.bucket).await,
            Place::Shared(_) => (0, 0),
        }
    }

    async fn sum_up(mut self) {
        self.gateway.kill();
        let (freed, left) = self.sweep();
        let (parts, empty) = self.leaked_parts().await;
        let leaked = left + parts;
        let Tally { gateway_kills, store_kills, client_kills, reruns, files } = self.tally;
        let faults = self.front.faults() + self.back.as_ref().map_or(0, Line::faults);
        let again = self.front.bytes_there().saturating_sub(files * FILE_BYTES as u64) >> 20;
        let kills = gateway_kills + store_kills + client_kills;
        println!(
            "chaos: seed {} on {}: {faults} faults, {kills} kills (gateway {gateway_kills}, \
             store {store_kills}, clients {client_kills}), {reruns} reruns; \
             {files} files of {} MiB identical, {again} MiB sent again, {freed} abandoned and freed, {empty} empty uploads left, {leaked} leaked, 0 lost",
            self.seed,
            self.place.url(),
            FILE_BYTES >> 20
        );
        assert_eq!(leaked, 0, "seed {}", self.seed);
    }
}

/// Chunks recorded of the open backup of a target; None where there is none.
fn stored(gateway: &Gateway, target: &str) -> Option<u64> {
    let told = gateway.run(&["status", target, "--json"]).stdout;
    serde_json::from_slice::<serde_json::Value>(&told).ok()?["stored"].as_u64()
}

/// Whether the target, read back, is the file.
fn restored(gateway: &Gateway, file: &Path, target: &str) -> bool {
    let back = file.with_extension("back");
    gateway.json(&["restore", target, back.to_str().unwrap()]);
    let same = same_bytes(file, &back);
    std::fs::remove_file(back).unwrap();
    same
}

fn make_files(home: &Path, random: &Clock) -> Vec<PathBuf> {
    let make = |at| {
        let path = home.join(format!("file{at}"));
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.random_id().into_bytes())
            .take(FILE_BYTES / 32)
            .flatten()
            .collect();
        std::fs::write(&path, bytes).unwrap();
        path
    };
    (0..FILES).map(make).collect()
}

fn seed() -> u64 {
    let given = std::env::var("RATCHET_SEED").ok();
    given.map_or_else(
        || Clock::system().number_below(u64::from(u32::MAX)),
        |seed| seed.parse().unwrap(),
    )
}

/// A directory, and a server that may be killed, or else everybody's.
async fn places(home: &Path) -> Vec<Place> {
    let mut places = vec![Place::Directory(home.join("store"))];
    let data = home.join("weed");
    std::fs::create_dir(&data).unwrap();
    match (Weed::start(&data).await, std::env::var("RATCHET_TEST_S3")) {
        (Some(weed), _) => places.push(Place::Weed(Box::new(weed))),
        (None, Ok(endpoint)) => places.push(Place::Shared(endpoint)),
        (None, Err(_)) => println!("SKIP chaos on s3: RATCHET_TEST_S3 names no server"),
    }
    places
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lines_and_kills_lose_nothing() {
    let (seed, home) = (seed(), tempfile::tempdir().unwrap());
    let seconds = std::env::var("RATCHET_CHAOS_SECONDS")
        .map_or(60, |seconds| seconds.parse::<u64>().unwrap());
    let places = places(home.path()).await;
    let each = Duration::from_secs(seconds) / places.len() as u32;
    for place in places {
        let mut room = Room::new(place, seed).await;
        let files = make_files(home.path(), &room.random);
        let (clock, mut rounds) = (Clock::system(), 0);
        while clock.monotonic() < each {
            room.calm(rounds % 2 == 1);
            room.round(rounds, &files).await;
            room.calm(true);
            rounds += 1;
        }
        room.sum_up().await;
    }
}
