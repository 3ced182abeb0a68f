//! The way of one chunk into the store: admitted, verified while it streams, stored, recorded.

pub(super) mod group;
pub(super) mod inflight;
pub(super) mod receive;
pub(super) mod whole_sha256;

pub use receive::{Admission, PutOutcome, PutPermit, Stored};
