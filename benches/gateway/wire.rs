//! A blocking HTTP/1.1 client that signs: as little work as possible beside what is measured.
//!
//! Guarantees: every request is signed anew, as clients do; the digest of a body is passed in, so
//! that hashing is never part of a measurement. One connection, kept open; a stale one is opened
//! again once.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::sigv4::{Credentials, Payload, sign};

/// The key that every contestant is given.
pub const KEY: (&str, &str) = ("bench-key", "bench-secret-bench-secret");

const BUFFER: usize = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(120);

/// What to send.
#[derive(Default)]
pub struct Ask<'a> {
    pub method: &'static str,
    /// Path and query, encoded.
    pub path: &'a str,
    pub headers: &'a [(&'static str, String)],
    pub body: &'a [u8],
    /// None: the body is not signed.
    pub sha256: Option<Sha256>,
    pub keep: Keep,
}

/// What becomes of an answer's body.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    #[default]
    All,
    Nothing,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    /// The head as it came, from the status line on.
    pub head: String,
    pub body: Vec<u8>,
    pub body_bytes: u64,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&str| {
            line.split_once(':').is_some_and(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        Some(self.head.lines().skip(1).find(named)?.split_once(':')?.1.trim())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Itself, or an error that tells what was answered.
    pub fn good(self) -> io::Result<Self> {
        if self.status < 300 {
            return Ok(self);
        }
        Err(io::Error::other(format!("answered {}: {}", self.status, self.text())))
    }
}

/// One connection of one client.
pub struct Caller {
    host: String,
    credentials: Credentials,
    clock: Clock,
    stream: Option<BufReader<TcpStream>>,
}

impl Caller {
    pub fn new(host: &str) -> Self {
        Self::with(host, KEY.0, KEY.1)
    }

    pub fn with(host: &str, id: &str, secret: &str) -> Self {
        let credentials = Credentials::new(id, secret, None);
        Self { host: host.to_owned(), credentials, clock: Clock::system(), stream: None }
    }

    /// Sends a request and reads its answer whole. **Errors**: of the connection only; see
    /// [`Answer::good`].
    pub fn call(&mut self, ask: &Ask<'_>) -> io::Result<Answer> {
        let head = self.head(ask)?;
        let reused = self.stream.is_some();
        match self.exchange(&head, ask) {
            // The server may close a connection that was idle, which shows only in use.
            Err(_) if reused => {
                self.stream = None;
                self.exchange(&head, ask)
            }
            outcome => outcome,
        }
    }

    /// The signed head, as bytes.
    pub fn head(&self, ask: &Ask<'_>) -> io::Result<Vec<u8>> {
        let uri = format!("http://{}{}", self.host, ask.path);
        let mut request = http::Request::builder().method(ask.method).uri(uri);
        for (name, value) in ask.headers {
            request = request.header(*name, value);
        }
        let (mut parts, ()) = request.body(()).map_err(io::Error::other)?.into_parts();
        let payload = ask.sha256.map_or(Payload::Unsigned, |sha256| Payload::Sha256(sha256.0));
        sign(&mut parts, &self.credentials, "us-east-1", payload, self.clock.wall())
            .map_err(io::Error::other)?;
        let mut head = format!("{} {} HTTP/1.1\r\n", ask.method, ask.path).into_bytes();
        for (name, value) in &parts.headers {
            for bytes in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(bytes);
            }
        }
        if matches!(ask.method, "PUT" | "POST") && !parts.headers.contains_key("content-length") {
            head.extend_from_slice(format!("content-length: {}\r\n", ask.body.len()).as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }

    /// The connection, opened where there is none.
    pub fn stream(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.stream.is_none() {
            let socket = connect(&self.host)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.set_write_timeout(Some(PATIENCE))?;
            self.stream = Some(BufReader::with_capacity(BUFFER, socket));
        }
        self.stream.as_mut().ok_or_else(|| io::Error::other("no connection"))
    }

    fn exchange(&mut self, head: &[u8], ask: &Ask<'_>) -> io::Result<Answer> {
        let stream = self.stream()?;
        if ask.body.len() <= BUFFER {
            // In one packet, as most clients do.
            stream.get_mut().write_all(&[head, ask.body].concat())?;
        } else {
            stream.get_mut().write_all(head)?;
            stream.get_mut().write_all(ask.body)?;
        }
        let answer = answer(stream, ask.method == "HEAD", ask.keep)?;
        let closes =
            answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if closes {
            self.stream = None;
        }
        Ok(answer)
    }
}

/// Reads one answer.
pub fn answer(stream: &mut impl BufRead, to_head: bool, keep: Keep) -> io::Result<Answer> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head.get(9..12).and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status: {head:?}")))?;
    let mut answer = Answer { status, head, body: Vec::new(), body_bytes: 0 };
    if status == 100 {
        return self::answer(stream, to_head, keep);
    }
    if to_head || matches!(status, 204 | 304) {
        return Ok(answer);
    }
    if answer.header("transfer-encoding").is_some() {
        chunks(stream, keep, &mut answer)?;
    } else {
        let len = answer.header("content-length").and_then(|text| text.parse().ok());
        take(stream, len.unwrap_or(u64::MAX), keep, &mut answer)?;
    }
    Ok(answer)
}

fn chunks(stream: &mut impl BufRead, keep: Keep, answer: &mut Answer) -> io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let len = u64::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16);
        let len = len.map_err(io::Error::other)?;
        take(stream, len, keep, answer)?;
        stream.read_line(&mut String::new())?;
        if len == 0 {
            return Ok(());
        }
    }
}

fn take(stream: &mut impl BufRead, len: u64, keep: Keep, answer: &mut Answer) -> io::Result<()> {
    let mut left = len;
    while left > 0 {
        let there = stream.fill_buf()?;
        if there.is_empty() {
            return if len == u64::MAX { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let now = there.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if keep == Keep::All {
            answer.body.extend_from_slice(&there[..now]);
        }
        stream.consume(now);
        answer.body_bytes += now as u64;
        left -= now as u64;
    }
    Ok(())
}

/// Connects so that the load is sent at once, whatever the system's default is. BBR's timers would
/// be charged to whoever runs when they fire: what is measured is to pay for its own sockets alone.
fn connect(host: &str) -> io::Result<TcpStream> {
    use rustix::net::{self, AddressFamily, SocketType};
    // All that is measured here is named so; an S3 server of the user's need not be.
    let Ok(address) = host.parse::<SocketAddrV4>() else { return TcpStream::connect(host) };
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    #[cfg(target_os = "linux")]
    net::sockopt::set_tcp_congestion(&socket, "reno")?;
    net::connect(&socket, &address)?;
    Ok(socket.into())
}

/// GETs a path without a signature: the null backend's own figures.
pub fn plain(host: &str, path: &str) -> io::Result<String> {
    let mut socket = TcpStream::connect(host)?;
    socket.write_all(
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}
