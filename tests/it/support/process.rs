//! Gateways and clients as processes, and a counting TCP relay between them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;

use super::request::{payload_of, signed_head};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ratchet");
pub const KEY: (&str, &str) = ("root-key", "root-secret-root-secret");

const PROXY_VARIABLES: [&str; 8] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// A gateway process; killed on drop.
pub struct Gateway {
    child: Child,
    pub url: String,
    /// The URL that clients connect to, if it is not the gateway's.
    via: Option<String>,
}

impl Gateway {
    pub fn start(store: &str) -> Self {
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--store", store])
            .envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)])
            .stderr(Stdio::null());
        Self::spawn(command)
    }

    /// Starts a command that becomes a gateway, and waits until it is ready.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line
            .trim()
            .strip_prefix("ready ")
            .unwrap_or_else(|| panic!("expected a ready line, not {line:?}"))
            .to_owned();
        Self { child, url, via: None }
    }

    /// Makes clients connect through this relay, and the relay to this gateway.
    pub fn behind(mut self, relay: &Relay) -> Self {
        relay.set_target(self.address());
        self.via = Some(format!("http://{}", relay.address));
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// Sends a signed S3 request on a connection of its own; the status and body of the response.
    pub fn s3(&self, key: (&str, &str), method: &str, target: &str, body: &[u8]) -> (u16, Vec<u8>) {
        self.s3_with(key, method, target, &[], body)
    }

    /// As `s3`, with these header fields.
    pub fn s3_with(
        &self,
        key: (&str, &str),
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, Vec<u8>) {
        let (address, payload) = (self.address(), payload_of(body));
        let head = signed_head(address, key, (method, target), headers, payload, body.len());
        let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        // A refusal may come before the body is read; then the write fails.
        socket.write_all(body).ok();
        let mut response = Vec::new();
        socket.read_to_end(&mut response).unwrap();
        let end = response.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let status = std::str::from_utf8(&response[9..12]).unwrap().parse().unwrap();
        (status, response.split_off(end + 4))
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// A client command for this gateway, through the relay if there is one.
    pub fn client(&self, args: &[&str]) -> Command {
        client(self.via.as_ref().unwrap_or(&self.url), args)
    }

    /// Runs a client to its end, connected directly to the gateway.
    pub fn run(&self, args: &[&str]) -> Output {
        client(&self.url, args).output().unwrap()
    }

    /// As `run`, for a command that must succeed and prints one JSON object.
    pub fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{args:?} printed {output:?}"))
    }

    /// As `run`; the exit code and stderr.
    pub fn refused(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.run(args);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

/// The lines that a gateway printed to be pasted into a shell.
pub fn exports(log: &str) -> String {
    let lines = log.lines().filter(|line| line.trim_start().starts_with("export "));
    lines.collect::<Vec<_>>().join("\n")
}

/// A client command for a gateway with this URL.
pub fn client(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).args(["--endpoint", url]).stdin(Stdio::null());
    // Whatever the machine of the tests needs for the internet.
    for name in PROXY_VARIABLES {
        command.env_remove(name);
    }
    command.envs([
        ("AWS_ACCESS_KEY_ID", KEY.0),
        ("AWS_SECRET_ACCESS_KEY", KEY.1),
        ("AWS_REGION", "us-east-1"),
    ]);
    command
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // An error: the process has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A TCP relay that counts and limits the bytes that clients send; its target can change.
pub struct Relay {
    pub address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    meter: Arc<Meter>,
}

impl Relay {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            target: Arc::default(),
            meter: Arc::default(),
        };
        let (target, meter) = (Arc::clone(&relay.target), Arc::clone(&relay.meter));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, target) =
                    (client.unwrap(), target.lock().unwrap().expect("the relay has a target"));
                // The gateway is not running: the client's connection ends.
                let Ok(gateway) = TcpStream::connect(target) else { continue };
                let meter = Arc::clone(&meter);
                copy(client.try_clone().unwrap(), gateway.try_clone().unwrap(), Some(meter));
                copy(gateway, client, None);
            }
        });
        relay
    }

    fn set_target(&self, gateway: SocketAddr) {
        *self.target.lock().unwrap() = Some(gateway);
    }

    /// Bytes that clients have sent so far, request heads included.
    pub fn sent(&self) -> u64 {
        self.meter.state.lock().unwrap().sent
    }

    /// Lets clients send this many more bytes; then their connections stall. At first there is no
    /// limit.
    pub fn allow(&self, bytes: u64) {
        let mut state = self.meter.state.lock().unwrap();
        state.limit = Some(state.sent.saturating_add(bytes));
        self.meter.changed.notify_all();
    }
}

/// How much clients have sent, and how much they may send.
#[derive(Default)]
pub struct Meter {
    state: Mutex<Metered>,
    changed: Condvar,
}

#[derive(Default)]
struct Metered {
    sent: u64,
    limit: Option<u64>,
}

impl Meter {
    /// Waits until these bytes may pass, and counts them.
    fn pass(&self, bytes: u64) {
        let exceeds = |state: &mut Metered| {
            state.limit.is_some_and(|limit| state.sent.saturating_add(bytes) > limit)
        };
        let mut state = self.changed.wait_while(self.state.lock().unwrap(), exceeds).unwrap();
        state.sent += bytes;
    }
}

/// Copies one direction until either side ends, then ends both, as when a peer dies.
pub fn copy(mut from: TcpStream, mut to: TcpStream, meter: Option<Arc<Meter>>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 256 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if let Some(meter) = &meter {
                meter.pass(read as u64);
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        // An error: the socket is closed already.
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    });
}

/// The stores for tests with processes: a new directory, and the S3 server if there is one.
pub fn stores(home: &Path) -> Vec<String> {
    let mut stores = vec![format!("dir:{}", home.join("store").display())];
    match std::env::var("RATCHET_TEST_S3") {
        Ok(endpoint) => stores.push(format!("s3+{endpoint}")),
        Err(_) => println!("SKIP on s3: RATCHET_TEST_S3 names no server"),
    }
    stores
}

pub fn same_bytes(left: &Path, right: &Path) -> bool {
    Command::new("cmp").args([left, right]).status().unwrap().success()
}
