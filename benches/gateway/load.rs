//! The load: so many connections, each sending one signed request after the other.
//!
//! Guarantees: bodies and their digests are made before the clock runs; every answer is checked; a
//! request that fails ends the run with its answer.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ratchet::digest::Sha256;

use crate::wire::{Ask, Caller, Keep};

pub const PART: usize = 8 << 20;
pub const SMALL: usize = 4 << 10;
/// Parts of the object that is downloaded.
pub const LARGE_PARTS: u64 = 16;
/// Keys of small objects: read, written over, and listed.
pub const KEYS: u64 = 1000;
pub const RANGE: u64 = 1 << 20;

/// What is asked for.
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

    /// Whether it is judged by the GiB and not by the request.
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

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    pub connections: usize,
    pub requests: u64,
    /// No request begins after this.
    pub at_most: Duration,
}

/// What a run took, as its clients saw it.
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

/// Bodies that differ, with their digests: a gateway may know again what it was sent before.
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
    let took = Mutex::new(Vec::new());
    let begun = Instant::now();
    let client = || -> io::Result<()> {
        let mut caller = Caller::new(target.host);
        let mut own = Vec::new();
        while begun.elapsed() < amount.at_most {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= first + amount.requests {
                break;
            }
            let asked = Instant::now();
            let moved = one(&mut caller, target, op, number)?;
            own.push(asked.elapsed());
            bytes.fetch_add(moved, Ordering::Relaxed);
        }
        took.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
        Ok(())
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..amount.connections).map(|_| scope.spawn(client)).collect();
        clients.into_iter().try_for_each(|client| {
            client.join().map_err(|_| io::Error::other("a client panicked"))?
        })
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut took = took.into_inner().unwrap_or_else(PoisonError::into_inner);
    took.sort_unstable();
    let at = |share: f64| {
        let place = (took.len() as f64 * share) as usize;
        took.get(place.min(took.len().saturating_sub(1)))
            .map_or(0.0, |took| took.as_secs_f64() * 1e6)
    };
    let bytes = bytes.into_inner();
    Ok(Figures { requests: took.len() as u64, bytes, seconds, p50_us: at(0.5), p99_us: at(0.99) })
}

/// One request; the payload bytes that it moved.
fn one(caller: &mut Caller, target: &Target<'_>, op: Op, number: u64) -> io::Result<u64> {
    let Target { bucket, upload, .. } = target;
    let (part, digest) = BODIES.part(number);
    let (small, small_digest) = &BODIES.small;
    let empty = Some(Sha256::of(b""));
    let (path, headers);
    let ask = match op {
        Op::Upload => {
            path = format!("/{bucket}/{upload}&partNumber={}", number + 1);
            Ask { method: "PUT", path: &path, body: part, sha256: Some(*digest), ..Ask::default() }
        }
        Op::Chunk => {
            path = format!("/_ratchet/v1/backups/{upload}/chunks/{number}");
            headers = [("content-digest", format!("sha-256=:{}:", digest.base64()))];
            Ask { method: "PUT", path: &path, headers: &headers, body: part, ..Ask::default() }
        }
        Op::Download => {
            path = format!("/{bucket}/large");
            Ask { method: "GET", path: &path, sha256: empty, keep: Keep::Nothing, ..Ask::default() }
        }
        Op::Range => {
            path = format!("/{bucket}/large");
            let places = LARGE_PARTS * PART as u64 - RANGE;
            // A large step that has no common divisor with it: ranges that lie apart and begin
            // anywhere.
            let from = number * 7_654_321 % places;
            headers = [("range", format!("bytes={from}-{}", from + RANGE - 1))];
            let keep = Keep::Nothing;
            Ask {
                method: "GET",
                path: &path,
                headers: &headers,
                sha256: empty,
                keep,
                ..Ask::default()
            }
        }
        Op::Put4k => {
            path = format!("/{bucket}/{}", key(number));
            Ask {
                method: "PUT",
                path: &path,
                body: small,
                sha256: Some(*small_digest),
                ..Ask::default()
            }
        }
        Op::Get4k | Op::Head => {
            path = format!("/{bucket}/{}", key(number));
            let method = if op == Op::Head { "HEAD" } else { "GET" };
            Ask { method, path: &path, sha256: empty, keep: Keep::Nothing, ..Ask::default() }
        }
        Op::List => {
            path = format!("/{bucket}?list-type=2&max-keys={KEYS}&prefix=small%2F");
            Ask { method: "GET", path: &path, sha256: empty, keep: Keep::Nothing, ..Ask::default() }
        }
    };
    let answer = caller.call(&ask)?.good()?;
    let wanted = match op {
        Op::Download => LARGE_PARTS * PART as u64,
        Op::Range => RANGE,
        Op::Get4k => SMALL as u64,
        Op::Upload | Op::Chunk | Op::Put4k | Op::Head | Op::List => answer.body_bytes,
    };
    if answer.body_bytes != wanted {
        return Err(io::Error::other(format!(
            "{} answered {} bytes of {wanted}",
            op.name(),
            answer.body_bytes
        )));
    }
    Ok(answer.body_bytes.max(ask.body.len() as u64))
}

/// The key of a small object.
pub fn key(number: u64) -> String {
    format!("small/{:04}", number % KEYS)
}
