//! Expiry and sweeping: what was abandoned costs nothing for ever.
//!
//! Guarantees: nothing of a session is removed before its root says that it is closed; a sweep that
//! dies anywhere is carried on by the next one, on any gateway; at most one gateway sweeps at a
//! time (a lease, by compare-and-swap), and two that sweep all the same do no harm. Ages are
//! differences of two store times, and none is more than the sweeping process has seen pass since
//! the store's clock jumped. Driven by the manifests alone: ListMultipartUploads is not to be
//! trusted (BACKENDS.md §6, §9). An entry of the index of open sessions goes once its session is
//! closed, or where its time is not its root's: a create that died left it, and another carried
//! that one on. It does not know how a session is ended or what its records are called: `upload`
//! does.
//!
//! **Layout**: `v1/leases/gc.json`, who sweeps and how far. **Errors**: the store's own; the next
//! sweep tries again.
//!
//! What makes each pair safe, the running operation by the one that starts. *root*: the root's
//! compare-and-swap has one winner, and the loser looks again. *look*: a write to a segment counts
//! only if the root, read after it, says `in_progress`. *tag*: the object is judged by the tag that
//! its upload put on it. *idem*: both do the same. Each cell is tested at every store call of the
//! running operation (`tests/it/interactions.rs`).
//!
//! | running \ starting | create, adopt | chunk, part | finalize | abort | expire, free | forget |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | create, adopt | root: one creates or adopts, the others find its session; a loser removes its index entry where its time differs | not before its root is there | the same | the same | root: an adopter changes what gc saw, or finds nothing to adopt | only closed ones, and none that an open heir still reads |
//! | chunk, part | an adopter waits for its last breath, then *root*; the late writer is told by *look* | the segment's swap (DESIGN §5) | *look*: recorded before `finalizing` and counted, or refused | *look* | *look*; its part is found by the next listing of parts | long after its end: a late writer finds no root and is refused; what it left goes as traces without a root |
//! | finalize | it is alive: not adopted | refused by the root | *root*, then *tag* | carried to its end first | carried to its end first | *tag*: its object is there, so it stays |
//! | abort | *root*: kept parts are adopted or freed | refused by the root | refused by the root | idem | idem | only once freed |
//! | expire, free | *root* | refused by the root | refused by the root | idem | idem | only once freed |
//! | forget | an entry that names a session without a root is passed over, and a client's own id begins anew | no root: refused | no root: refused | no root: absent | idem | idem |

mod decide;
mod lease;
mod sweep;
mod watch;

use std::time::Duration;

pub use sweep::{Mode, Report, Sweeper, Swept};

/// The room's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether this gateway sweeps.
    pub enabled: bool,
    /// After this long without a sign of life a session is ended; closed ones are forgotten after
    /// as long again.
    pub expire_after: Duration,
    /// From one sweep's end to the next one's beginning, over all gateways.
    pub every: Duration,
    /// Sessions that are looked at per second.
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
