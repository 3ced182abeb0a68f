//! What only S3 multipart uploads have: parts that their client numbers, and the adoption of an
//! abandoned upload.

pub(super) mod adopt;
pub(super) mod parts;

pub use parts::{ChosenEntry, NewUpload, PartAdmission, PartClaim, PartEntry};
