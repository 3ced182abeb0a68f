//! Numbers as people read them.

pub use crate::client::{human_bytes as bytes, human_time as time};
