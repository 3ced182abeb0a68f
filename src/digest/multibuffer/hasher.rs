//! The SHA-256 and MD5 of one message, hashed alone or along with those of others.
//!
//! Guarantees: what is not wanted costs nothing. It does not know who comes along.

use super::lanes::{Algorithm, Lane, Running, compress_all};
use super::{md5, sha256};
use crate::digest::Sha256;

/// Which digests are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct DigestSet {
    pub sha256: bool,
    pub md5: bool,
}

/// What was wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Digests {
    pub sha256: Option<Sha256>,
    pub md5: Option<[u8; 16]>,
}

/// Digests under way.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    sha256: Option<Running<sha256::State>>,
    md5: Option<Running<md5::State>>,
}

impl Hasher {
    /// So many messages together cost the least where SHA-256 alone is wanted.
    pub const NARROW: usize = sha256::State::LANES;
    /// So many where MD5 is.
    pub const WIDE: usize = md5::State::LANES;

    pub fn new(wanted: DigestSet) -> Self {
        Self { sha256: wanted.sha256.then(Running::new), md5: wanted.md5.then(Running::new) }
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

    /// Whether it is best hashed along with [`Self::WIDE`] others, and not with [`Self::NARROW`].
    pub fn is_wide(&self) -> bool {
        self.md5.is_some()
    }

    /// Whether this processor hashes it faster along with others.
    pub fn benefits_from_batching(&self) -> bool {
        if self.is_wide() {
            md5::State::has_lanes()
        } else {
            self.sha256.is_some() && sha256::State::has_lanes()
        }
    }
}

/// As `update` of each hasher with its bytes, all of them together.
pub fn update_all<B: AsRef<[u8]>>(all: &mut [(Hasher, B)]) {
    let mut lanes = Vec::with_capacity(all.len());
    lanes.extend(all.iter_mut().filter_map(|(hasher, bytes)| lane(&mut hasher.sha256, bytes)));
    compress_all(&mut lanes);
    let mut lanes = Vec::with_capacity(all.len());
    lanes.extend(all.iter_mut().filter_map(|(hasher, bytes)| lane(&mut hasher.md5, bytes)));
    compress_all(&mut lanes);
}

fn lane<'a, A: Algorithm, B: AsRef<[u8]>>(
    wanted: &'a mut Option<Running<A>>,
    bytes: &'a B,
) -> Option<Lane<'a, A>> {
    wanted.as_mut().map(|running| running.take_in(bytes.as_ref()))
}
