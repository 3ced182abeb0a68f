//! Levels of access, and grants of them on buckets and prefixes.
//!
//! Guarantees: each level of access includes the lower ones; a grant on a prefix never covers the
//! whole bucket. Pure.

use std::str::FromStr;

use crate::names::Bucket;

/// A level of access. Ordered: each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    Read,
    Write,
    /// Also allows creating and deleting the bucket.
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

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        })
    }
}

/// Access to the keys of a bucket, or of all buckets, under a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// None: every bucket.
    pub bucket: Option<Bucket>,
    /// Prefix of the keys. Empty: all keys, and the bucket itself.
    pub prefix: String,
    pub access: Access,
}

impl Grant {
    /// Whether the grant includes this access to the key or, with an empty key, to the whole
    /// bucket.
    pub fn covers(&self, access: Access, bucket: &Bucket, key: &str) -> bool {
        let bucket_fits = self.bucket.as_ref().is_none_or(|name| name == bucket);
        bucket_fits && self.access >= access && key.starts_with(&self.prefix)
    }
}
