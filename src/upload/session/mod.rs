//! One session as this gateway knows it: its documents in memory, the group commit that changes
//! its segments, and the heartbeat that tells other gateways that it is in use.

pub(super) mod commit;
pub(super) mod heartbeat;
mod progress;
pub(super) mod state;

pub use progress::Progress;
pub use state::Session;
pub(super) use state::{lock, upload_of};
