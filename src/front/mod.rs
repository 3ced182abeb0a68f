//! The protocols that clients speak, each a thin translation to `upload` and `object`.

pub mod chunk;
pub mod s3;
