//! Real processes: gateways and clients as a user starts them, and a wire between them that counts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::sigv4::{Credentials, Payload, sign};
use serde_json::Value;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ratchet");
pub const KEY: (&str, &str) = ("root-key", "root-secret-root-secret");

/// A gateway process; killed on drop.
pub struct Gateway {
    child: Child,
    pub url: String,
    /// Where clients connect to, if not to the gateway itself.
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
            .unwrap_or_else(|| panic!("no ready line but {line:?}"))
            .to_owned();
        Self { child, url, via: None }
    }

    /// Clients go through this wire from now on, which leads here.
    pub fn behind(mut self, wire: &Wire) -> Self {
        wire.lead_to(self.address());
        self.via = Some(format!("http://{}", wire.address));
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// Sends a signed request of the S3 protocol on a connection of its own; the status, and the
    /// answer's body.
    pub fn s3(
        &self,
        (id, secret): (&str, &str),
        method: &str,
        target: &str,
        body: &[u8],
    ) -> (u16, Vec<u8>) {
        let uri = format!("{}{target}", self.url);
        let (mut head, ()) =
            http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        let credentials = Credentials::new(id, secret, None);
        let payload = Payload::Sha256(Sha256::of(body).0);
        sign(&mut head, &credentials, "us-east-1", payload, Clock::system().wall()).unwrap();
        let mut text = format!(
            "{method} {target} HTTP/1.1\r\ncontent-length: {}\r\nconnection: close\r\n",
            body.len()
        );
        if !head.headers.contains_key("host") {
            text.push_str(&format!("host: {}\r\n", self.address()));
        }
        for (name, value) in &head.headers {
            text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        let mut socket = TcpStream::connect(self.address()).unwrap();
        socket.write_all(format!("{text}\r\n").as_bytes()).unwrap();
        // A refusal may come before the body is taken.
        socket.write_all(body).ok();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (status, answer.split_off(end + 4))
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

    /// The client's command, pointed at this gateway, over the wire if there is one.
    pub fn client(&self, args: &[&str]) -> Command {
        client(self.via.as_ref().unwrap_or(&self.url), args)
    }

    /// Runs a client to its end, straight to the gateway.
    pub fn run(&self, args: &[&str]) -> Output {
        client(&self.url, args).output().unwrap()
    }

    /// As `run`, for a command that must succeed and prints one JSON object.
    pub fn json(&self, args: &[&str]) -> Value {
        let told = self.run(&[args, &["--json"]].concat());
        assert!(told.status.success(), "{args:?}: {}", String::from_utf8_lossy(&told.stderr));
        serde_json::from_slice(&told.stdout).unwrap_or_else(|_| panic!("{args:?} printed {told:?}"))
    }

    /// As `run`; the exit code and what was said on stderr.
    pub fn refused(&self, args: &[&str]) -> (Option<i32>, String) {
        let told = self.run(args);
        (told.status.code(), String::from_utf8(told.stderr).unwrap())
    }
}

fn client(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).args(["--endpoint", url]).stdin(Stdio::null());
    command.envs([
        ("AWS_ACCESS_KEY_ID", KEY.0),
        ("AWS_SECRET_ACCESS_KEY", KEY.1),
        ("AWS_REGION", "us-east-1"),
    ]);
    command
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may be dead already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A relay on a port of its own that counts what clients send; where it leads to can change.
pub struct Wire {
    pub address: SocketAddr,
    to: Arc<Mutex<Option<SocketAddr>>>,
    sent: Arc<AtomicU64>,
}

impl Wire {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Self {
            address: listener.local_addr().unwrap(),
            to: Arc::default(),
            sent: Arc::default(),
        };
        let (to, sent) = (Arc::clone(&wire.to), Arc::clone(&wire.sent));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, to) =
                    (client.unwrap(), to.lock().unwrap().expect("a wire leads somewhere"));
                // A gateway that is away: the client sees its connection end.
                let Ok(gateway) = TcpStream::connect(to) else { continue };
                let sent = Arc::clone(&sent);
                relay(client.try_clone().unwrap(), gateway.try_clone().unwrap(), Some(sent));
                relay(gateway, client, None);
            }
        });
        wire
    }

    fn lead_to(&self, gateway: SocketAddr) {
        *self.to.lock().unwrap() = Some(gateway);
    }

    /// Bytes that clients sent so far, heads of requests included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

/// Copies one direction until either side ends; then ends both, as a dead peer does.
fn relay(mut from: TcpStream, mut to: TcpStream, count: Option<Arc<AtomicU64>>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 256 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if let Some(count) = &count {
                count.fetch_add(read as u64, Ordering::SeqCst);
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        // They may be closed already.
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    });
}

/// The stores that tests of processes run on: a fresh directory, and the S3 server if there is one.
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
