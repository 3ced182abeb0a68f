//! Why an object, or a part of it, cannot be read or copied.
//!
//! Errors of the store and of the records are passed on unchanged: a front has a status for each of
//! their kinds.

use crate::store;
use crate::upload;

use super::{PartNumber, Stored};

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The records of the upload that made the object cannot be read.
    #[error(transparent)]
    Records(#[from] upload::Error),
    #[error("a condition of the request does not hold")]
    Precondition,
    #[error("the object is as the client knows it")]
    NotModified(Box<Stored>),
    #[error("the object has no part {number}, but {count}")]
    NoSuchPart { number: PartNumber, count: usize },
    #[error("the object has {size_bytes} bytes, and none of the range")]
    Range { size_bytes: u64 },
}

/// A copy that was not made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Of the source, of the target's condition, or of the store itself.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Of the upload, or of the one that made the source.
    #[error(transparent)]
    Records(#[from] upload::Error),
    #[error("a condition on the source does not hold")]
    Unmet,
    #[error(
        "the specified copy source is larger than the maximum allowable size for a copy source: \
         {max_bytes}"
    )]
    TooLarge { max_bytes: u64 },
    #[error("Range specified is not valid for source object of size: {size_bytes}")]
    Range { size_bytes: u64 },
}
