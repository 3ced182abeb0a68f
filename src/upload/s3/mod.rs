//! What only S3 multipart uploads have: parts that their client numbers, the adoption of an
//! abandoned upload, and aliases of the successor.

pub(super) mod adopt;
pub(super) mod alias;
mod complete;
mod complete_checks;
mod entries;
pub(super) mod parts;
mod terms;

pub use complete_checks::ObjectClaim;
pub use entries::{ChosenEntry, PartClaim, PartEntry};
pub use parts::{NewUpload, PartAdmission};
pub use terms::S3Terms;
