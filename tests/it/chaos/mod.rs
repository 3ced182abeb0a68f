//! Real processes and bad lines: relays that reset, cut short, stall, slow down and turn bytes over, between clients and
//! gateway and between gateway and store, while the gateway is killed again and again. Whoever fails is run again, as a
//! person would; in the end every file is there, byte for byte, and a sweep finds nothing that nobody owns.
//!
//! `RATCHET_CHAOS_SECONDS` is how long it goes on, `RATCHET_SEED` repeats its random numbers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ratchet::clock::Clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::process::{Gateway, KEY, PROGRAM, same_bytes, stores};

const FILES: usize = 3;
const FILE_BYTES: usize = 24 << 20;
/// One read of 64 KiB in so many meets a fault.
const ONE_IN: u64 = 200;

/// What was done to whom.
#[derive(Default)]
struct Tally {
    faults: AtomicU64,
    reruns: AtomicU64,
}

/// A line that fails at random.
#[derive(Clone)]
struct Line {
    address: SocketAddr,
    calm: Arc<AtomicBool>,
}

/// Which bytes a line may turn over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Corrupts {
    BothWays,
    /// What the store answers is believed: over plain HTTP nothing protects a record on its way back.
    Requests,
}

impl Line {
    async fn start(to: SocketAddr, random: Clock, corrupts: Corrupts, tally: Arc<Tally>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Self { address: listener.local_addr().unwrap(), calm: Arc::default() };
        let calm = Arc::clone(&line.calm);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(to).await else { continue };
                let (random, calm, tally) = (random.clone(), Arc::clone(&calm), Arc::clone(&tally));
                tokio::spawn(async move {
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let there = Direction { random: &random, calm: &calm, tally: &tally, corrupts: true };
                    let back = Direction { corrupts: corrupts == Corrupts::BothWays, ..there };
                    // Whichever ends first ends both.
                    tokio::select! {
                        () = there.relay(from_client, to_server) => {}
                        () = back.relay(from_server, to_client) => {}
                    }
                });
            }
        });
        line
    }
}

#[derive(Clone, Copy)]
struct Direction<'a> {
    random: &'a Clock,
    calm: &'a AtomicBool,
    tally: &'a Tally,
    corrupts: bool,
}

impl Direction<'_> {
    async fn relay(self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let mut bytes = &mut buffer[..read];
            let hit = !self.calm.load(Ordering::SeqCst) && self.random.below(ONE_IN) == 0;
            if hit {
                self.tally.faults.fetch_add(1, Ordering::SeqCst);
                match self.random.below(5) {
                    0 => return,
                    1 => {
                        let cut = self.random.below(read as u64) as usize;
                        to.write_all(&bytes[..cut]).await.ok();
                        return;
                    }
                    2 => self.random.pause(Duration::from_secs(2)).await,
                    3 => self.random.pause(self.random.jitter(Duration::from_millis(300))).await,
                    _ if self.corrupts => bytes[self.random.below(read as u64) as usize] ^= 0x10,
                    _ => bytes = &mut bytes[..0],
                }
            }
            if bytes.is_empty() || to.write_all(bytes).await.is_err() {
                return;
            }
        }
    }
}

fn gateway(store: &str, listen: &str, state: &str) -> Gateway {
    let mut serve = Command::new(PROGRAM);
    serve.args(["serve", "--listen", listen, "--store", store]).stderr(Stdio::null());
    serve.envs([("RATCHET_STATE_BUCKET", state), ("RATCHET_GC_ENABLED", "false")]);
    serve.envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)]);
    Gateway::spawn(serve)
}

fn client(line: SocketAddr, words: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.envs([("AWS_ACCESS_KEY_ID", KEY.0), ("AWS_SECRET_ACCESS_KEY", KEY.1), ("AWS_REGION", "us-east-1")]);
    command.env("AWS_ENDPOINT_URL", format!("http://{line}")).args(words);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn make_files(home: &Path, random: &Clock) -> Vec<PathBuf> {
    let make = |at| {
        let path = home.join(format!("file{at}"));
        let bytes: Vec<u8> =
            std::iter::repeat_with(|| random.random_id().into_bytes()).take(FILE_BYTES / 32).flatten().collect();
        std::fs::write(&path, bytes).unwrap();
        path
    };
    (0..FILES).map(make).collect()
}

/// Backs every file up over the bad line, again until it is done, while the gateway is killed. The kills.
async fn round(number: u64, room: &Room, gateway_now: &mut Gateway, files: &[PathBuf]) -> u64 {
    let mut kills = 0;
    let targets: Vec<String> = (0..FILES).map(|at| format!("s3://{}/round{number}-{at}", room.bucket)).collect();
    let run = |at: usize| {
        client(room.front.address, &["backup", files[at].to_str().unwrap(), &targets[at], "--retry-for", "20"])
    };
    let mut clients: Vec<Option<Child>> = (0..FILES).map(|at| Some(run(at))).collect();
    while clients.iter().any(Option::is_some) {
        room.random.pause(Duration::from_millis(20)).await;
        if room.random.below(200) == 0 && !room.front.calm.load(Ordering::SeqCst) {
            gateway_now.kill();
            // It starts on a good line: a store that fails its checks is refused, and rightly so.
            let was_calm = room.calm(true);
            *gateway_now = gateway(&room.store, &room.listen, &room.state);
            room.calm(was_calm);
            kills += 1;
        }
        for (at, child) in clients.iter_mut().enumerate() {
            let Some(status) = child.as_mut().and_then(|child| child.try_wait().unwrap()) else { continue };
            *child = (!status.success()).then(|| {
                room.tally.reruns.fetch_add(1, Ordering::SeqCst);
                run(at)
            });
        }
    }
    for (file, target) in files.iter().zip(&targets) {
        let back = file.with_extension("back");
        let told = gateway_now.run(&["restore", target, back.to_str().unwrap()]);
        assert!(told.status.success(), "seed {}: {}", room.seed, String::from_utf8_lossy(&told.stderr));
        assert!(same_bytes(file, &back), "seed {}: {target} is another file", room.seed);
        std::fs::remove_file(back).unwrap();
    }
    kills
}

struct Room {
    seed: u64,
    random: Clock,
    store: String,
    listen: String,
    state: String,
    bucket: String,
    front: Line,
    /// Between gateway and store, where there is a network.
    back: Option<Line>,
    tally: Arc<Tally>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lines_and_kills_lose_nothing() {
    let seed = std::env::var("RATCHET_SEED")
        .ok()
        .map_or_else(|| Clock::system().below(u64::from(u32::MAX)), |seed| seed.parse().unwrap());
    let seconds = std::env::var("RATCHET_CHAOS_SECONDS").map_or(30, |seconds| seconds.parse::<u64>().unwrap());
    for store in stores(tempfile::tempdir().unwrap().path()) {
        let home = tempfile::tempdir().unwrap();
        let (random, tally) = (Clock::seeded(seed), Arc::<Tally>::default());
        // A port that is the gateway's own, whichever process it is.
        let listen = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let state = format!("s{}", Clock::system().random_id());
        let (store, back) = match store.strip_prefix("s3+http://") {
            None => (store.clone(), None),
            Some(server) => {
                let line =
                    Line::start(server.parse().unwrap(), random.clone(), Corrupts::Requests, Arc::clone(&tally)).await;
                (format!("s3+http://{}", line.address), Some(line))
            }
        };
        back.iter().for_each(|line| line.calm.store(true, Ordering::SeqCst));
        let mut gateway_now = gateway(&store, &listen.to_string(), &state);
        let front = Line::start(listen, random.clone(), Corrupts::BothWays, Arc::clone(&tally)).await;
        let bucket = format!("b{}", Clock::system().random_id());
        let room =
            Room { seed, random, store: store.clone(), listen: listen.to_string(), state, bucket, front, back, tally };
        let files = make_files(home.path(), &room.random);
        let clock = Clock::system();
        let (mut rounds, mut kills) = (0, 0);
        while clock.monotonic() < Duration::from_secs(seconds / 2) {
            room.calm(rounds % 2 == 1);
            kills += round(rounds, &room, &mut gateway_now, &files).await;
            room.calm(true);
            rounds += 1;
        }
        let (faults, reruns) = (room.tally.faults.load(Ordering::SeqCst), room.tally.reruns.load(Ordering::SeqCst));
        gateway_now.kill();
        let (freed, left) = sweep(&room, rounds * FILES as u64);
        let files = rounds * FILES as u64;
        println!(
            "chaos: seed {seed} on {store}: {faults} faults, {kills} kills, {reruns} reruns; {files} files identical, \
             {freed} abandoned and freed, {left} leaked"
        );
        assert_eq!(left, 0, "seed {seed}");
    }
}

impl Room {
    /// Whether the line to the store fails; what it was.
    fn calm(&self, calm: bool) -> bool {
        self.back.as_ref().is_some_and(|line| line.calm.swap(calm, Ordering::SeqCst))
    }
}

/// Frees what was abandoned. What was freed, and what is left beside the records of complete files and tombstones.
fn sweep(room: &Room, complete: u64) -> (u64, u64) {
    let gc = || {
        let mut command = Command::new(PROGRAM);
        command
            .args(["gc", "--json", "--store", &room.store])
            .envs([("RATCHET_STATE_BUCKET", &*room.state), ("RATCHET_GC_EXPIRE_AFTER_S", "1")]);
        let told = command.output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let text = String::from_utf8(told.stdout).unwrap();
        let report: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        (report["actions"]["expire"].as_u64().unwrap_or(0), report["seen"].as_u64().unwrap())
    };
    let (mut freed, mut left) = (0, u64::MAX);
    // Ages are whole seconds: what is too young now is not in a moment.
    for _ in 0..100 {
        let (expired, seen) = gc();
        freed += expired;
        left = seen.saturating_sub(complete + freed);
        if left == 0 {
            break;
        }
    }
    (freed, left)
}
