//! A gateway on a store in memory behind a real socket, and a client that writes its requests by hand.
//!
//! The signer is written from the specification and shares no code with the gateway, so that both cannot be wrong in
//! the same way; it can also sign what no SDK would send.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use ratchet::accounts::{Access, AccountSettings, GrantSettings, KeySettings, Settings as AccountsSettings};
use ratchet::app::{self, Ready};
use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::settings::Settings;
use ratchet::store::{Store, memory::Memory};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// The time of a seeded clock, which the signatures bear.
pub const NOW: &str = "20231114T221320Z";

/// Key id and secret of accounts: admin everywhere, another one, one that only reads, one with a prefix.
pub const ROOT: Key = ("AKROOT", "root-secret-0123");
pub const OTHER: Key = ("AKOTHER", "other-secret-0123");
pub const READER: Key = ("AKREADER", "reader-secret-0123");
pub const LIMITED: Key = ("AKLIMITED", "limited-secret-0123");

pub type Key = (&'static str, &'static str);

pub struct Gateway {
    pub address: SocketAddr,
    pub store: Arc<Memory>,
    _shutdown: oneshot::Sender<()>,
}

/// The settings that the tests share.
pub fn settings() -> Settings {
    let account = |name: &str, key: Key, grants: Vec<GrantSettings>| AccountSettings {
        name: name.to_owned(),
        root: grants.is_empty(),
        keys: vec![KeySettings { id: key.0.to_owned(), secret: key.1.to_owned().into() }],
        grants,
    };
    let grant = |bucket: &str, prefix: &str, access| GrantSettings {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        access,
    };
    let accounts = vec![
        account("root", ROOT, Vec::new()),
        account("other", OTHER, Vec::new()),
        account("reader", READER, vec![grant("*", "", Access::Read)]),
        account("limited", LIMITED, vec![grant("bucket", "mine/", Access::Write)]),
    ];
    Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        accounts: AccountsSettings { accounts },
        ..Settings::default()
    }
}

pub async fn start(settings: Settings) -> Gateway {
    let clock = Clock::seeded(3);
    let store = Arc::new(Memory::new(clock.clone()));
    store.create_bucket(&"bucket".into()).await.unwrap();
    let (shutdown, told) = oneshot::channel::<()>();
    let (tell, ready) = oneshot::channel();
    let used: Arc<dyn Store> = store.clone();
    tokio::spawn(async move {
        let announce = |ready: Ready| tell.send(ready.address).unwrap();
        app::run_on(used, settings, clock, announce, async move { drop(told.await) }).await.unwrap();
    });
    Gateway { address: ready.await.unwrap(), store, _shutdown: shutdown }
}

/// A request that is put together by hand.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// None: not signed.
    pub key: Option<Key>,
    pub date: String,
    pub payload: String,
}

pub fn ask(method: &str, path: &str) -> Ask {
    Ask {
        method: method.to_owned(),
        target: format!("/_ratchet/v1{path}"),
        headers: Vec::new(),
        body: Vec::new(),
        key: Some(ROOT),
        date: NOW.to_owned(),
        payload: "UNSIGNED-PAYLOAD".to_owned(),
    }
}

impl Ask {
    pub fn json(mut self, value: &serde_json::Value) -> Self {
        self.body = value.to_string().into_bytes();
        self
    }

    pub fn body(mut self, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self
    }

    pub fn by(mut self, key: Option<Key>) -> Self {
        self.key = key;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the digest of these bytes, which need not be the body's.
    pub fn digest_of(self, bytes: &[u8]) -> Self {
        let digest = format!("sha-256=:{}:", Sha256::of(bytes).base64());
        self.header("content-digest", &digest)
    }

    /// The head as it goes over the wire.
    pub fn head(&self, host: SocketAddr) -> String {
        let mut lines = vec![
            ("host".to_owned(), host.to_string()),
            ("x-amz-date".to_owned(), self.date.clone()),
            ("x-amz-content-sha256".to_owned(), self.payload.clone()),
        ];
        lines.extend(self.headers.clone());
        if !self.headers.iter().any(|(name, _)| name == "content-length" || name == "transfer-encoding") {
            lines.push(("content-length".to_owned(), self.body.len().to_string()));
        }
        if let Some(key) = self.key {
            lines.push(("authorization".to_owned(), self.authorization(key, host)));
        }
        let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{} {} HTTP/1.1\r\n{lines}\r\n", self.method, self.target)
    }

    fn authorization(&self, (id, secret): Key, host: SocketAddr) -> String {
        let own = [("host", host.to_string()), ("x-amz-content-sha256", self.payload.clone())];
        let (names, headers) = self.signed_headers(own.into_iter().chain([("x-amz-date", self.date.clone())]));
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let canonical = format!("{}\n{path}\n{}\n{headers}\n{names}\n{}", self.method, sorted(query), self.payload);
        let signature = sign(secret, &self.date, &canonical);
        let scope = scope(&self.date);
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }

    /// Names and lines of these headers and of all that S3 wants to be signed.
    fn signed_headers<'a>(&'a self, own: impl Iterator<Item = (&'a str, String)>) -> (String, String) {
        let mut all: BTreeMap<&str, Vec<String>> = own.map(|(name, value)| (name, vec![value])).collect();
        for (name, value) in self.headers.iter().filter(|(name, _)| name.starts_with("x-amz-")) {
            all.entry(name).or_default().push(value.trim().to_owned());
        }
        let lines = all.iter().map(|(name, values)| format!("{name}:{}\n", values.join(",")));
        (all.keys().copied().collect::<Vec<_>>().join(";"), lines.collect())
    }

    /// The same request as a presigned URL, without signature fields in its head.
    pub fn presigned(mut self, expires: u64, host: SocketAddr) -> String {
        let (id, secret) = self.key.take().unwrap();
        let credential = format!("{id}/{}", scope(&self.date)).replace('/', "%2F");
        let (names, headers) = self.signed_headers([("host", host.to_string())].into_iter());
        let parameters = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={}&X-Amz-Expires={expires}\
             &X-Amz-SignedHeaders={}",
            self.date,
            names.replace(';', "%3B")
        );
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let query = sorted(&format!("{parameters}&{query}"));
        let canonical = format!("{}\n{path}\n{query}\n{headers}\n{names}\nUNSIGNED-PAYLOAD", self.method);
        let signature = sign(secret, &self.date, &canonical);
        let length = self.body.len();
        let lines: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!(
            "{} {path}?{query}&X-Amz-Signature={signature} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n{lines}\r\n",
            self.method
        )
    }

    pub async fn send(self, gateway: &Gateway) -> Told {
        let head = self.head(gateway.address);
        exchange(gateway, &head, &self.body).await
    }
}

/// Sends a head and a body on a connection of their own.
pub async fn exchange(gateway: &Gateway, head: &str, body: &[u8]) -> Told {
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    // A refusal may come before the body is taken.
    if !body.is_empty() {
        drop(socket.write_all(body).await);
    }
    Told::read(&mut socket).await
}

fn sorted(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<String> =
        pairs.map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") }).collect();
    pairs.sort();
    pairs.join("&")
}

fn scope(date: &str) -> String {
    format!("{}/us-east-1/s3/aws4_request", &date[..8])
}

fn sign(secret: &str, date: &str, canonical: &str) -> String {
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{}\n{}", scope(date), Sha256::of(canonical.as_bytes()).hex());
    let hmac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let key = ["us-east-1", "s3", "aws4_request"]
        .iter()
        .fold(hmac(format!("AWS4{secret}").as_bytes(), &date[..8]), |key, text| hmac(&key, text));
    hmac(&key, &to_sign).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An answer.
#[derive(Debug)]
pub struct Told {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Told {
    /// Reads one answer; interim ones are passed over.
    pub async fn read(socket: &mut TcpStream) -> Self {
        loop {
            let told = Self::read_one(socket).await;
            if told.status != 100 {
                return told;
            }
        }
    }

    async fn read_one(socket: &mut TcpStream) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> =
            lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect();
        let mut told = Self { status, headers, body: Vec::new() };
        if let Some(length) = told.header("content-length") {
            told.body = vec![0; length.parse().unwrap()];
            socket.read_exact(&mut told.body).await.unwrap();
        } else if told.header("transfer-encoding") == Some("chunked") {
            loop {
                let mut line = Vec::new();
                while !line.ends_with(b"\r\n") {
                    line.push(socket.read_u8().await.unwrap());
                }
                let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
                let mut piece = vec![0; size + 2];
                socket.read_exact(&mut piece).await.unwrap();
                if size == 0 {
                    break;
                }
                told.body.extend_from_slice(&piece[..size]);
            }
        }
        told
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The word of a problem, after its form was checked.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: ratchet::api::Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        assert_eq!(Some(problem.request_id.as_str()), self.header("x-amz-request-id"));
        assert!(!problem.action.is_empty() && !problem.detail.is_empty() && problem.word().is_some());
        problem.type_uri.strip_prefix(ratchet::api::PROBLEM_BASE).unwrap().to_owned()
    }
}
