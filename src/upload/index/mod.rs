//! The index of open sessions by target, in the order that S3 lists keys in.

pub(super) mod old;
pub(super) mod open;
pub(super) mod ordered;

pub use open::{OpenPage, OpenQuery};
