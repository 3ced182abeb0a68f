//! The load: a number of connections, each of which sends one signed request after the other.
//!
//! Guarantees: bodies and their digests are computed before the measurement; every response is
//! checked; a request that fails ends the run with its response.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ratchet::digest::Sha256;

use crate::wire::{Client, Keep, Request};

pub const PART: usize = 8 << 20;
pub const SMALL: usize = 4 << 10;
/// Parts of the object that is downloaded.
pub const LARGE_PARTS: u64 = 16;
/// The number of small objects, which are read, overwritten, and listed.
pub const KEYS: u64 = 1000;
pub const RANGE: u64 = 1 << 20;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Op {
    /// UploadPart of 8 MiB, its SHA-256 signed.
    Upload,
    /// The same over the chunk API.
    Chunk,
    /// GET of an object of 128 MiB.
    Download,
    /// GET of 1 MiB somewhere in it.
    Range,
    /// PUT of an object of 4 KiB, its SHA-256 signed.
    Put4k,
    /// GET of it.
    Get4k,
    /// HEAD of it.
    Head,
    /// ListObjectsV2 of 1,000 keys.
    List,
}

impl Op {
    pub const ALL: [Self; 8] = [
        Self::Upload,
        Self::Chunk,
        Self::Download,
        Self::Range,
        Self::Put4k,
        Self::Get4k,
        Self::Head,
        Self::List,
    ];

    /// Whether it is rated per GiB and not per request.
    pub fn is_bulk(self) -> bool {
        matches!(self, Self::Upload | Self::Chunk | Self::Download)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Chunk => "chunk",
            Self::Download => "download",
            Self::Range => "range",
            Self::Put4k => "put4k",
            Self::Get4k => "get4k",
            Self::Head => "head",
            Self::List => "list",
        }
    }
}

/// How much load to send.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    pub connections: usize,
    pub requests: u64,
    /// No request is started after this.
    pub max_duration: Duration,
}

/// The figures of a run, as its clients measured them.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    pub requests: u64,
    pub bytes: u64,
    pub seconds: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// Where the load goes.
pub struct Target<'a> {
    pub host: &'a str,
    pub bucket: &'a str,
    /// The upload or backup that parts or chunks belong to.
    pub upload: &'a str,
}

/// Different bodies, with their digests: a gateway may recognise a body that it has received
/// before.
pub struct Bodies {
    parts: Vec<(Vec<u8>, Sha256)>,
    pub small: (Vec<u8>, Sha256),
}

impl Bodies {
    /// The body of a part of this number, and its digest.
    pub fn part(&self, number: u64) -> (&[u8], &Sha256) {
        let (bytes, digest) = &self.parts[(number % self.parts.len() as u64) as usize];
        (bytes, digest)
    }
}

pub static BODIES: LazyLock<Bodies> = LazyLock::new(|| {
    let mut random = fastrand::Rng::with_seed(1);
    let mut body = |len: usize| {
        let mut bytes = vec![0_u8; len];
        random.fill(&mut bytes);
        let digest = Sha256::of(&bytes);
        (bytes, digest)
    };
    Bodies { parts: (0..8).map(|_| body(PART)).collect(), small: body(SMALL) }
});

/// Runs an operation. The first request has the number `first`.
pub fn run(target: &Target<'_>, op: Op, amount: Amount, first: u64) -> io::Result<Figures> {
    LazyLock::force(&BODIES);
    let (next, bytes) = (AtomicU64::new(first), AtomicU64::new(0));
    let latencies = Mutex::new(Vec::new());
    let started = Instant::now();
    let run_client = || -> io::Result<()> {
        let mut client = Client::new(target.host);
        let mut own = Vec::new();
        while started.elapsed() < amount.max_duration {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= first + amount.requests {
                break;
            }
            let sent = Instant::now();
            let transferred = send(&mut client, target, op, number)?;
            own.push(sent.elapsed());
            bytes.fetch_add(transferred, Ordering::Relaxed);
        }
        latencies.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
        Ok(())
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..amount.connections).map(|_| scope.spawn(run_client)).collect();
        clients.into_iter().try_for_each(|client| {
            client.join().map_err(|_| io::Error::other("a client panicked"))?
        })
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let mut latencies = latencies.into_inner().unwrap_or_else(PoisonError::into_inner);
    latencies.sort_unstable();
    let at = |quantile: f64| {
        let index = (latencies.len() as f64 * quantile) as usize;
        latencies
            .get(index.min(latencies.len().saturating_sub(1)))
            .map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    };
    let bytes = bytes.into_inner();
    Ok(Figures {
        requests: latencies.len() as u64,
        bytes,
        seconds,
        p50_us: at(0.5),
        p99_us: at(0.99),
    })
}

/// Sends one request. Returns how many payload bytes it transferred.
fn send(client: &mut Client, target: &Target<'_>, op: Op, number: u64) -> io::Result<u64> {
    let Target { bucket, upload, .. } = target;
    let (part, digest) = BODIES.part(number);
    let (small, small_digest) = &BODIES.small;
    let (path, headers);
    let request = match op {
        Op::Upload => {
            path = format!("/{bucket}/{upload}&partNumber={}", number + 1);
            put(&path, &[], part, Some(*digest))
        }
        Op::Chunk => {
            path = format!("/_ratchet/v1/backups/{upload}/chunks/{number}");
            headers = [("content-digest", format!("sha-256=:{}:", digest.base64()))];
            put(&path, &headers, part, None)
        }
        Op::Download => {
            path = format!("/{bucket}/large");
            get(&path, &[])
        }
        Op::Range => {
            path = format!("/{bucket}/large");
            let offsets = LARGE_PARTS * PART as u64 - RANGE;
            // A large step without a common divisor with the number of offsets: the ranges are far
            // apart and begin anywhere.
            let from = number * 7_654_321 % offsets;
            headers = [("range", format!("bytes={from}-{}", from + RANGE - 1))];
            get(&path, &headers)
        }
        Op::Put4k => {
            path = format!("/{bucket}/{}", key(number));
            put(&path, &[], small, Some(*small_digest))
        }
        Op::Get4k => {
            path = format!("/{bucket}/{}", key(number));
            get(&path, &[])
        }
        Op::Head => {
            path = format!("/{bucket}/{}", key(number));
            Request { method: "HEAD", ..get(&path, &[]) }
        }
        Op::List => {
            path = format!("/{bucket}?list-type=2&max-keys={KEYS}&prefix=small%2F");
            get(&path, &[])
        }
    };
    let response = client.call(&request)?.require_success()?;
    let expected = match op {
        Op::Download => LARGE_PARTS * PART as u64,
        Op::Range => RANGE,
        Op::Get4k => SMALL as u64,
        Op::Upload | Op::Chunk | Op::Put4k | Op::Head | Op::List => response.body_bytes,
    };
    if response.body_bytes != expected {
        return Err(io::Error::other(format!(
            "{} returned {} bytes of {expected}",
            op.name(),
            response.body_bytes
        )));
    }
    Ok(response.body_bytes.max(request.body.len() as u64))
}

fn put<'a>(
    path: &'a str,
    headers: &'a [(&'static str, String)],
    body: &'a [u8],
    sha256: Option<Sha256>,
) -> Request<'a> {
    Request { method: "PUT", path, headers, body, sha256, ..Request::default() }
}

/// A GET whose response body is discarded.
fn get<'a>(path: &'a str, headers: &'a [(&'static str, String)]) -> Request<'a> {
    let (sha256, keep) = (Some(Sha256::of(b"")), Keep::Nothing);
    Request { method: "GET", path, headers, sha256, keep, ..Request::default() }
}

/// The key of a small object.
pub fn key(number: u64) -> String {
    format!("small/{:04}", number % KEYS)
}
