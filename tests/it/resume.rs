//! The main job under `kill -9`: real processes, one file of 1 GiB, clients and gateways killed at random points.
//!
//! `RATCHET_E2E_MIB` sets the file's size. Bytes are counted at the gateways, by their own figures.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use ratchet::clock::Clock;

const CHUNK: u64 = 8 << 20;
const JOBS: u64 = 4;
const TARGET: &str = "s3://resume/big.bin";
const PROGRAM: &str = env!("CARGO_BIN_EXE_ratchet");

/// A gateway process; killed on drop.
struct Gateway {
    child: Child,
    url: String,
}

impl Gateway {
    fn start(store: &str) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0", "--store", store])
            .envs([("RATCHET_ACCESS_KEY_ID", "root-key"), ("RATCHET_SECRET_ACCESS_KEY", "root-secret-root-secret")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("ready ").unwrap_or_else(|| panic!("no ready line but {line:?}")).to_owned();
        Self { child, url }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The client's command, pointed at this gateway.
    fn client(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).args(["--endpoint", &self.url]).envs([
            ("AWS_ACCESS_KEY_ID", "root-key"),
            ("AWS_SECRET_ACCESS_KEY", "root-secret-root-secret"),
            ("AWS_REGION", "us-east-1"),
        ]);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.client(args).output().unwrap()
    }

    fn backup(&self, file: &Path) -> Child {
        let mut command = self.client(&["backup", file.to_str().unwrap(), TARGET, "--json", "--limit-rate", "300MiB"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Chunks recorded of the open backup; 0 where there is none yet.
    fn stored(&self) -> u64 {
        let told = self.run(&["status", TARGET, "--json"]);
        let line = String::from_utf8(told.stdout).unwrap();
        let status: Option<serde_json::Value> = line.lines().next().and_then(|line| serde_json::from_str(line).ok());
        status.and_then(|status| status["stored"].as_u64()).unwrap_or(0)
    }

    fn wait_for(&self, stored: u64, client: &mut Child) {
        while self.stored() < stored {
            if let Some(status) = client.try_wait().unwrap() {
                panic!("the client ended before {stored} chunks were stored: {status}");
            }
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may be dead already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn make_file(dir: &Path, random: &Clock) -> (PathBuf, u64) {
    let mib = std::env::var("RATCHET_E2E_MIB").map_or(1024, |mib| mib.parse::<u64>().unwrap());
    let path = dir.join("big.bin");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    // Every MiB is another one: a seed of 16 bytes, stretched.
    for _ in 0..mib {
        let mut block = random.random_id().into_bytes();
        while block.len() < 1 << 20 {
            block.extend_from_within(..);
        }
        std::io::Write::write_all(&mut file, &block[..1 << 20]).unwrap();
    }
    std::io::Write::flush(&mut file).unwrap();
    (path, mib << 20)
}

/// Client killed three times, gateway killed once, then finished by another client, on another gateway where the
/// store can have two. Whatever was recorded before a kill is never sent again.
fn killed_and_carried_on(store: &str, second_store: Option<&str>) {
    let home = tempfile::tempdir().unwrap();
    let seed = Clock::system().below(1 << 32);
    println!("resume: seed {seed} on {store}");
    let random = Clock::seeded(seed);
    let (file, size) = make_file(home.path(), &random);
    let chunks = size / CHUNK;
    let mut gateway = Gateway::start(store);
    let mut done = 0;
    for kill in 1..=3 {
        let mut client = gateway.backup(&file);
        gateway.wait_for((done + 1 + random.below(chunks / 5)).min(chunks - 2), &mut client);
        client.kill().unwrap();
        client.wait().unwrap();
        let now = gateway.stored();
        assert!(now >= done, "kill {kill}: {done} chunks were recorded, now {now}");
        done = now;
    }
    // The gateway dies under a client; the client of the next run finds all that was recorded.
    let mut client = gateway.backup(&file);
    gateway.wait_for((done + 2).min(chunks - 1), &mut client);
    let before = gateway.stored();
    gateway.kill();
    client.kill().unwrap();
    client.wait().unwrap();
    let gateway = Gateway::start(second_store.unwrap_or(store));
    let recorded = gateway.stored();
    assert!(recorded >= before, "{before} chunks were acknowledged, {recorded} are recorded");
    let last = gateway.run(&["backup", file.to_str().unwrap(), TARGET, "--json"]);
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    let report: serde_json::Value = serde_json::from_slice(&last.stdout).unwrap();
    let (sent, skipped) = (report["bytesSent"].as_u64().unwrap(), report["bytesSkipped"].as_u64().unwrap());
    println!(
        "resume: {size} bytes; the last run sent {sent}, {skipped} were there; {recorded} of {chunks} were recorded"
    );
    // What was in flight at the kill may have been recorded after we looked, so fewer may be sent, never more.
    assert_eq!(sent + skipped, size);
    assert!(sent <= size - recorded * CHUNK, "{sent} bytes sent, though {recorded} chunks were recorded");
    assert!(skipped <= (recorded + JOBS) * CHUNK);
    let again = gateway.run(&["backup", file.to_str().unwrap(), TARGET, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(report["bytesSent"], 0, "a finished backup is sent again");
    let back = home.path().join("back.bin");
    let restored = gateway.run(&["restore", TARGET, back.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let same = Command::new("cmp").args([&file, &back]).status().unwrap();
    assert!(same.success(), "the restored file differs");
}

#[test]
fn a_backup_survives_kills_on_the_embedded_store() {
    let home = tempfile::tempdir().unwrap();
    killed_and_carried_on(&format!("dir:{}", home.path().join("store").display()), None);
}

#[test]
fn a_backup_survives_kills_on_an_s3_store_and_moves_to_another_gateway() {
    let Ok(endpoint) = std::env::var("RATCHET_TEST_S3") else {
        println!("SKIP resume on s3: RATCHET_TEST_S3 names no server");
        return;
    };
    let store = format!("s3+{endpoint}");
    killed_and_carried_on(&store, Some(&store));
}

#[test]
fn an_unreachable_gateway_is_exit_code_3_and_wrong_use_is_2() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = |args: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(args).envs([("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")]);
        command.output().unwrap().status.code()
    };
    let url = format!("http://{nobody}");
    assert_eq!(gateway(&["ls", "s3://b", "--endpoint", &url, "--retry-for", "0"]), Some(3));
    assert_eq!(gateway(&["ls", "b", "--endpoint", &url]), Some(2));
    assert_eq!(gateway(&["ls", "s3://b", "--endpoint", "nonsense"]), Some(2));
}
