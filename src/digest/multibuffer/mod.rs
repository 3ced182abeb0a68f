//! SHA-256 and MD5 of many messages at once, each in a lane of its own of one core.
//!
//! Guarantees: each digest is that of its message alone, whoever came along with it. One message's
//! rounds hang on each other and leave most of a core idle, and no cleverness within a message
//! helps; the rounds of several messages do not. Measured on one core: SHA-256 by SHA-NI 0.71 s/GiB
//! alone, 0.40 by twos; MD5 1.67 alone, 0.24 by eights (`benches/micro.rs`). Where the processor
//! has no such instructions each is hashed alone. It brings nobody together: that is `hashing`'s.
//! Source: Intel, "Processing Multiple Buffers in Parallel to Increase Performance" (2010).

mod hasher;
mod lanes;
mod md5;
mod sha256;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use hasher::{DigestSet, Digests, Hasher, update_all};
