//! What only S3 multipart uploads have: parts that their client numbers, and the adoption of an
//! abandoned upload.

pub(super) mod adopt;
mod complete_checks;
mod entries;
pub(super) mod parts;

pub use complete_checks::ObjectClaim;
pub use entries::{ChosenEntry, PartClaim, PartEntry};
pub use parts::{NewUpload, PartAdmission};
