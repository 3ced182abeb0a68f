//! Plain HTTP on a port that speaks TLS.
//!
//! Guarantees: a client that speaks plain HTTP can read what is wrong; nothing of its request is
//! served.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::clock::Clock;

use super::lingering_close;

const ANSWER: &str = "this port speaks TLS: write https:// in place of http://\n";

/// Whether the client's first byte is that of an HTTP method. **Errors**: of the socket.
pub async fn is_spoken(socket: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    Ok(socket.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase())
}

/// Says what is wrong, and closes the socket.
pub async fn refuse(mut socket: TcpStream, clock: &Clock, timeout: Duration) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    tokio::select! {
        sent = socket.write_all(answer.as_bytes()) => {
            if let Err(error) = sent {
                tracing::debug!(%error, "a client that speaks plain HTTP was not told");
            }
        }
        () = clock.pause(timeout) => {}
    }
    lingering_close::close(socket, clock).await;
}
