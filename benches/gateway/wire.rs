//! A blocking HTTP/1.1 client that signs its requests, with little CPU use beside the measurement.
//!
//! Guarantees: every request is signed separately, as real clients do; the digest of a body is an
//! argument, so that hashing is never part of a measurement. One connection, kept open; a
//! connection that the server closed is reopened once.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::sigv4::{Credentials, Payload, sign};

/// The key that every contestant is given.
pub const KEY: (&str, &str) = ("bench-key", "bench-secret-bench-secret");

const BUFFER_BYTES: usize = 256 << 10;
const TIMEOUT: Duration = Duration::from_secs(120);

/// A request before it is signed.
#[derive(Default)]
pub struct Request<'a> {
    pub method: &'static str,
    /// Path and query, encoded.
    pub path: &'a str,
    pub headers: &'a [(&'static str, String)],
    pub body: &'a [u8],
    /// None: the body is not signed.
    pub sha256: Option<Sha256>,
    pub keep: Keep,
}

/// Whether a response's body is stored or discarded.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    #[default]
    All,
    Nothing,
}

/// A response.
pub struct Response {
    pub status: u16,
    /// The head, with the status line.
    pub head: String,
    pub body: Vec<u8>,
    pub body_bytes: u64,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&str| {
            line.split_once(':').is_some_and(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        Some(self.head.lines().skip(1).find(named)?.split_once(':')?.1.trim())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The response itself if it is a success. **Errors**: status and body of another response.
    pub fn require_success(self) -> io::Result<Self> {
        if self.status < 300 {
            return Ok(self);
        }
        Err(io::Error::other(format!("answered {}: {}", self.status, self.text())))
    }
}

/// One connection of one client.
pub struct Client {
    host: String,
    credentials: Credentials,
    clock: Clock,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn new(host: &str) -> Self {
        Self::with(host, KEY.0, KEY.1)
    }

    pub fn with(host: &str, id: &str, secret: &str) -> Self {
        let credentials = Credentials::new(id, secret, None);
        Self { host: host.to_owned(), credentials, clock: Clock::system(), stream: None }
    }

    /// Sends a request and reads the response. **Errors**: of the connection only; see
    /// [`Response::require_success`].
    pub fn call(&mut self, request: &Request<'_>) -> io::Result<Response> {
        let head = self.head(request)?;
        let reused = self.stream.is_some();
        match self.exchange(&head, request) {
            // The server may have closed an idle connection, which shows only at its next use.
            Err(_) if reused => {
                self.stream = None;
                self.exchange(&head, request)
            }
            outcome => outcome,
        }
    }

    /// The signed head, as bytes.
    pub fn head(&self, request: &Request<'_>) -> io::Result<Vec<u8>> {
        let uri = format!("http://{}{}", self.host, request.path);
        let mut unsigned = http::Request::builder().method(request.method).uri(uri);
        for (name, value) in request.headers {
            unsigned = unsigned.header(*name, value);
        }
        let (mut parts, ()) = unsigned.body(()).map_err(io::Error::other)?.into_parts();
        let payload = request.sha256.map_or(Payload::Unsigned, |sha256| Payload::Sha256(sha256.0));
        sign(&mut parts, &self.credentials, "us-east-1", payload, self.clock.wall())
            .map_err(io::Error::other)?;
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.path).into_bytes();
        for (name, value) in &parts.headers {
            for bytes in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(bytes);
            }
        }
        if matches!(request.method, "PUT" | "POST") && !parts.headers.contains_key("content-length")
        {
            head.extend_from_slice(
                format!("content-length: {}\r\n", request.body.len()).as_bytes(),
            );
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }

    /// The connection; opens one if there is none.
    pub fn stream(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.stream.is_none() {
            let socket = connect(&self.host)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(TIMEOUT))?;
            socket.set_write_timeout(Some(TIMEOUT))?;
            self.stream = Some(BufReader::with_capacity(BUFFER_BYTES, socket));
        }
        self.stream.as_mut().ok_or_else(|| io::Error::other("no connection"))
    }

    fn exchange(&mut self, head: &[u8], request: &Request<'_>) -> io::Result<Response> {
        let stream = self.stream()?;
        if request.body.len() <= BUFFER_BYTES {
            // In one packet, as most clients do.
            stream.get_mut().write_all(&[head, request.body].concat())?;
        } else {
            stream.get_mut().write_all(head)?;
            stream.get_mut().write_all(request.body)?;
        }
        let response = read_response(stream, request.method == "HEAD", request.keep)?;
        let closes =
            response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if closes {
            self.stream = None;
        }
        Ok(response)
    }
}

/// Reads one response.
pub fn read_response(stream: &mut impl BufRead, to_head: bool, keep: Keep) -> io::Result<Response> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head.get(9..12).and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status: {head:?}")))?;
    let mut response = Response { status, head, body: Vec::new(), body_bytes: 0 };
    if status == 100 {
        return read_response(stream, to_head, keep);
    }
    if to_head || matches!(status, 204 | 304) {
        return Ok(response);
    }
    if response.header("transfer-encoding").is_some() {
        read_chunks(stream, keep, &mut response)?;
    } else {
        let len = response.header("content-length").and_then(|text| text.parse().ok());
        read_bytes(stream, len.unwrap_or(u64::MAX), keep, &mut response)?;
    }
    Ok(response)
}

fn read_chunks(stream: &mut impl BufRead, keep: Keep, response: &mut Response) -> io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let len = u64::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16);
        let len = len.map_err(io::Error::other)?;
        read_bytes(stream, len, keep, response)?;
        stream.read_line(&mut String::new())?;
        if len == 0 {
            return Ok(());
        }
    }
}

fn read_bytes(
    stream: &mut impl BufRead,
    len: u64,
    keep: Keep,
    response: &mut Response,
) -> io::Result<()> {
    let mut remaining = len;
    while remaining > 0 {
        let available = stream.fill_buf()?;
        if available.is_empty() {
            return if len == u64::MAX { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let count = available.len().min(usize::try_from(remaining).unwrap_or(usize::MAX));
        if keep == Keep::All {
            response.body.extend_from_slice(&available[..count]);
        }
        stream.consume(count);
        response.body_bytes += count as u64;
        remaining -= count as u64;
    }
    Ok(())
}

/// Connects without pacing, whatever the system's default is
/// (docs/decisions/0010-no-pacing-over-loopback.md).
fn connect(host: &str) -> io::Result<TcpStream> {
    use rustix::net::{self, AddressFamily, SocketType};
    // All contestants have such an address; the user's own S3 server may have another.
    let Ok(address) = host.parse::<SocketAddrV4>() else { return TcpStream::connect(host) };
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    #[cfg(target_os = "linux")]
    net::sockopt::set_tcp_congestion(&socket, "reno")?;
    net::connect(&socket, &address)?;
    Ok(socket.into())
}

/// Sends a GET without a signature, for the null backend's own counters.
pub fn plain(host: &str, path: &str) -> io::Result<String> {
    let mut socket = TcpStream::connect(host)?;
    socket.write_all(
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}
