//! A gateway on a store in memory behind a real socket, and a client that writes its requests by
//! hand.
//!
//! The signer is written from the specification and shares no code with the gateway, so that both
//! cannot be wrong in the same way; it can also sign what no SDK would send. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use ratchet::accounts::{
    Access, AccountSettings, GrantSettings, KeySettings, Settings as AccountsSettings,
};
use ratchet::app::{self, Ready};
use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::settings::Settings;
use ratchet::sigv4::{Credentials, Payload, sign as sign_request};
use ratchet::store::{Store, memory::Memory};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// The time of a seeded clock, which the signatures bear.
pub const NOW: &str = "20231114T221320Z";

/// Key id and secret of accounts: admin everywhere, another one, one that only reads, one with a
/// prefix.
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
    let store = Arc::new(Memory::new(Clock::seeded(3)));
    let (address, shutdown) = serve(store.clone(), settings).await;
    Gateway { address, store, _shutdown: shutdown }
}

/// A gateway on this store, with an empty bucket; it ends when the sender is dropped.
pub async fn serve(store: Arc<dyn Store>, settings: Settings) -> (SocketAddr, oneshot::Sender<()>) {
    store.create_bucket(&"bucket".into()).await.unwrap();
    let (shutdown, told) = oneshot::channel::<()>();
    let (tell, ready) = oneshot::channel();
    tokio::spawn(async move {
        let announce = |ready: Ready| tell.send(ready.address).unwrap();
        app::run_on(store, settings, Clock::seeded(3), announce, async move { drop(told.await) })
            .await
            .unwrap();
    });
    (ready.await.unwrap(), shutdown)
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

/// A request of the S3 protocol.
pub fn s3(method: &str, target: &str) -> Ask {
    let mut ask = ask(method, "");
    target.clone_into(&mut ask.target);
    ask
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

    pub fn at(mut self, date: &str) -> Self {
        date.clone_into(&mut self.date);
        self
    }

    pub fn payload(mut self, payload: &str) -> Self {
        payload.clone_into(&mut self.payload);
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
        if !self
            .headers
            .iter()
            .any(|(name, _)| name == "content-length" || name == "transfer-encoding")
        {
            lines.push(("content-length".to_owned(), self.body.len().to_string()));
        }
        if let Some(key) = self.key {
            lines.push(("authorization".to_owned(), self.authorization(key, host)));
        }
        let lines: String =
            lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{} {} HTTP/1.1\r\n{lines}\r\n", self.method, self.target)
    }

    fn authorization(&self, (id, secret): Key, host: SocketAddr) -> String {
        let own = [("host", host.to_string()), ("x-amz-content-sha256", self.payload.clone())];
        let (names, headers) =
            self.signed_headers(own.into_iter().chain([("x-amz-date", self.date.clone())]));
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let path = normal(path, "/");
        let canonical = format!(
            "{}\n{path}\n{}\n{headers}\n{names}\n{}",
            self.method,
            sorted(query),
            self.payload
        );
        let signature = sign(secret, &self.date, &canonical);
        let scope = scope(&self.date);
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }

    /// Names and lines of these headers and of all that S3 wants to be signed.
    fn signed_headers<'a>(
        &'a self,
        own: impl Iterator<Item = (&'a str, String)>,
    ) -> (String, String) {
        let mut all: BTreeMap<&str, Vec<String>> =
            own.map(|(name, value)| (name, vec![value])).collect();
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
        let signed_path = normal(path, "/");
        let canonical = format!(
            "{}\n{signed_path}\n{query}\n{headers}\n{names}\nUNSIGNED-PAYLOAD",
            self.method
        );
        let signature = sign(secret, &self.date, &canonical);
        let length = self.body.len();
        let lines: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
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

/// A request's head for a gateway whose clock is the machine's: method and target, and headers that
/// are signed too.
pub fn head_of_now(
    address: SocketAddr,
    (id, secret): Key,
    (method, target): (&str, &str),
    headers: &[(&str, &str)],
    len_bytes: usize,
) -> String {
    let mut request =
        http::Request::builder().method(method).uri(format!("http://{address}{target}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let credentials = Credentials::new(id, secret, None);
    sign_request(&mut parts, &credentials, "us-east-1", Payload::Unsigned, Clock::system().wall())
        .unwrap();
    let fields: String = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()))
        .collect();
    format!("{method} {target} HTTP/1.1\r\n{fields}content-length: {len_bytes}\r\n\r\n")
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

/// As `exchange`, on a connection that ends with the answer: what came, without its framing.
pub async fn last_exchange(address: SocketAddr, head: &str, body: &[u8]) -> Told {
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let (mut answers, _) = converse(address, &[head.as_bytes(), body].concat()).await;
    answers.pop().unwrap_or_else(|| panic!("no answer to {head}"))
}

/// Sends bytes and reads until the gateway hangs up: its answers in order, and what came as it
/// came.
pub async fn converse(address: SocketAddr, bytes: &[u8]) -> (Vec<Told>, Vec<u8>) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // A refusal may come before all of it is taken, and so may a hang-up.
    socket.write_all(bytes).await.ok();
    let mut came = Vec::new();
    socket.read_to_end(&mut came).await.ok();
    let text = String::from_utf8_lossy(&came).into_owned();
    let begin = |text: &str| text.match_indices("HTTP/1.1 ").map(|(at, _)| at).collect::<Vec<_>>();
    let mut cuts = begin(&text);
    cuts.push(text.len());
    let answers = cuts
        .windows(2)
        .map(|cut| Told::parse(&text[cut[0]..cut[1]]))
        .filter(|told| told.status != 100);
    (answers.collect(), came)
}

fn sorted(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<String> = pairs
        .map(|pair| {
            normal(&if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") }, "=")
        })
        .collect();
    pairs.sort();
    pairs.join("&")
}

/// Decoded, and encoded as S3 wants it; `kept` stays as it is where it stands bare.
fn normal(text: &str, kept: &str) -> String {
    let (mut bytes, mut out) = (text.bytes(), String::new());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digits = [ahead.next().unwrap_or(b'-'), ahead.next().unwrap_or(b'-')];
        let decoded = std::str::from_utf8(&digits)
            .ok()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match (byte, decoded) {
            (b'%', Some(decoded)) if bare(decoded) => out.push(char::from(decoded)),
            (b'%', Some(decoded)) => write!(out, "%{decoded:02X}").unwrap(),
            (byte, _) if bare(byte) || kept.as_bytes().contains(&byte) => {
                out.push(char::from(byte))
            }
            (byte, _) => write!(out, "%{byte:02X}").unwrap(),
        }
        if byte == b'%' && decoded.is_some() {
            bytes = ahead;
        }
    }
    out
}

pub fn scope(date: &str) -> String {
    format!("{}/us-east-1/s3/aws4_request", &date[..8])
}

fn sign(secret: &str, date: &str, canonical: &str) -> String {
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{date}\n{}\n{}",
        scope(date),
        Sha256::of(canonical.as_bytes()).hex()
    );
    sign_text(secret, date, &to_sign)
}

/// The signature of a text as it is: a request's string to sign, a chunk's, or a form's policy.
pub fn sign_text(secret: &str, date: &str, text: &str) -> String {
    let hmac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let key = ["us-east-1", "s3", "aws4_request"]
        .iter()
        .fold(hmac(format!("AWS4{secret}").as_bytes(), &date[..8]), |key, text| hmac(&key, text));
    hmac(&key, text).iter().map(|byte| format!("{byte:02x}")).collect()
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
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(n, v)| (n.to_lowercase(), v.to_owned()))
            .collect();
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
                let size =
                    usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
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

    /// An answer that ended with its connection; its body keeps its framing.
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers =
            headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    /// S3's code or the problem's word; empty where the answer has neither.
    pub fn code(&self) -> String {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let between =
            |from: &str, to: &str| Some(text.split_once(from)?.1.split_once(to)?.0.to_owned());
        between("<Code>", "</Code>")
            .or_else(|| between(ratchet::api::PROBLEM_BASE, "\""))
            .unwrap_or_default()
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
        assert!(
            !problem.action.is_empty()
                && !problem.detail.is_empty()
                && problem.problem_type().is_some()
        );
        problem.type_uri.strip_prefix(ratchet::api::PROBLEM_BASE).unwrap().to_owned()
    }
}
