//! Which names may stand in a request to the server as bucket and key.
//!
//! Guarantees: a bucket is a name, not a path; one that the server keeps for itself is no bucket.
//! MinIO's admin API is below `/minio`, Ceph's below `/admin`: a request for an "object" there,
//! signed with the gateway's key, would be a call of that API. A key has no `..` segment, which
//! some servers take for the directory above.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use super::super::{Bucket, Error, Key, Kind, Result};

/// No bucket on any S3 server, whether it keeps the name for itself or not: gateways must not
/// differ by what they found. RustFS answers for the bare name as for a bucket, and has its
/// administration below it.
const NEVER: [&str; 3] = ["minio", "admin", "rustfs"];

/// Names that some server keeps for itself, and that are a bucket's on others: the server is asked.
/// `swift`, `auth` and `zero` are Ceph's, `health`, `profile` and `iceberg` RustFS's, `status`,
/// `healthz` and `readyz` SeaweedFS's; the others are what servers call their metrics, consoles and
/// probes.
pub(super) const DOUBTFUL: [&str; 19] = [
    "api", "auth", "console", "debug", "health", "healthz", "iam", "iceberg", "info", "login",
    "metrics", "profile", "ready", "readyz", "status", "sts", "swift", "webui", "zero",
];

/// What is known of the server's names.
#[derive(Debug, Default)]
pub(super) struct Names {
    found: RwLock<BTreeSet<String>>,
}

impl Names {
    pub fn keep(&self, found: impl IntoIterator<Item = String>) {
        self.found.write().unwrap_or_else(PoisonError::into_inner).extend(found);
    }

    pub fn is_reserved(&self, bucket: &str) -> bool {
        NEVER.contains(&bucket)
            || bucket.starts_with('_')
            || self.found.read().unwrap_or_else(PoisonError::into_inner).contains(bucket)
    }

    /// The same bucket. **Errors**: `NoSuchBucket`.
    pub fn bucket<'a>(&self, bucket: &'a Bucket) -> Result<&'a Bucket> {
        let name = bucket.as_str();
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_name = !name.is_empty()
            && name.bytes().all(inner)
            && !name.starts_with('.')
            && !name.contains("..");
        if is_name && !self.is_reserved(name) {
            return Ok(bucket);
        }
        Err(Error::new(Kind::NoSuchBucket, format!("{name:?} is no bucket of the store")))
    }

    /// The same two. **Errors**: `NoSuchBucket`, `Invalid`.
    pub fn object<'a>(&self, bucket: &'a Bucket, key: &'a Key) -> Result<(&'a Bucket, &'a Key)> {
        let has_parent_segment = key.as_str().split('/').any(|segment| segment == "..");
        if key.as_str().is_empty() || has_parent_segment || key.as_str().contains('\0') {
            return Err(Error::new(
                Kind::Invalid,
                format!("{key:?} is no key that may be sent to the store"),
            ));
        }
        Ok((self.bucket(bucket)?, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bucket_is_refused() {
        let names = Names::default();
        names.keep(["status".to_owned()]);
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
    fn a_key_stays_below_its_bucket() {
        let names = Names::default();
        let told = |key: &str| {
            names.object(&"b".into(), &key.into()).map(drop).map_err(|error| error.kind())
        };
        for key in ["", "..", "../minio/admin", "a/../../minio", "a/..", "a\0"] {
            assert_eq!(told(key), Err(Kind::Invalid), "{key:?}");
        }
        for key in ["a", "/a", "a//b", "..a", "a..", "minio/admin"] {
            assert_eq!(told(key), Ok(()), "{key:?}");
        }
    }
}
