//! Requests that are written by hand and sent over a socket.
//!
//! [`Request`] is signed by a signer that follows the specification and shares no code with the
//! gateway, so that both cannot be wrong in the same way; it can also sign what no SDK would send.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.
//! [`signed_head`] is for gateways and servers that use the machine's clock, and signs with the
//! client's own signer.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::sigv4::{Credentials, Payload, sign as sign_request};

use super::gateway::{Gateway, ROOT};
use super::response::{Response, exchange};

/// The time of a seeded clock, as signatures state it.
pub const NOW: &str = "20231114T221320Z";

/// An access key: its id and its secret.
pub type AccessKey = (&'static str, &'static str);

/// A request, built field by field.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// `None`: the request is not signed.
    pub key: Option<AccessKey>,
    /// The time of the signature, as in [`NOW`].
    pub date: String,
    /// The value of `x-amz-content-sha256`.
    pub payload: String,
}

/// A request of the chunk API; `path` begins behind the version.
pub fn chunk_api(method: &str, path: &str) -> Request {
    Request {
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
pub fn s3(method: &str, target: &str) -> Request {
    let mut request = chunk_api(method, "");
    target.clone_into(&mut request.target);
    request
}

/// The request with this body, whose hash is signed.
pub fn with_signed_body(request: Request, body: &[u8]) -> Request {
    let mut request = request.body(body);
    request.payload = Sha256::of(body).hex();
    request
}

/// Begins an upload of S3, and returns its id.
pub async fn begin_upload(gateway: &Gateway, target: &str) -> String {
    let response = s3("POST", &format!("{target}?uploads=")).send(gateway).await;
    let text = String::from_utf8(response.body).unwrap();
    let id = text.split_once("<UploadId>").unwrap().1.split_once("</UploadId>").unwrap().0;
    id.to_owned()
}

impl Request {
    pub fn json(mut self, value: &serde_json::Value) -> Self {
        self.body = value.to_string().into_bytes();
        self
    }

    pub fn body(mut self, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self
    }

    pub fn signed_by(mut self, key: Option<AccessKey>) -> Self {
        self.key = key;
        self
    }

    pub fn dated(mut self, date: &str) -> Self {
        date.clone_into(&mut self.date);
        self
    }

    pub fn payload_hash(mut self, payload: &str) -> Self {
        payload.clone_into(&mut self.payload);
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds the `Content-Digest` of these bytes, which need not be the body.
    pub fn digest_of(self, bytes: &[u8]) -> Self {
        let digest = format!("sha-256=:{}:", Sha256::of(bytes).base64());
        self.header("content-digest", &digest)
    }

    /// The request line and the headers as they are sent, with the signature.
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

    fn authorization(&self, (id, secret): AccessKey, host: SocketAddr) -> String {
        let signed = [("host", host.to_string()), ("x-amz-content-sha256", self.payload.clone())];
        let (names, headers) =
            self.signed_headers(signed.into_iter().chain([("x-amz-date", self.date.clone())]));
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let path = encoded(path, "/");
        let canonical = format!(
            "{}\n{path}\n{}\n{headers}\n{names}\n{}",
            self.method,
            sorted_query(query),
            self.payload
        );
        let signature = sign(secret, &self.date, &canonical);
        let scope = scope(&self.date);
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }

    /// The names and the canonical lines of `required` and of every `x-amz-*` header, which S3
    /// requires to be signed.
    fn signed_headers<'a>(
        &'a self,
        required: impl Iterator<Item = (&'a str, String)>,
    ) -> (String, String) {
        let mut all: BTreeMap<&str, Vec<String>> =
            required.map(|(name, value)| (name, vec![value])).collect();
        for (name, value) in self.headers.iter().filter(|(name, _)| name.starts_with("x-amz-")) {
            all.entry(name).or_default().push(value.trim().to_owned());
        }
        let lines = all.iter().map(|(name, values)| format!("{name}:{}\n", values.join(",")));
        (all.keys().copied().collect::<Vec<_>>().join(";"), lines.collect())
    }

    /// The head of the same request as a presigned URL, without an `Authorization` header.
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
        let query = sorted_query(&format!("{parameters}&{query}"));
        let signed_path = encoded(path, "/");
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

    pub async fn send(self, gateway: &Gateway) -> Response {
        let head = self.head(gateway.address);
        exchange(gateway, &head, &self.body).await
    }
}

/// The head of a request for a server that uses the machine's clock. The given headers are signed
/// too.
pub fn signed_head(
    host: impl Display,
    (id, secret): (&str, &str),
    (method, target): (&str, &str),
    headers: &[(&str, &str)],
    payload: Payload,
    len_bytes: usize,
) -> String {
    let mut request = http::Request::builder().method(method).uri(format!("http://{host}{target}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let credentials = Credentials::new(id, secret, None);
    sign_request(&mut parts, &credentials, "us-east-1", payload, Clock::system().wall()).unwrap();
    let fields: String = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()))
        .collect();
    format!("{method} {target} HTTP/1.1\r\n{fields}content-length: {len_bytes}\r\n\r\n")
}

/// The payload hash of a request whose body is these bytes.
pub fn payload_of(body: &[u8]) -> Payload {
    Payload::Sha256(Sha256::of(body).0)
}

/// The canonical query string.
fn sorted_query(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<String> = pairs
        .map(|pair| {
            encoded(&if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") }, "=")
        })
        .collect();
    pairs.sort();
    pairs.join("&")
}

/// Percent-encoded as the canonical request requires; escapes that the text has already are
/// normalised. Characters of `kept` stay unencoded unless they were escaped.
fn encoded(text: &str, kept: &str) -> String {
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

/// The credential scope of a signature of this time.
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

/// The signature of a text: the string to sign of a request or of a chunk, or the policy of a form.
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
