//! Responses as they arrive on a socket, and the ways to send a request and read them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};

use super::gateway::Gateway;

/// Sends a head and a body on a new connection and reads the response.
pub async fn exchange(gateway: &Gateway, head: &str, body: &[u8]) -> Response {
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    // The gateway may refuse the request before it has read the body.
    if !body.is_empty() {
        drop(socket.write_all(body).await);
    }
    Response::read(&mut socket).await
}

/// As `exchange`, on a connection that ends with the response. The body keeps its framing.
pub async fn exchange_and_close(address: SocketAddr, head: &str, body: &[u8]) -> Response {
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let (mut responses, _) = send_raw(address, &[head.as_bytes(), body].concat()).await;
    responses.pop().unwrap_or_else(|| panic!("no response to {head}"))
}

/// As `exchange_and_close`, for a server that may be down: `None` if no response arrives.
pub async fn try_exchange(
    address: impl ToSocketAddrs,
    head: &str,
    body: &[u8],
) -> Option<Response> {
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut socket = TcpStream::connect(address).await.ok()?;
    socket.write_all(&[head.as_bytes(), body].concat()).await.ok()?;
    let mut received = Vec::new();
    socket.read_to_end(&mut received).await.ok()?;
    let text = String::from_utf8_lossy(&received);
    begins_response(&text).then(|| Response::parse(&text))
}

/// Sends bytes and reads until the gateway closes the connection. Returns its final responses in
/// order, and all bytes received.
pub async fn send_raw(address: SocketAddr, bytes: &[u8]) -> (Vec<Response>, Vec<u8>) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // The gateway may refuse the request, or close the connection, before it has read everything.
    socket.write_all(bytes).await.ok();
    let mut received = Vec::new();
    socket.read_to_end(&mut received).await.ok();
    let text = String::from_utf8_lossy(&received).into_owned();
    let starts = text.match_indices("HTTP/1.").map(|(at, _)| at);
    let mut starts: Vec<usize> = starts.filter(|at| begins_response(&text[*at..])).collect();
    starts.push(text.len());
    let responses = starts
        .windows(2)
        .map(|span| Response::parse(&text[span[0]..span[1]]))
        .filter(|response| response.status != 100);
    (responses.collect(), received)
}

/// Whether a status line comes next: HTTP/1.0 where the response ends with its connection.
fn begins_response(text: &str) -> bool {
    text.starts_with("HTTP/1.1 ") || text.starts_with("HTTP/1.0 ")
}

/// A response, its header names in lower case.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// Reads one final response; interim responses are skipped.
    pub async fn read(socket: &mut TcpStream) -> Self {
        loop {
            let response = Self::read_one(socket).await;
            if response.status != 100 {
                return response;
            }
        }
    }

    async fn read_one(socket: &mut TcpStream) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let ends_with_connection = head.starts_with("HTTP/1.0 ");
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(n, v)| (n.to_lowercase(), v.to_owned()))
            .collect();
        let mut response = Self { status, headers, body: Vec::new() };
        if let Some(length) = response.header("content-length") {
            response.body = vec![0; length.parse().unwrap()];
            socket.read_exact(&mut response.body).await.unwrap();
        } else if response.header("transfer-encoding") == Some("chunked") {
            loop {
                let mut line = Vec::new();
                while !line.ends_with(b"\r\n") {
                    line.push(socket.read_u8().await.unwrap());
                }
                let size =
                    usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
                let mut data = vec![0; size + 2];
                socket.read_exact(&mut data).await.unwrap();
                if size == 0 {
                    break;
                }
                response.body.extend_from_slice(&data[..size]);
            }
        } else if ends_with_connection {
            socket.read_to_end(&mut response.body).await.unwrap();
        }
        response
    }

    /// Parses a response that ended with its connection; the body keeps its framing.
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers =
            headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    /// The error code of S3 or the problem type of the chunk API; empty if the response has
    /// neither.
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

    /// The problem type, after a check that the problem is well formed.
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
