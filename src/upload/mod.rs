//! The core: resumable sessions on top of a store. Knows no HTTP.
//!
//! Pure: `plan`, `manifest`, `codec`, `layout` with `ordered`. Effects, from the ground up:
//! `documents` (compare-and-swap), `session` (records in memory), `commit` (group CAS), `intake`
//! with `flight` and `running` (one chunk's way in), `group` (staged chunks to parts), `survey`,
//! `readback` and `finalize`, `abort`, `uploads` (create, open) with `quota`, `list`, `open_index`,
//! `old_index`.
//!
//! **Layout** (in the state bucket): `v1/<account>/sessions/<backupId>/manifest.json`,
//! `…/segments/000000.json`, `…/staged/<chunk>-<sha256>`, `v1/<account>/open/<sha256>`, and by
//! target `v1/<account>/open-uploads/<bucket>/<key's form>!<time>-<backupId>`,
//! `v1/<account>/done/<bucket>/<key>/<backupId>`.
//! **Errors**: see [`Kind`]; after `StoreUnavailable` a caller repeats the call, which is always
//! safe. Source: DESIGN §3–§6, §9, §12.

mod abort;
mod adopt;
#[doc(hidden)]
pub mod bench;
mod codec;
mod commit;
mod documents;
mod error;
mod finalize;
mod flight;
mod group;
mod intake;
mod layout;
mod list;
mod manifest;
mod old_index;
mod open_index;
mod ordered;
mod parts;
mod plan;
mod pulse;
mod quota;
mod readback;
mod running;
mod session;
mod survey;
mod sweep;
mod uploads;

pub use crate::store::{Body, BodyError};
pub use error::{Error, Kind, Result};
pub use intake::{Admission, Brought, Stored, Ticket};
pub use list::{ListPage, ListQuery};
pub use manifest::{
    ChecksumKind, Finished, GroupRecord, ObjectChecksum, Policy, Record, Root, S3Terms, Segment,
    Status,
};
pub use open_index::{OpenPage, OpenQuery};
pub use parts::{ChosenEntry, NewUpload, PartAdmission, PartClaim, PartEntry};
pub use plan::{ChunkIndex, ChunkRange, Plan, PlanError, SEGMENT, Shape};
pub use session::{Progress, Session};
pub use sweep::{Tie, Traces, TracesPage};
pub use uploads::{Created, NewBackup, Resume, Settings, TAG, Uploads};
