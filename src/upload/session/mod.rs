//! One open session as this gateway knows it: its records in memory, the group commit that changes
//! them, and the heartbeat that tells other gateways that it is in use.

pub(super) mod commit;
pub(super) mod heartbeat;
pub(super) mod state;

pub use state::{Progress, Session};
pub(super) use state::{lock, upload_of};
