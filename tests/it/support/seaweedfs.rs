//! A SeaweedFS process that belongs to one test, so that it may be killed; all tests share the
//! server of `RATCHET_TEST_S3`.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ratchet::clock::Clock;

use super::request::{payload_of, signed_head};
use super::response::{Response, try_exchange};

pub const KEY: (&str, &str) = ("weed-key", "weed-secret-weed-secret");
/// A key with only the rights that a gateway needs, in the two buckets below: the policy of
/// docs/store-keys.md#seaweedfs-tried-on-448.
pub const NARROW_KEY: (&str, &str) = ("narrow-key", "narrow-secret-narrow-secret");
pub const NARROW_BUCKETS: [&str; 2] = ["ratchet-state", "backups"];
const READY_WITHIN: Duration = Duration::from_secs(120);
const RESPONSE_WITHIN: Duration = Duration::from_secs(20);

/// The process; killed on drop.
pub struct SeaweedFs {
    program: PathBuf,
    data: PathBuf,
    /// Its settings and its log, outside of `data` so that they do not fill a small disk.
    home: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl SeaweedFs {
    /// Starts a server on an empty directory and waits until it is ready. `None` if
    /// `RATCHET_TEST_WEED` names no program.
    pub async fn start(data: &Path) -> Option<Self> {
        let Some(program) = std::env::var_os("RATCHET_TEST_WEED") else {
            println!("SKIP on a SeaweedFS of its own: RATCHET_TEST_WEED names no program");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("s3.json"), identities().to_string()).unwrap();
        let (program, data, port) = (PathBuf::from(program), data.to_owned(), ten_free_ports());
        let child = spawn(&program, &data, home.path(), port);
        let mut weed = Self { program, data, home, port, child };
        weed.wait_until_ready().await;
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
        self.wait_until_ready().await;
    }

    /// Waits until a signed PUT and GET succeed; `/healthz` reports success too early.
    async fn wait_until_ready(&mut self) {
        let clock = Clock::system();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("SeaweedFS ended: {status}\n{}", self.log_tail());
            }
            if self.serves_an_object().await {
                return;
            }
            assert!(
                clock.monotonic() < READY_WITHIN,
                "SeaweedFS is not ready\n{}",
                self.log_tail()
            );
            clock.pause(Duration::from_millis(50)).await;
        }
    }

    async fn serves_an_object(&self) -> bool {
        let bucket = self.request("PUT", "/ready-probe", b"").await;
        if !bucket.is_some_and(|response| [200, 409].contains(&response.status)) {
            return false;
        }
        let put = self.request("PUT", "/ready-probe/probe", b"ready").await;
        if put.is_none_or(|response| response.status != 200) {
            return false;
        }
        let get = self.request("GET", "/ready-probe/probe", b"").await;
        get.is_some_and(|response| response.body.starts_with(b"ready"))
    }

    fn log_tail(&self) -> String {
        let log = fs::read(self.home.path().join("log")).unwrap();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4000)..]).into_owned()
    }

    /// The number of parts of the open uploads in a bucket, and the number of open uploads without
    /// a part.
    pub async fn open_uploads(&self, bucket: &str) -> (u64, u64) {
        let listed = self.document(&format!("/{bucket}?uploads=")).await;
        let (mut parts, mut empty) = (0, 0);
        for upload in listed.split("<Upload>").skip(1) {
            let (key, id) = (element(upload, "Key"), element(upload, "UploadId"));
            let parts_of_upload = self
                .document(&format!("/{bucket}/{key}?uploadId={id}"))
                .await
                .matches("<PartNumber>")
                .count();
            parts += parts_of_upload as u64;
            empty += u64::from(parts_of_upload == 0);
        }
        (parts, empty)
    }

    async fn document(&self, target: &str) -> String {
        let response = self.request("GET", target, b"").await.unwrap();
        assert_eq!(response.status, 200, "{response:?}");
        String::from_utf8(response.body).unwrap()
    }

    /// One request with the administrator's key; `None` if there was no response.
    pub async fn request(&self, method: &str, target: &str, body: &[u8]) -> Option<Response> {
        self.request_by(KEY, method, target, body).await
    }

    pub async fn request_by(
        &self,
        key: (&str, &str),
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Option<Response> {
        let (payload, len_bytes) = (payload_of(body), body.len());
        let head = signed_head(self.address(), key, (method, target), &[], payload, len_bytes);
        let exchange = try_exchange(self.address(), &head, body);
        tokio::time::timeout(RESPONSE_WITHIN, exchange).await.ok()?
    }
}

/// The settings of the server: its keys and their rights.
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

/// The text of the first element with this name.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap();
    rest.split_once("</").unwrap().0
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        // The process may have ended already.
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

/// The first of ten free ports in a row, below the range of ephemeral ports.
fn ten_free_ports() -> u16 {
    let random = Clock::system();
    for _ in 0..200 {
        let first = 12_000 + random.number_below(8_000) as u16;
        let listeners: Result<Vec<_>, _> =
            (first..first + 10).map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
        if listeners.is_ok() {
            return first;
        }
    }
    panic!("no ten free ports in a row");
}
