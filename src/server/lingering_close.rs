//! The lingering close of a connection.
//!
//! Guarantees: a client that is still sending when its response goes out can read the response: the
//! server ends its side, then discards what the client sends, until the client ends too, pauses, or
//! has sent or used up a bounded rest (docs/decisions/0023-lingering-close.md). Source: RFC 9112
//! §9.6.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::clock::Clock;

/// A client that reads while it sends stops within a few round trips. One that reads only after it
/// has sent all must be able to send all, within reason.
const MAX_DISCARDED_BYTES: usize = 256 << 20;
const MAX_TIME: Duration = Duration::from_secs(30);
/// The longest pause of a client that is still sending.
const MAX_PAUSE: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 16 << 10;

/// Closes the socket.
pub async fn close(mut socket: impl AsyncRead + AsyncWrite + Unpin, clock: &Clock) {
    if socket.shutdown().await.is_err() {
        return;
    }
    let deadline = clock.monotonic() + MAX_TIME;
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes_left = MAX_DISCARDED_BYTES;
    while bytes_left > 0 && clock.monotonic() < deadline {
        tokio::select! {
            read = socket.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(read) => bytes_left = bytes_left.saturating_sub(read),
            },
            () = clock.pause(MAX_PAUSE) => return,
        }
    }
}
