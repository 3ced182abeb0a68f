//! Which version of an object a call means, and under which conditions it changes it.
//!
//! Guarantees: pure; `dir` and `memory` decide every condition here, against the object that the
//! change itself finds. In a store without versions only `null` names an object, the one that is
//! there. Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html>.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{ETag, Error, Key, Kind, PutMode, Result};

/// The id of the version of an object that was written without versions.
pub const NULL_VERSION: &str = "null";

/// What a `delete` removes, and under which conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// None: the current object. A bucket with versions gets a delete marker for it.
    pub version: Option<String>,
    pub conditions: DeleteConditions,
    /// Whether a retention in governance mode is no obstacle. Stores without locks have none.
    pub bypass_governance: bool,
}

/// The conditions of a `delete`. Atomic, as those of a `put`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteConditions {
    pub if_match: Option<TagCondition>,
    /// The second at which the object was last modified.
    pub modified: Option<SystemTime>,
    pub size_bytes: Option<u64>,
}

/// The condition on an object's ETag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagCondition {
    /// There is an object (`*`).
    Any,
    Tag(ETag),
}

/// The result of a successful `delete`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The version that was removed, or that of the delete marker that was added.
    pub version: Option<String>,
    /// Whether a delete marker was added, or removed.
    pub delete_marker: bool,
}

/// What conditions are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Existing<'a> {
    pub etag: &'a ETag,
    pub size_bytes: u64,
    pub modified: SystemTime,
}

impl DeleteConditions {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// **Errors**: `Precondition`; `NotFound` where there is no object that could have the ETag.
    pub(super) fn check(&self, existing: Option<Existing<'_>>, key: &Key) -> Result<()> {
        let refused = |what: &str| Err(Error::new(Kind::Precondition, format!("{key} {what}")));
        let Some(existing) = existing else {
            // An object that is not there has neither size nor time: S3 reports success.
            return match &self.if_match {
                None => Ok(()),
                Some(TagCondition::Any) => refused("does not exist"),
                Some(TagCondition::Tag(_)) => {
                    Err(Error::new(Kind::NotFound, format!("no object {key}")))
                }
            };
        };
        if matches!(&self.if_match, Some(TagCondition::Tag(tag)) if tag != existing.etag) {
            return refused("has another ETag");
        }
        if self.size_bytes.is_some_and(|size| size != existing.size_bytes) {
            return refused("has another size");
        }
        if self.modified.is_some_and(|time| seconds(time) != seconds(existing.modified)) {
            return refused("was modified at another time");
        }
        Ok(())
    }
}

impl PutMode {
    /// **Errors**: `Precondition`, `NotFound` where there is no object that could have the ETag.
    pub(super) fn check(&self, existing: Option<&ETag>, key: &Key) -> Result<()> {
        let refused = |what: &str| Err(Error::new(Kind::Precondition, format!("{key} {what}")));
        match (self, existing) {
            (Self::CreateOnly, Some(_)) => refused("exists"),
            (Self::IfMatch(_), None) => Err(Error::new(Kind::NotFound, format!("no object {key}"))),
            (Self::IfMatch(etag), Some(existing)) if existing != etag => {
                refused("has another ETag")
            }
            (Self::Overwrite | Self::CreateOnly | Self::IfMatch(_), _) => Ok(()),
        }
    }
}

/// The whole seconds of a time: dates of HTTP have no more.
fn seconds(time: SystemTime) -> Duration {
    Duration::from_secs(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

/// **Errors**: `NoSuchVersion` unless the version is that of an object of a store without versions.
pub(super) fn require_null_version(version: Option<&str>, key: &Key) -> Result<()> {
    match version {
        None | Some(NULL_VERSION) => Ok(()),
        Some(other) => {
            Err(Error::new(Kind::NoSuchVersion, format!("{key} has no version {other:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delete_is_decided_by_etag_size_and_second() {
        let (key, etag) = (Key::from("k"), ETag::from("a"));
        let modified = UNIX_EPOCH + Duration::from_millis(5_400);
        let existing = Existing { etag: &etag, size_bytes: 5, modified };
        let tag = |text: &str| Some(TagCondition::Tag(ETag::from(text)));
        let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
        let conditions =
            |if_match, modified, size_bytes| DeleteConditions { if_match, modified, size_bytes };
        let (failed, missing) = (Some(Kind::Precondition), Some(Kind::NotFound));
        // Conditions, outcome with the object, outcome without it.
        let table = [
            (conditions(None, None, None), None, None),
            (conditions(tag("a"), at(5), Some(5)), None, missing),
            (conditions(tag("b"), None, None), failed, missing),
            (conditions(Some(TagCondition::Any), None, None), None, failed),
            (conditions(Some(TagCondition::Any), None, Some(6)), failed, failed),
            (conditions(None, at(6), None), failed, None),
            (conditions(None, None, Some(6)), failed, None),
            (conditions(tag("a"), at(6), Some(5)), failed, missing),
        ];
        for (conditions, with, without) in table {
            let outcome = |existing| conditions.check(existing, &key).err().map(|e| e.kind());
            assert_eq!(outcome(Some(existing)), with, "{conditions:?}");
            assert_eq!(outcome(None), without, "{conditions:?} without an object");
        }
    }

    #[test]
    fn a_write_is_decided_by_the_object_that_is_there() {
        let (key, etag) = (Key::from("k"), ETag::from("a"));
        let if_match = |tag: &str| PutMode::IfMatch(ETag::from(tag));
        let table = [
            (PutMode::Overwrite, None, None),
            (PutMode::CreateOnly, Some(Kind::Precondition), None),
            (if_match("a"), None, Some(Kind::NotFound)),
            (if_match("b"), Some(Kind::Precondition), Some(Kind::NotFound)),
        ];
        for (mode, with, without) in table {
            let outcome = |existing| mode.check(existing, &key).err().map(|error| error.kind());
            assert_eq!((outcome(Some(&etag)), outcome(None)), (with, without), "{mode:?}");
        }
    }
}
