//! The index of open sessions by target, in the order in which S3 lists keys.

pub(super) mod old;
pub(super) mod open;
pub(super) mod ordered;

pub use open::{OpenPage, OpenQuery};
