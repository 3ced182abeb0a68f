//! The SHA-256 and MD5 of one message, hashed alone or together with other messages.
//!
//! Guarantees: a digest that is not selected costs nothing. It does not choose the messages that
//! are hashed together.

use super::lanes::{Algorithm, Lane, Running, compress_all};
use super::{md5, sha256};
use crate::digest::Sha256;

/// Which digests are computed.
#[derive(Clone, Copy, Debug, Default)]
pub struct DigestSet {
    pub sha256: bool,
    pub md5: bool,
}

/// The digests that were computed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Digests {
    pub sha256: Option<Sha256>,
    pub md5: Option<[u8; 16]>,
}

/// The digests of a message whose bytes are still being added.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    sha256: Option<Running<sha256::State>>,
    md5: Option<Running<md5::State>>,
}

impl Hasher {
    /// How many messages are best hashed together where only SHA-256 is computed.
    pub const SHA256_LANES: usize = sha256::State::LANES;
    /// How many messages are best hashed together where MD5 is computed.
    pub const MD5_LANES: usize = md5::State::LANES;

    pub fn new(digests: DigestSet) -> Self {
        Self { sha256: digests.sha256.then(Running::new), md5: digests.md5.then(Running::new) }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.iter_mut().for_each(|sha256| sha256.update(bytes));
        self.md5.iter_mut().for_each(|md5| md5.update(bytes));
    }

    pub fn finish(self) -> Digests {
        Digests {
            sha256: self.sha256.map(|running| Sha256(running.finish().digest())),
            md5: self.md5.map(|running| running.finish().digest()),
        }
    }

    /// Whether [`Self::MD5_LANES`] messages are best hashed together, not [`Self::SHA256_LANES`].
    pub fn computes_md5(&self) -> bool {
        self.md5.is_some()
    }

    /// Whether this processor hashes the message faster together with others.
    pub fn benefits_from_batching(&self) -> bool {
        if self.computes_md5() {
            md5::State::supports_lanes()
        } else {
            self.sha256.is_some() && sha256::State::supports_lanes()
        }
    }
}

/// Updates each hasher with its bytes, all of them at the same time.
pub fn update_all<B: AsRef<[u8]>>(all: &mut [(Hasher, B)]) {
    let mut lanes = Vec::with_capacity(all.len());
    lanes.extend(all.iter_mut().filter_map(|(hasher, bytes)| lane(&mut hasher.sha256, bytes)));
    compress_all(&mut lanes);
    let mut lanes = Vec::with_capacity(all.len());
    lanes.extend(all.iter_mut().filter_map(|(hasher, bytes)| lane(&mut hasher.md5, bytes)));
    compress_all(&mut lanes);
}

fn lane<'a, A: Algorithm, B: AsRef<[u8]>>(
    running: &'a mut Option<Running<A>>,
    bytes: &'a B,
) -> Option<Lane<'a, A>> {
    running.as_mut().map(|running| running.append(bytes.as_ref()))
}
