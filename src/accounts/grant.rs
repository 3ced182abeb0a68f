//! What an account may do, and to what.
//!
//! Guarantees: each access includes the ones below it; a grant on a prefix never covers its bucket
//! as a whole. Pure.

use std::str::FromStr;

/// What is done; ordered, each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    Read,
    Write,
    /// Also makes and removes the bucket.
    Admin,
}

impl FromStr for Access {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            "admin" => Ok(Self::Admin),
            _ => Err("an access is \"read\", \"write\" or \"admin\"".to_owned()),
        }
    }
}

/// Access to the keys of a bucket, or of all buckets, under a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// None: every bucket.
    pub bucket: Option<String>,
    /// Of the key; empty: all of them, and the bucket itself.
    pub prefix: String,
    pub access: Access,
}

impl Grant {
    /// `key` is empty where the bucket as a whole is meant.
    pub fn covers(&self, access: Access, bucket: &str, key: &str) -> bool {
        let bucket_fits = self.bucket.as_deref().is_none_or(|name| name == bucket);
        bucket_fits && self.access >= access && key.starts_with(&self.prefix)
    }
}
