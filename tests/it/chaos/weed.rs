//! A SeaweedFS process of a test's own, which may be killed: the one of `RATCHET_TEST_S3` is
//! everybody's.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::sigv4::{Credentials, Payload, sign};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const KEY: (&str, &str) = ("weed-key", "weed-secret-weed-secret");
/// A key that can do no more than a gateway needs, in these two buckets: the policy of
/// `docs/store-keys.md`.
pub const NARROW_KEY: (&str, &str) = ("narrow-key", "narrow-secret-narrow-secret");
pub const NARROW_BUCKETS: [&str; 2] = ["ratchet-state", "backups"];
const READY_WITHIN: Duration = Duration::from_secs(120);

/// The process; killed on drop.
pub struct Weed {
    program: PathBuf,
    data: PathBuf,
    /// Where its settings and its log are, which must not fill a small disk.
    home: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Weed {
    /// A server on an empty directory, ready; None where the program is not to be had.
    pub async fn start(data: &Path) -> Option<Self> {
        let Some(program) = std::env::var_os("RATCHET_TEST_WEED") else {
            println!("SKIP a SeaweedFS that is killed: RATCHET_TEST_WEED names no program");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("s3.json"), identities().to_string()).unwrap();
        let (program, data, port) = (PathBuf::from(program), data.to_owned(), ten_free_ports());
        let child = spawn(&program, &data, home.path(), port);
        let mut weed = Self { program, data, home, port, child };
        weed.ready().await;
        Some(weed)
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `kill -9`, and a new process with the same data and ports.
    pub async fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.program, &self.data, self.home.path(), self.port);
        self.ready().await;
    }

    /// `/healthz` answers too early: ready means that a signed PUT and GET succeed.
    async fn ready(&mut self) {
        let clock = Clock::system();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("SeaweedFS ended: {status}\n{}", self.last_words());
            }
            let made = self
                .ask("PUT", "/ready-probe", b"")
                .await
                .is_some_and(|(status, _)| [200, 409].contains(&status));
            if made
                && self
                    .ask("PUT", "/ready-probe/probe", b"ready")
                    .await
                    .is_some_and(|(status, _)| status == 200)
                && self
                    .ask("GET", "/ready-probe/probe", b"")
                    .await
                    .is_some_and(|(_, text)| text.contains("\r\n\r\nready"))
            {
                return;
            }
            assert!(
                clock.monotonic() < READY_WITHIN,
                "SeaweedFS is not ready\n{}",
                self.last_words()
            );
            clock.pause(Duration::from_millis(50)).await;
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read(self.home.path().join("log")).unwrap();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4000)..]).into_owned()
    }

    /// The parts in a bucket of uploads that were neither completed nor aborted, and how many
    /// uploads have none.
    pub async fn open_uploads(&self, bucket: &str) -> (u64, u64) {
        let listed = self.document(&format!("/{bucket}?uploads=")).await;
        let (mut parts, mut empty) = (0, 0);
        for upload in listed.split("<Upload>").skip(1) {
            let (key, id) = (element(upload, "Key"), element(upload, "UploadId"));
            let of_one = self
                .document(&format!("/{bucket}/{key}?uploadId={id}"))
                .await
                .matches("<PartNumber>")
                .count();
            parts += of_one as u64;
            empty += u64::from(of_one == 0);
        }
        (parts, empty)
    }

    async fn document(&self, target: &str) -> String {
        let (status, text) = self.ask("GET", target, b"").await.unwrap();
        assert_eq!(status, 200, "{text}");
        text
    }

    /// One signed request; status and whole answer, or None where there was none.
    pub async fn ask(&self, method: &str, target: &str, body: &[u8]) -> Option<(u16, String)> {
        self.ask_by(KEY, method, target, body).await
    }

    pub async fn ask_by(
        &self,
        key: (&str, &str),
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Option<(u16, String)> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{target}", self.address()));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let credentials = Credentials::new(key.0, key.1, None);
        let payload = Payload::Sha256(Sha256::of(body).0);
        sign(&mut parts, &credentials, "us-east-1", payload, Clock::system().wall()).unwrap();
        let fields: String = parts
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()))
            .collect();
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        let mut socket = TcpStream::connect(self.address()).await.ok()?;
        socket.write_all(&[head.as_bytes(), body].concat()).await.ok()?;
        let mut told = Vec::new();
        let read =
            tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut told)).await;
        read.ok()?.ok()?;
        let told = String::from_utf8_lossy(&told).into_owned();
        Some((told.split(' ').nth(1)?.parse().ok()?, told))
    }
}

/// Who may do what there.
fn identities() -> serde_json::Value {
    let resources = |end: &str| NARROW_BUCKETS.map(|bucket| format!("arn:aws:s3:::{bucket}{end}"));
    let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketVersioning"], "Resource": resources("")},
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject",
            "s3:DeleteObjectVersion", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"], "Resource": resources("/*")},
    ]});
    let credentials =
        |(id, secret): (&str, &str)| serde_json::json!([{"accessKey": id, "secretKey": secret}]);
    serde_json::json!({
        "identities": [
            {"name": "gateway", "credentials": credentials(KEY), "actions": ["Admin", "Read", "List", "Tagging", "Write"]},
            {"name": "narrow", "credentials": credentials(NARROW_KEY), "policyNames": ["narrow"]},
        ],
        "policies": [{"name": "narrow", "content": policy.to_string()}],
    })
}

/// The text of the first element of that name.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap();
    rest.split_once("</").unwrap().0
}

impl Drop for Weed {
    fn drop(&mut self) {
        // It may be dead already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(program: &Path, data: &Path, home: &Path, port: u16) -> Child {
    let log = fs::File::options().append(true).create(true).open(home.join("log")).unwrap();
    let mut weed = Command::new(program);
    let ports = [
        "s3",
        "master",
        "master.grpc",
        "volume",
        "volume.grpc",
        "filer",
        "filer.grpc",
        "s3.grpc",
        "admin",
    ];
    weed.args([
        "-logtostderr=true",
        "mini",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-admin.ui=false",
    ]);
    weed.args([
        "-webdav=false",
        "-master.telemetry=false",
        "-master.electionTimeout=1s",
        "-s3.autoCreateBucket=false",
    ]);
    weed.args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
        .arg(format!("-admin.port.grpc={}", port + 9));
    for (at, name) in ports.iter().enumerate() {
        let flag = name
            .strip_suffix(".grpc")
            .map_or(format!("{name}.port"), |name| format!("{name}.port.grpc"));
        weed.arg(format!("-{flag}={}", port + at as u16));
    }
    weed.arg(format!("-dir={}", data.display()))
        .arg(format!("-s3.config={}", home.join("s3.json").display()));
    weed.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// The first of ten ports in a row that nobody listens on, below those that systems give out.
fn ten_free_ports() -> u16 {
    let random = Clock::system();
    for _ in 0..200 {
        let first = 12_000 + random.number_below(8_000) as u16;
        let held: Result<Vec<_>, _> =
            (first..first + 10).map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
        if held.is_ok() {
            return first;
        }
    }
    panic!("no ten free ports in a row");
}
