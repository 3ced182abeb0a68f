//! A TCP relay between two processes that resets connections, truncates, stalls, delays and
//! corrupts data at random.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ratchet::clock::Clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One in so many reads of 64 KiB meets a fault.
const FAULT_ONE_IN: u64 = 200;

/// A relay that listens on a port of its own.
#[derive(Clone)]
pub struct FaultyLink {
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    faults_off: AtomicBool,
    faults: AtomicU64,
    /// Bytes from the side that connects to the other side.
    bytes_upstream: AtomicU64,
}

impl FaultyLink {
    pub async fn start(to: SocketAddr, random: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Self { address: listener.local_addr().unwrap(), counts: Arc::default() };
        let counts = Arc::clone(&link.counts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(to).await else { continue };
                let (random, counts) = (random.clone(), Arc::clone(&counts));
                tokio::spawn(async move {
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let upstream = Direction {
                        random: &random,
                        counts: &counts,
                        bytes: Some(&counts.bytes_upstream),
                    };
                    let downstream = Direction { bytes: None, ..upstream };
                    // The direction that ends first ends both.
                    tokio::select! {
                        () = upstream.relay(from_client, to_server) => {}
                        () = downstream.relay(from_server, to_client) => {}
                    }
                });
            }
        });
        link
    }

    /// Switches faults off or on. Returns whether they were off before.
    pub fn set_faults_off(&self, off: bool) -> bool {
        self.counts.faults_off.swap(off, Ordering::SeqCst)
    }

    pub fn faults(&self) -> u64 {
        self.counts.faults.load(Ordering::SeqCst)
    }

    pub fn bytes_upstream(&self) -> u64 {
        self.counts.bytes_upstream.load(Ordering::SeqCst)
    }
}

#[derive(Clone, Copy)]
struct Direction<'a> {
    random: &'a Clock,
    counts: &'a Counts,
    bytes: Option<&'a AtomicU64>,
}

impl Direction<'_> {
    async fn relay(self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            if let Some(bytes) = self.bytes {
                bytes.fetch_add(read as u64, Ordering::SeqCst);
            }
            let bytes = &mut buffer[..read];
            let faulty = !self.counts.faults_off.load(Ordering::SeqCst)
                && self.random.number_below(FAULT_ONE_IN) == 0;
            if faulty {
                self.counts.faults.fetch_add(1, Ordering::SeqCst);
                match self.random.number_below(5) {
                    0 => return,
                    1 => {
                        let cut = self.random.number_below(read as u64) as usize;
                        to.write_all(&bytes[..cut]).await.ok();
                        return;
                    }
                    2 => self.random.pause(Duration::from_secs(2)).await,
                    3 => self.random.pause(self.random.jitter(Duration::from_millis(300))).await,
                    _ => bytes[self.random.number_below(read as u64) as usize] ^= 0x10,
                }
            }
            if to.write_all(bytes).await.is_err() {
                return;
            }
        }
    }
}
