//! SHA-256 and MD5 of several messages at the same time on one core. Each message has a lane: its
//! state and the blocks that are to be compressed next.
//!
//! Guarantees: each digest is that of its message alone, whichever messages were hashed with it.
//! The rounds of one message depend on each other and leave most of a core idle; those of several
//! messages do not (docs/decisions/0005-several-messages-are-hashed-at-once.md). Where the
//! processor lacks the instructions each message is hashed alone. It does not collect messages:
//! `digest/batch` does. Source: Intel, "Processing Multiple Buffers in Parallel to Increase
//! Performance" (2010).

mod hasher;
mod lanes;
mod md5;
mod sha256;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use hasher::{DigestSet, Digests, Hasher, update_all};
