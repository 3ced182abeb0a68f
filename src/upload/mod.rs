//! The core: resumable sessions on top of a store. Knows no HTTP.
//!
//! Pure: `plan`, `manifest`, `codec`, `layout` with `ordered`. Effects, from the ground up:
//! `documents` (compare-and-swap), `session` (records in memory), `commit` (group CAS), `receive`
//! with `inflight` and `whole_sha256` (one chunk's way in), `group` (staged chunks to parts),
//! `inventory`, `verify` and `finalize`, `abort`, `uploads` (create, open) with `quota`, `list`,
//! `open_index`, `old_index`.
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
mod group;
mod heartbeat;
mod inflight;
mod inventory;
mod layout;
mod list;
mod manifest;
mod old_index;
mod open_index;
mod ordered;
mod parts;
mod plan;
mod quota;
mod receive;
mod reclaim;
mod session;
mod uploads;
mod verify;
mod whole_sha256;

pub use crate::store::{Body, BodyError};
pub use error::{Error, Kind, Result};
pub use list::{ListPage, ListQuery};
pub use manifest::{
    ChecksumKind, Finished, GroupRecord, ObjectChecksum, Policy, Record, Root, S3Terms, Segment,
    Status,
};
pub use open_index::{OpenPage, OpenQuery};
pub use parts::{ChosenEntry, NewUpload, PartAdmission, PartClaim, PartEntry};
pub use plan::{ChunkIndex, ChunkRange, Plan, PlanError, SEGMENT, Shape};
pub use receive::{Admission, PutOutcome, PutPermit, Stored};
pub use reclaim::{Retention, SessionRecords, SessionRecordsPage};
pub use session::{Progress, Session};
pub use uploads::{Created, NewBackup, Resume, Settings, TAG, Uploads};
