//! Conditions of a request on the object as it is: `If-Match` and the other three.
//!
//! Guarantees: evaluated in the order of RFC 9110 §13.2.2. It does not know in which headers the
//! conditions stand. Pure. Source: RFC 9110 §13;
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>.

use std::time::SystemTime;

use crate::store::{ETag, Head};

/// The conditions of one request; the default has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    pub if_match: Option<ETags>,
    pub if_none_match: Option<ETags>,
    pub if_modified_since: Option<SystemTime>,
    pub if_unmodified_since: Option<SystemTime>,
}

/// The entity tags that a condition lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ETags {
    Any,
    OneOf(Vec<ETag>),
}

/// How a request with unmet conditions must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    Precondition,
    NotModified,
}

impl Conditions {
    /// **Errors**: which kind of condition does not hold for the object.
    pub fn check(&self, head: &Head) -> Result<(), Unmet> {
        let modified = without_fraction(head.modified);
        let matches = match &self.if_match {
            Some(tags) => tags.contain(&head.etag),
            None => self.if_unmodified_since.is_none_or(|date| modified <= date),
        };
        if !matches {
            return Err(Unmet::Precondition);
        }
        let is_new = match &self.if_none_match {
            Some(tags) => !tags.contain(&head.etag),
            // A date in the future is none: the object can still change before it.
            None => self.if_modified_since.is_none_or(|date| modified > date || date > head.date),
        };
        if is_new { Ok(()) } else { Err(Unmet::NotModified) }
    }
}

/// The validator of `If-Range`: whether the client has bytes of the object as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfRange {
    Tag(ETag),
    /// The very second of its last change.
    Date(SystemTime),
    /// A weak tag, or text that is neither: no object has it.
    Never,
}

impl IfRange {
    pub(super) fn holds(&self, head: &Head) -> bool {
        match self {
            Self::Tag(tag) => *tag == head.etag,
            Self::Date(date) => *date == without_fraction(head.modified),
            Self::Never => false,
        }
    }
}

impl ETags {
    fn contain(&self, etag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.contains(etag),
        }
    }
}

/// Dates of HTTP are whole seconds.
fn without_fraction(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since_epoch.as_secs())
}
