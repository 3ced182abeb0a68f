//! Which bucket names and keys may be sent to the server.
//!
//! Guarantees: no bucket name has a slash; a name that the server reserves is no bucket.
//! MinIO's admin API is below `/minio`, Ceph's below `/admin`: a request for an "object" there,
//! signed with the gateway's key, would be a call of that API. A key has no `..` segment, which
//! some servers resolve to the parent directory.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use super::super::{Bucket, Error, Key, Kind, Result};

/// Names that are no buckets on any S3 server, whether it reserves them or not: all gateways must
/// agree, whatever their inspection of the server found. RustFS responds to the bare name as to a
/// bucket, and has its administration below it.
const ALWAYS_RESERVED: [&str; 3] = ["minio", "admin", "rustfs"];

/// Names that some server reserves, and that can be buckets on others: the server is asked.
/// `swift`, `auth` and `zero` are Ceph's, `health`, `profile` and `iceberg` RustFS's, `status`,
/// `healthz` and `readyz` SeaweedFS's; the others are names of metrics, consoles and probes.
pub(super) const POSSIBLY_RESERVED: [&str; 19] = [
    "api", "auth", "console", "debug", "health", "healthz", "iam", "iceberg", "info", "login",
    "metrics", "profile", "ready", "readyz", "status", "sts", "swift", "webui", "zero",
];

/// The names that the server reserves.
#[derive(Debug, Default)]
pub(super) struct Names {
    reserved: RwLock<BTreeSet<String>>,
}

impl Names {
    pub fn add_reserved(&self, names: impl IntoIterator<Item = String>) {
        self.reserved.write().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    pub fn is_reserved(&self, bucket: &str) -> bool {
        ALWAYS_RESERVED.contains(&bucket)
            || bucket.starts_with('_')
            || self.reserved.read().unwrap_or_else(PoisonError::into_inner).contains(bucket)
    }

    /// The same bucket, if it may be sent. **Errors**: `NoSuchBucket`.
    pub fn bucket<'a>(&self, bucket: &'a Bucket) -> Result<&'a Bucket> {
        let name = bucket.as_str();
        let is_allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_name = !name.is_empty()
            && name.bytes().all(is_allowed)
            && !name.starts_with('.')
            && !name.contains("..");
        if is_name && !self.is_reserved(name) {
            return Ok(bucket);
        }
        Err(Error::new(Kind::NoSuchBucket, format!("{name:?} is no bucket of the store")))
    }

    /// The same bucket and key, if they may be sent. **Errors**: `NoSuchBucket`, `Invalid`.
    pub fn object<'a>(&self, bucket: &'a Bucket, key: &'a Key) -> Result<(&'a Bucket, &'a Key)> {
        let has_parent_segment = key.as_str().split('/').any(|segment| segment == "..");
        if key.as_str().is_empty() || has_parent_segment || key.as_str().contains('\0') {
            return Err(Error::new(
                Kind::Invalid,
                format!("the key {key:?} may not be sent to the store"),
            ));
        }
        Ok((self.bucket(bucket)?, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_invalid_bucket_names_are_refused() {
        let names = Names::default();
        names.add_reserved(["status".to_owned()]);
        for name in [
            "minio", "admin", "rustfs", "_all", "_minio", "status", "", "a/b", "..", ".", "a?b",
            "a%2Fb", "a b", "ä",
        ] {
            assert_eq!(
                names.bucket(&name.into()).unwrap_err().kind(),
                Kind::NoSuchBucket,
                "{name}"
            );
        }
        for name in ["minio-data", "administration", "healthz", "My_Old.Bucket"] {
            assert!(names.bucket(&name.into()).is_ok(), "{name}");
        }
    }

    #[test]
    fn keys_that_lead_out_of_their_bucket_are_refused() {
        let names = Names::default();
        let checked = |key: &str| {
            names.object(&"b".into(), &key.into()).map(drop).map_err(|error| error.kind())
        };
        for key in ["", "..", "../minio/admin", "a/../../minio", "a/..", "a\0"] {
            assert_eq!(checked(key), Err(Kind::Invalid), "{key:?}");
        }
        for key in ["a", "/a", "a//b", "..a", "a..", "minio/admin"] {
            assert_eq!(checked(key), Ok(()), "{key:?}");
        }
    }
}
