//! The core: resumable sessions on top of a store. It knows no HTTP.
//!
//! Pure: `plan`, `manifest`, `codec`, `layout`. Effects, from the ground up: `session` (one session
//! in memory, and its documents), `chunk` (receiving chunks), `s3` (parts and adoption), `end`
//! (finalize, abort, reclaim), `known` (parts of complete objects), `index`, `list` and `quota`
//! (all open sessions), `create`, `whole` (backups in one request), `uploads` (find and open).
//! Documents are read and changed by the room `records`.
//!
//! **Layout** (in the state bucket): `v1/<account>/sessions/<backupId>/manifest.json`,
//! `…/segments/000000.json`, `…/staged/<chunk>-<sha256>`, `v1/<account>/open/<sha256>`, and by
//! target `v1/<account>/open-uploads/<bucket>/<ordered key>!<time>-<backupId>`,
//! `v1/<account>/done/<bucket>/<key>/<backupId>`, `v1/<account>/known/<bucket>/<time>-<backupId>`.
//! **Errors**: see [`Kind`]; after `StoreUnavailable` a caller repeats the call, which is always
//! safe. Source: docs/architecture.md#state-in-the-store, docs/architecture.md#putchunk,
//! docs/architecture.md#finalize, docs/architecture.md#invariants.

#[cfg(any(test, feature = "testing"))]
pub mod bench;
mod chunk;
mod codec;
mod create;
mod end;
mod error;
mod index;
mod known;
mod layout;
mod list;
mod manifest;
mod object_checksum;
mod placement;
mod plan;
mod quota;
mod s3;
mod segment;
mod session;
mod session_cache;
mod uploads;
mod whole;

pub use crate::store::{Body, BodyError};
pub use chunk::{Admission, PartCopied, PartSource, PutOutcome, PutPermit, Stored};
pub use create::{Created, NewBackup};
pub use end::{Retention, SessionRecords, SessionRecordsPage};
pub use error::{Error, Kind, Result};
pub use index::{OpenPage, OpenQuery};
pub use known::{ChunkClaim, Claimed};
pub use list::{ListPage, ListQuery, SharedPage};
pub use manifest::{
    Destination, Finished, GroupRecord, PartFacts, Policy, Record, Root, S3Terms, Segment, Status,
    TargetCondition,
};
pub use object_checksum::{ChecksumKind, ObjectChecksum};
pub use placement::{ContentTargets, ObjectLayout};
pub use plan::{ChunkIndex, ChunkRange, Plan, PlanError, SEGMENT, Shape};
pub use s3::{ChosenEntry, NewUpload, ObjectClaim, PartAdmission, PartClaim, PartEntry};
pub use session::{Progress, Session};
pub use uploads::{Resume, Settings, TAG, Uploads};
pub use whole::WholeFile;
