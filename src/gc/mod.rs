//! Expiry and sweeping: ends abandoned sessions and removes what is left of them.
//!
//! Guarantees: nothing of a session is removed before its root says that it is closed; a sweep that
//! is interrupted anywhere is continued by the next one, on any gateway; at most one gateway sweeps
//! at a time (by a lease), and two that sweep all the same do no harm. Ages are differences of two
//! store times, and no age is more than the sweeping process has seen pass since the store's clock
//! jumped. Sweeps work from the sessions' documents alone, because servers' lists of multipart
//! uploads are not reliable (docs/backends.md#listmultipartuploads). An entry of the index of open
//! sessions is removed once its session is closed, or if its creation time is not its root's: then
//! a create that failed left it, and another create continued the session. It does not know how a
//! session is ended or what its documents are called: `upload` does.
//! **Layout**: `v1/leases/gc.json`, who sweeps and how far the sweep is. **Errors**: the store's
//! own; the next sweep tries again. Source: docs/architecture.md#expiry-and-sweeping.
//!
//! Each resource has its file: `sessions`, `index_entries` and `blobs` are the tasks of a sweep,
//! called by `Sweep::run`; `staged_chunks` belongs to the sessions; `lease` and `schedule` say who
//! sweeps and when. A new resource is a new file and a new call.
//!
//! # Interactions
//!
//! The table says what makes it safe that an operation (row) is running when another one (column)
//! starts. Each cell is tested at every store call of the running operation
//! (`tests/it/interactions.rs`).
//!
//! - *root*: both change the root by compare-and-swap. One wins; the other reads the root again and
//!   decides anew.
//! - *check*: a write to a segment counts only if the root, read after the write, says
//!   `in_progress`.
//! - *tag*: whether an object is the session's is decided by the upload tag in its metadata.
//! - *same*: both operations do the same, and doing it twice is harmless.
//!
//! | running \ starting | create, adopt | chunk, part | finalize | abort | expire, free | forget |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | create, adopt | *root*: one creates or adopts, the others find its session; a claim of an upload is granted to one and denied to others for good | impossible before the root exists | impossible before the root exists | impossible before the root exists | *root*: an adopter changes the root that gc read, or finds nothing to adopt | forget removes closed sessions only, and none whose documents an open successor still reads |
//! | chunk, part | an adopter waits until no heartbeat comes any more, then *root*; the late writer goes on as an alias (docs/architecture.md#aliases) | compare-and-swap on the segment (docs/architecture.md#one-put-per-chunk) | *check*: the record is written before `finalizing` and counted, or it is refused; a put that replaces a recorded part is waited for (docs/architecture.md#replaced-parts) | *check* | *check*; the part is found by the next listing of parts | happens long after the session's end: a late writer finds no root and is refused; what it wrote is removed as documents without a root |
//! | finalize | the session is in use and is not adopted | refused by the root's status | *root*, then *tag* | the finalize is first carried to its end | the finalize is first carried to its end | *tag*: the session's object exists, so its documents stay |
//! | abort | *root*: kept parts are adopted or freed | refused by the root's status | refused by the root's status | *same* | *same* | only once the parts are freed |
//! | expire, free | *root* | refused by the root's status | refused by the root's status | *same* | *same* | only once the parts are freed |
//! | forget | an entry that names a session without a root is skipped, and an id that the client chose starts a new session | refused: there is no root | refused: there is no root | there is no root, so there is no such session | *same* | *same* |

mod blobs;
mod clock_jump;
mod decide;
mod figures;
mod index_entries;
mod lease;
mod report;
mod schedule;
mod sessions;
mod staged_chunks;
mod sweep;

use std::time::Duration;

pub use figures::Figures;
pub use report::{ReclaimedSession, Report};
pub use sweep::{Mode, Sweeper};

/// The room's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether this gateway sweeps.
    pub enabled: bool,
    /// A session that was idle for this long is ended. The documents of a closed one are removed
    /// after as long again.
    pub expire_after: Duration,
    /// From the end of one sweep to the start of the next, over all gateways.
    pub every: Duration,
    /// Sessions that are read per second.
    pub sessions_per_s: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            expire_after: Duration::from_secs(7 * 86_400),
            every: Duration::from_secs(3600),
            sessions_per_s: 50,
        }
    }
}
