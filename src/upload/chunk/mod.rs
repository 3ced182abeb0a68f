//! Receives chunks: each is admitted, verified while it streams, stored and recorded.

mod body;
mod copied;
mod gate;
pub(super) mod group;
pub(super) mod inflight;
pub(super) mod receive;
pub(super) mod whole_sha256;

pub(in crate::upload) use body::{interrupted, mismatch_of};
pub use copied::{PartCopied, PartSource};
pub(in crate::upload) use gate::Way;
pub use receive::{Admission, PutOutcome, PutPermit, Stored};
