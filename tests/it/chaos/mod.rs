//! Real processes on a faulty network: relays between clients and gateway and between gateway and
//! store reset connections, truncate, stall, delay and corrupt data, while clients, gateway and
//! store are killed repeatedly. A client that fails is started again. In the end every file is
//! identical, and a sweep finds nothing without an owner. The submodules have full disks and clock
//! jumps.
//!
//! `RATCHET_CHAOS_SECONDS` sets the duration, `RATCHET_SEED` the seed of the random numbers.

mod clock;
mod disk;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::store::dir::Dir;
use tokio::net::TcpListener;

use crate::support::faulty_link::FaultyLink;
use crate::support::process::{Gateway, KEY, PROGRAM, same_bytes};
use crate::support::seaweedfs::{self, SeaweedFs};

const FILES: usize = 3;
const FILE_BYTES: usize = 24 << 20;
const CHUNKS: u64 = 3;
/// Each process is killed at one in so many checks; there are about fifty checks per second.
const KILL_GATEWAY_ONE_IN: u64 = 120;
const KILL_STORE_ONE_IN: u64 = 250;
const KILL_CLIENT_ONE_IN: u64 = 250;

/// Counts of one run.
#[derive(Default)]
struct Tally {
    gateway_kills: u64,
    store_kills: u64,
    client_kills: u64,
    reruns: u64,
    files: u64,
}

/// The store behind the gateway.
enum Backend {
    Directory(PathBuf),
    /// A server that only this test uses, so that it may be killed.
    SeaweedFs(Box<SeaweedFs>),
    /// The endpoint of the server that all tests share.
    Shared(String),
}

struct Chaos {
    seed: u64,
    random: Clock,
    backend: Backend,
    /// The setting `store` of the gateway; leads over the faulty link if there is one.
    store: String,
    listen: String,
    state: String,
    bucket: String,
    gateway: Gateway,
    client_link: FaultyLink,
    /// Between gateway and store, if the store is a server.
    store_link: Option<FaultyLink>,
    tally: Tally,
}

/// The command `serve` or `gc` on a store and a state bucket.
fn store_command(word: &str, store: &str, state: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args([word, "--store", store]).stderr(Stdio::null());
    command.envs([("RATCHET_STATE_BUCKET", state), ("RATCHET_GC_ENABLED", "false")]);
    // The files are few, and each backup must send and store all its bytes.
    command.env("RATCHET_RESUME_KNOWN_PARTS", "0");
    command.envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)]);
    command
}

impl Backend {
    fn url(&self) -> String {
        match self {
            Self::Directory(path) => format!("dir:{}", path.display()),
            Self::SeaweedFs(seaweedfs) => format!("s3+http://{}", seaweedfs.address()),
            Self::Shared(endpoint) => format!("s3+{endpoint}"),
        }
    }

    fn add_credentials(&self, command: &mut Command) {
        if let Self::SeaweedFs(_) = self {
            command.envs([
                ("AWS_ACCESS_KEY_ID", seaweedfs::KEY.0),
                ("AWS_SECRET_ACCESS_KEY", seaweedfs::KEY.1),
            ]);
            command.env("AWS_REGION", "us-east-1");
        }
    }

    fn serve(&self, store: &str, listen: &str, state: &str) -> Gateway {
        let mut serve = store_command("serve", store, state);
        serve.args(["--listen", listen]);
        self.add_credentials(&mut serve);
        Gateway::spawn(serve)
    }
}

impl Chaos {
    async fn new(backend: Backend, seed: u64) -> Self {
        let random = Clock::seeded(seed);
        // All gateway processes of the run listen on the same port.
        let listen = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let state = format!("s{}", Clock::system().random_id());
        let direct = backend.url();
        let (store, store_link) = match direct.strip_prefix("s3+http://") {
            None => (direct, None),
            Some(server) => {
                let link = FaultyLink::start(server.parse().unwrap(), random.clone()).await;
                link.set_faults_off(true);
                (format!("s3+http://{}", link.address), Some(link))
            }
        };
        let gateway = backend.serve(&store, &listen.to_string(), &state);
        let client_link = FaultyLink::start(listen, random.clone()).await;
        let bucket = format!("b{}", Clock::system().random_id());
        let (listen, tally) = (listen.to_string(), Tally::default());
        Self {
            seed,
            random,
            backend,
            store,
            listen,
            state,
            bucket,
            gateway,
            client_link,
            store_link,
            tally,
        }
    }

    /// Switches the faults between gateway and store off or on. Returns whether they were off
    /// before.
    fn set_store_faults_off(&self, off: bool) -> bool {
        self.store_link.as_ref().is_some_and(|link| link.set_faults_off(off))
    }

    fn backup(&self, file: &Path, target: &str) -> Child {
        let mut command = Command::new(PROGRAM);
        command.envs([
            ("AWS_ACCESS_KEY_ID", KEY.0),
            ("AWS_SECRET_ACCESS_KEY", KEY.1),
            ("AWS_REGION", "us-east-1"),
        ]);
        command.env("AWS_ENDPOINT_URL", format!("http://{}", self.client_link.address));
        command.arg("backup").arg(file).args([target, "--retry-for", "20"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Backs up every file over the faulty links while processes are killed; each client is started
    /// again until it succeeds.
    async fn round(&mut self, number: u64, files: &[PathBuf]) {
        let targets: Vec<String> =
            (0..FILES).map(|at| format!("s3://{}/round{number}-{at}", self.bucket)).collect();
        let mut clients: Vec<Option<Child>> =
            (0..FILES).map(|at| Some(self.backup(&files[at], &targets[at]))).collect();
        while clients.iter().any(Option::is_some) {
            self.random.pause(Duration::from_millis(20)).await;
            self.maybe_kill_servers().await;
            for (at, child) in clients.iter_mut().enumerate() {
                let Some(succeeded) = child.as_mut().and_then(|child| self.has_succeeded(child))
                else {
                    continue;
                };
                *child = (!succeeded).then(|| {
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

    /// Restores a file, again until that succeeds. A restore that succeeds has the right bytes.
    fn restore(&mut self, file: &Path, target: &str) {
        let back = file.with_extension("back");
        let words = ["restore", target, back.to_str().unwrap()];
        for run in 1.. {
            let output = self.gateway.run(&words);
            if output.status.success() {
                break;
            }
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(run < 20, "seed {}: {target} cannot be restored: {stderr}", self.seed);
            // The link caused the failure: the message must not blame the request.
            assert!(!stderr.contains("correct the request"), "seed {}: {stderr}", self.seed);
            self.tally.reruns += 1;
        }
        assert!(same_bytes(file, &back), "seed {}: {target} differs from its file", self.seed);
        std::fs::remove_file(back).unwrap();
    }

    /// Whether a client succeeded, or `None` while it runs. Sometimes kills it.
    fn has_succeeded(&mut self, child: &mut Child) -> Option<bool> {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.success());
        }
        if self.random.number_below(KILL_CLIENT_ONE_IN) > 0 {
            return None;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        self.tally.client_kills += 1;
        Some(false)
    }

    async fn maybe_kill_servers(&mut self) {
        if self.random.number_below(KILL_GATEWAY_ONE_IN) == 0 {
            self.gateway.kill();
            // The start has no faults: a gateway refuses a store that fails its probe.
            let were_off = self.set_store_faults_off(true);
            self.gateway = self.backend.serve(&self.store, &self.listen, &self.state);
            self.set_store_faults_off(were_off);
            self.tally.gateway_kills += 1;
        }
        if let Backend::SeaweedFs(seaweedfs) = &mut self.backend
            && self.random.number_below(KILL_STORE_ONE_IN) == 0
        {
            seaweedfs.restart().await;
            self.tally.store_kills += 1;
        }
    }

    /// Frees abandoned sessions. Returns how many were freed, and how many sessions are left
    /// besides complete files and tombstones.
    fn sweep(&self) -> (u64, u64) {
        let gc = || {
            let mut command = store_command("gc", &self.store, &self.state);
            command.arg("--json").env("RATCHET_GC_EXPIRE_AFTER_S", "1").stderr(Stdio::piped());
            self.backend.add_credentials(&mut command);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            let report: serde_json::Value =
                serde_json::from_str(text.lines().last().unwrap()).unwrap();
            (report["actions"]["expire"].as_u64().unwrap_or(0), report["seen"].as_u64().unwrap())
        };
        let (mut freed, mut left) = (0, u64::MAX);
        // Ages are whole seconds: a session that is too young now is old enough soon.
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

    /// The number of parts in the store that belong to no object, and of open uploads without
    /// parts. The creators of the latter were killed before they recorded them; they use no space,
    /// and no store distinguishes them reliably from uploads of other tools.
    async fn leaked_parts(&self) -> (u64, u64) {
        match &self.backend {
            Backend::Directory(path) => {
                let store = Dir::open(path, Clock::system()).unwrap();
                let files = store.count_files().unwrap() - store.count_packs().unwrap();
                (files - self.tally.files * CHUNKS, 0)
            }
            Backend::SeaweedFs(seaweedfs) => seaweedfs.open_uploads(&self.bucket).await,
            Backend::Shared(_) => (0, 0),
        }
    }

    async fn finish(mut self) {
        self.gateway.kill();
        let (freed, left) = self.sweep();
        let (parts, empty) = self.leaked_parts().await;
        let leaked = left + parts;
        let Tally { gateway_kills, store_kills, client_kills, reruns, files } = self.tally;
        let faults =
            self.client_link.faults() + self.store_link.as_ref().map_or(0, FaultyLink::faults);
        let sent_again =
            self.client_link.bytes_upstream().saturating_sub(files * FILE_BYTES as u64) >> 20;
        let kills = gateway_kills + store_kills + client_kills;
        println!(
            "chaos: seed {} on {}: {faults} faults, {kills} kills (gateway {gateway_kills}, \
             store {store_kills}, clients {client_kills}), {reruns} reruns; \
             {files} files of {} MiB identical, {sent_again} MiB sent again, {freed} abandoned and freed, {empty} empty uploads left, {leaked} leaked, 0 lost",
            self.seed,
            self.backend.url(),
            FILE_BYTES >> 20
        );
        assert_eq!(leaked, 0, "seed {}", self.seed);
    }
}

/// The number of recorded chunks of the open backup of a target; `None` if there is none.
fn stored_chunks(gateway: &Gateway, target: &str) -> Option<u64> {
    let output = gateway.run(&["status", target, "--json"]).stdout;
    serde_json::from_slice::<serde_json::Value>(&output).ok()?["stored"].as_u64()
}

/// Whether a restore of the target equals the file.
fn restores_to(gateway: &Gateway, file: &Path, target: &str) -> bool {
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

/// A directory, and a server that may be killed, or the shared server if there is no such one.
async fn backends(home: &Path) -> Vec<Backend> {
    let mut backends = vec![Backend::Directory(home.join("store"))];
    let data = home.join("weed");
    std::fs::create_dir(&data).unwrap();
    match (SeaweedFs::start(&data).await, std::env::var("RATCHET_TEST_S3")) {
        (Some(seaweedfs), _) => backends.push(Backend::SeaweedFs(Box::new(seaweedfs))),
        (None, Ok(endpoint)) => backends.push(Backend::Shared(endpoint)),
        (None, Err(_)) => println!("SKIP chaos on s3: RATCHET_TEST_S3 names no server"),
    }
    backends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faulty_links_and_kills_lose_nothing() {
    let (seed, home) = (seed(), tempfile::tempdir().unwrap());
    let seconds = std::env::var("RATCHET_CHAOS_SECONDS")
        .map_or(60, |seconds| seconds.parse::<u64>().unwrap());
    let backends = backends(home.path()).await;
    let each = Duration::from_secs(seconds) / backends.len() as u32;
    for backend in backends {
        let mut chaos = Chaos::new(backend, seed).await;
        let files = make_files(home.path(), &chaos.random);
        let (clock, mut rounds) = (Clock::system(), 0);
        while clock.monotonic() < each {
            chaos.set_store_faults_off(rounds % 2 == 1);
            chaos.round(rounds, &files).await;
            chaos.set_store_faults_off(true);
            rounds += 1;
        }
        chaos.finish().await;
    }
}
