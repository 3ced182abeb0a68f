//! Hashes bodies frame by frame while they stream, frames of several bodies at the same time.
//!
//! Guarantees: the frames of a body are hashed in order, one at a time, and each is kept until it
//! is hashed and no longer. The digests of a body are its own, whichever bodies were hashed with
//! it. It starts no threads: yields of the runtime bring frames together
//! (docs/decisions/0006-frames-wait-to-be-hashed-together.md).

mod body;
#[cfg(test)]
mod tests;
mod waiting;

pub use body::BodyHasher;
