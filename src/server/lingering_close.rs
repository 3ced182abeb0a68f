//! The lingering close of a connection.
//!
//! Guarantees: a client that is still sending when its response goes out can read the response: the
//! server ends its side, then discards a bounded rest
//! (docs/decisions/0023-lingering-close.md). Source: RFC 9112 §9.6.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::clock::Clock;

const MAX_DISCARDED_BYTES: usize = 64 << 10;
const MAX_TIME: Duration = Duration::from_secs(2);

/// Closes the socket.
pub async fn close(mut socket: impl AsyncRead + AsyncWrite + Unpin, clock: &Clock) {
    if socket.shutdown().await.is_err() {
        return;
    }
    let discard = async {
        let mut buffer = [0; 1 << 10];
        let mut bytes_left = MAX_DISCARDED_BYTES;
        while bytes_left > 0 {
            match socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => bytes_left = bytes_left.saturating_sub(read),
            }
        }
    };
    tokio::select! {
        () = discard => {}
        () = clock.pause(MAX_TIME) => {}
    }
}
