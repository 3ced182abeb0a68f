//! A backup and a restore under `kill -9`: real processes, one file of 1 GiB, clients and gateways
//! killed at random points.
//!
//! `RATCHET_E2E_MIB` sets the size of the file. Bytes are counted between clients and gateways.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ratchet::clock::Clock;

use crate::support::process::{Gateway, PROGRAM, Relay, same_bytes};

const CHUNK: u64 = 8 << 20;
const JOBS: u64 = 4;
/// The allowance per run for heads of requests and small calls.
const OVERHEAD_BYTES: u64 = 1 << 20;

/// What a client may send so that this many more chunks are stored, and at most [`JOBS`] above
/// that: it cannot end before it is killed, however slow the machine is.
fn allowance(chunks: u64) -> u64 {
    // A connection of a killed client may still pass a buffer.
    (chunks + JOBS) * CHUNK + 2 * OVERHEAD_BYTES
}

/// The file, and a target that no other run uses.
struct Job {
    file: PathBuf,
    size: u64,
    target: String,
}

impl Job {
    fn backup(&self, gateway: &Gateway) -> Child {
        let file = self.file.to_str().unwrap();
        let mut command = gateway.client(&["backup", file, &self.target, "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The number of recorded chunks of the open backup; 0 if there is none yet.
    fn stored_chunks(&self, gateway: &Gateway) -> u64 {
        let output = gateway.run(&["status", &self.target, "--json"]);
        let line = String::from_utf8(output.stdout).unwrap();
        let status: Option<serde_json::Value> =
            line.lines().next().and_then(|line| serde_json::from_str(line).ok());
        status.and_then(|status| status["stored"].as_u64()).unwrap_or(0)
    }

    fn wait_for_chunks(&self, gateway: &Gateway, stored: u64, client: &mut Child) {
        while self.stored_chunks(gateway) < stored {
            if let Some(status) = client.try_wait().unwrap() {
                panic!("the client ended before {stored} chunks were stored: {status}");
            }
        }
    }
}

fn make_file(dir: &Path, random: &Clock, target: String) -> Job {
    let mib = std::env::var("RATCHET_E2E_MIB").map_or(1024, |mib| mib.parse::<u64>().unwrap());
    let path = dir.join("big.bin");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    // Every MiB differs: each repeats another random id.
    for _ in 0..mib {
        let mut block = random.random_id().into_bytes();
        while block.len() < 1 << 20 {
            block.extend_from_within(..);
        }
        std::io::Write::write_all(&mut file, &block[..1 << 20]).unwrap();
    }
    std::io::Write::flush(&mut file).unwrap();
    Job { file: path, size: mib << 20, target }
}

/// Three clients are killed. During a fourth the gateway is killed and restarted, and the client
/// continues; then this client is killed too. A fifth client sends the rest, through another
/// gateway if the store can have two.
fn check_resume_after_kills(store: &str, second_store: Option<&str>) {
    let home = tempfile::tempdir().unwrap();
    let seed = Clock::system().number_below(1 << 32);
    println!("resume: seed {seed} on {store}");
    let random = Clock::seeded(seed);
    let job = make_file(home.path(), &random, format!("s3://resume-{seed}/big.bin"));
    let (file, size) = (job.file.to_str().unwrap(), job.size);
    let chunks = size / CHUNK;
    let wire = Relay::new();
    let mut gateway = Gateway::start(store).behind(&wire);
    let mut done = 0;
    for round in 1..=3 {
        let wanted = (done + 1 + random.number_below(chunks / 5)).min(chunks - 16);
        wire.allow(allowance(wanted.saturating_sub(done)));
        let mut client = job.backup(&gateway);
        job.wait_for_chunks(&gateway, wanted, &mut client);
        kill(&mut client);
        let now = job.stored_chunks(&gateway);
        assert!(now >= done, "kill {round}: {done} chunks were recorded, now {now}");
        done = now;
    }
    let wanted = (done + 2).min(chunks - 10);
    wire.allow(allowance(wanted.saturating_sub(done)));
    let mut client = job.backup(&gateway);
    job.wait_for_chunks(&gateway, wanted, &mut client);
    let before = job.stored_chunks(&gateway);
    gateway.kill();
    let mut gateway = Gateway::start(store).behind(&wire);
    let recorded = job.stored_chunks(&gateway);
    assert!(recorded >= before, "{before} chunks were acknowledged, {recorded} are recorded");
    // The same client continues by itself.
    wire.allow(allowance(1));
    job.wait_for_chunks(&gateway, recorded + 1, &mut client);
    kill(&mut client);
    wire.allow(u64::MAX);
    if let Some(second) = second_store {
        gateway = Gateway::start(second).behind(&wire);
    }
    let recorded = job.stored_chunks(&gateway);
    let last = gateway.client(&["backup", file, &job.target, "--json"]).output().unwrap();
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    let report: serde_json::Value = serde_json::from_slice(&last.stdout).unwrap();
    let (sent, skipped) =
        (report["bytesSent"].as_u64().unwrap(), report["bytesSkipped"].as_u64().unwrap());
    // Chunks in flight at the kill may be recorded after `recorded` was read, so fewer bytes may be
    // sent, never more.
    assert_eq!(sent + skipped, size);
    assert!(
        sent <= size - recorded * CHUNK,
        "{sent} bytes sent, though {recorded} chunks were recorded"
    );
    let (kills, sent_in_all) = (5, wire.sent());
    println!(
        "resume: {size} bytes; {recorded} of {chunks} chunks recorded at the last kill, {sent} bytes sent after it; \
         all runs sent {sent_in_all}, {:.1} chunks more than the file in {kills} kills",
        (sent_in_all as f64 - size as f64) / CHUNK as f64
    );
    assert!(
        sent_in_all <= size + kills * JOBS * CHUNK + (kills + 1) * OVERHEAD_BYTES,
        "{sent_in_all} bytes were sent for {size}"
    );
    let again = gateway.json(&["backup", file, &job.target]);
    assert_eq!(again["bytesSent"], 0, "a complete backup is not sent again");
    let restored_file = home.path().join("back.bin");
    let restored = gateway.run(&["restore", &job.target, restored_file.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert!(same_bytes(&job.file, &restored_file), "the restored file differs");
}

fn kill(client: &mut Child) {
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
fn a_backup_survives_kills_on_the_embedded_store() {
    let home = tempfile::tempdir().unwrap();
    check_resume_after_kills(&format!("dir:{}", home.path().join("store").display()), None);
}

#[test]
fn a_backup_survives_kills_on_an_s3_store_and_moves_to_another_gateway() {
    let Ok(endpoint) = std::env::var("RATCHET_TEST_S3") else {
        println!("SKIP resume on s3: RATCHET_TEST_S3 names no server");
        return;
    };
    let store = format!("s3+{endpoint}");
    check_resume_after_kills(&store, Some(&store));
}

#[test]
fn the_exit_code_is_3_for_an_unreachable_gateway_and_2_for_wrong_usage() {
    let unused_address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let exit_code = |args: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(args).envs([("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")]);
        command.output().unwrap().status.code()
    };
    let url = format!("http://{unused_address}");
    assert_eq!(exit_code(&["ls", "s3://b", "--endpoint", &url, "--retry-for", "0"]), Some(3));
    assert_eq!(exit_code(&["ls", "b", "--endpoint", &url]), Some(2));
    assert_eq!(exit_code(&["ls", "s3://b", "--endpoint", "nonsense"]), Some(2));
}
