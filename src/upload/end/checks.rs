//! What a finalize checks: the expected digest, and the condition on the object at the target.
//!
//! Guarantees: a request gets the object of a complete session only if it asks for nothing else
//! than what that object has. Source: docs/architecture.md#complete-takes-the-listed-parts.

use crate::digest::{Expected, Kind as DigestKind};
use crate::store;

use super::super::error::{Error, Result};
use super::super::manifest::{Checks, Finished};
use super::super::session::Session;

impl Session {
    /// The object, if the request asks for nothing else than what it has. **Errors**:
    /// `DigestMismatch`; `NotOpen` where it was made without the condition of the request.
    pub(in crate::upload) fn check_finished(
        &self,
        object: &Finished,
        requested: &Checks,
    ) -> Result<Finished> {
        if let Some(expected) = &requested.expected {
            let found = object.digests.iter().find(|digest| digest.kind == expected.kind);
            require_equal(expected, found.ok_or_else(|| not_computed(expected.kind))?)?;
        }
        if requested.condition.is_some() && requested.condition != object.condition {
            return Err(Self::not_open(&self.root()));
        }
        Ok(object.clone())
    }
}

/// Whether the store says that the condition on the object at the target does not hold.
pub(in crate::upload) fn is_unmet(error: &store::Error) -> bool {
    matches!(error.kind(), store::Kind::Precondition | store::Kind::NotFound)
}

pub(in crate::upload) fn condition_failed(error: &store::Error) -> Error {
    Error::ConditionFailed { missing: error.kind() == store::Kind::NotFound }
}

pub(super) fn require_equal(expected: &Expected, found: &Expected) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::DigestMismatch { expected: expected.clone(), found: found.clone() })
}

pub(super) fn not_computed(kind: DigestKind) -> Error {
    let what = format!(
        "the digest {kind} was not named when the backup was created, so it is not computed"
    );
    Error::DigestUnavailable(what)
}
