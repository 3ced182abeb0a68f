//! All sessions of a store: create, find, open.
//!
//! Guarantees: of any number of clients that create the same target, file, chunk size and size at
//! once, through any gateways, all get one backup (decided by compare-and-swap on its open entry,
//! DESIGN §12.10); a crash between the steps of a create is carried on by the next create. The
//! cache of sessions is bounded. It does not know who may do what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::digest;
use crate::records::{Documents, Snapshot, Stamp, SwapOutcome};
use crate::store::{self, Bucket, ListOptions, Store};

use super::chunk::whole_sha256::REORDER_BYTES;
use super::codec::OpenEntry;
use super::error::{Error, Result};
use super::layout::{self, Layout};
use super::manifest::{Destination, Policy, Root, Status};
use super::plan::Plan;
use super::quota::Quota;
use super::session::Session;

/// The user metadata that names the session whose object it is; fronts hide it.
pub const TAG: &str = "ratchet-upload";

/// Groups that one gateway puts together at a time.
const ASSEMBLIES: usize = 4;

/// How often a create looks again when others are creating the same backup at the same time.
const CREATE_ROUNDS: usize = 32;

/// The room's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the records are; never reachable as a target.
    pub state_bucket: String,
    /// Sessions kept in memory; the least recently used are evicted first.
    pub cached_sessions: usize,
    /// Open sessions of one account: S3 uploads, backups, and aborted uploads that are kept. At
    /// least 1.
    pub max_open_of_account: u64,
    pub resume: Resume,
}

/// How S3 uploads of tools that cannot resume are resumed all the same (DESIGN §7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Off: every S3 upload begins from nothing, and an abort frees its parts at once.
    pub enabled: bool,
    /// How long the parts of an upload that its client aborted wait for a successor.
    pub keep_aborted: Duration,
    /// Whether `Content-MD5` is taken for a part's identity where no SHA-256 is named.
    pub by_md5: bool,
    /// After this long without a sign of life an upload counts as dead. At least three heartbeats.
    pub idle: Duration,
}

impl Default for Resume {
    fn default() -> Self {
        Self {
            enabled: true,
            by_md5: false,
            keep_aborted: Duration::from_secs(24 * 3600),
            idle: Duration::from_secs(300),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            state_bucket: "ratchet-state".to_owned(),
            cached_sessions: 1024,
            max_open_of_account: 100_000,
            resume: Resume::default(),
        }
    }
}

/// What a client asks for at create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewBackup {
    pub bucket: String,
    pub key: String,
    /// Bytes of every chunk but the last.
    pub chunk_size: u64,
    pub size: Option<u64>,
    pub file_id: String,
    /// The digest to compute beside SHA-256.
    pub digest: Option<digest::Kind>,
    pub metadata: BTreeMap<String, String>,
    pub content_type: Option<String>,
}

/// Whether a create made the backup or found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New,
    Existing,
}

/// All sessions of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Uploads {
    pub(super) shared: Arc<Shared>,
    sessions: Arc<SessionCache>,
}

/// What every session needs.
pub(super) struct Shared {
    pub documents: Documents,
    pub settings: Settings,
    pub quota: Quota,
    pub reorder_room: Arc<Semaphore>,
    pub assembly_turns: Semaphore,
}

/// The sessions of this process, by account and id. They know of it weakly: it holds them.
pub(super) struct SessionCache {
    by_name: DashMap<(String, String), Cached>,
    uses: AtomicU64,
}

struct Cached {
    session: Session,
    used: u64,
}

impl Uploads {
    pub fn new(store: Arc<dyn Store>, clock: Clock, settings: Settings) -> Self {
        let bucket = Bucket(settings.state_bucket.clone());
        let shared = Arc::new(Shared {
            documents: Documents { store, bucket, clock },
            quota: Quota::new(settings.max_open_of_account),
            settings,
            reorder_room: Arc::new(Semaphore::new(REORDER_BYTES)),
            assembly_turns: Semaphore::new(ASSEMBLIES),
        });
        Self {
            shared,
            sessions: Arc::new(SessionCache { by_name: DashMap::new(), uses: AtomicU64::new(0) }),
        }
    }

    /// Those that a session belongs to; None once they are gone.
    pub(super) fn of(session: &Session) -> Option<Self> {
        Some(Self {
            shared: Arc::clone(&session.0.shared),
            sessions: session.0.siblings.upgrade()?,
        })
    }

    /// The store that holds the objects.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.documents.store
    }

    pub(super) fn documents(&self) -> &Documents {
        &self.shared.documents
    }

    /// Makes the state bucket if it is missing.
    pub async fn prepare(&self) -> Result<()> {
        self.make_bucket(&self.shared.settings.state_bucket).await
    }

    /// Makes a bucket; success where it is there already, also where the gateway's key may make
    /// none: what a store answers then differs (403, and Ceph 400 `TooManyBuckets`), so the bucket
    /// itself is asked for. **Errors**: the refusal.
    pub async fn make_bucket(&self, bucket: &str) -> Result<()> {
        let name = Bucket::from(bucket);
        match self.store().create_bucket(&name).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == store::Kind::BucketExists => Ok(()),
            Err(error) => {
                let any = ListOptions { limit: 1, ..ListOptions::default() };
                let refused = |_| Error::store(format!("making the bucket {bucket}"), error);
                self.store().list(&name, &any).await.map(drop).map_err(refused)
            }
        }
    }

    pub fn state_bucket(&self) -> &Bucket {
        &self.shared.documents.bucket
    }

    /// How long the parts of an aborted upload wait for a successor; nothing where nobody can be
    /// one.
    pub fn keep_aborted(&self) -> Duration {
        let resume = &self.shared.settings.resume;
        if resume.enabled { resume.keep_aborted } else { Duration::ZERO }
    }

    /// Whether a client may use this bucket as a target at all.
    pub fn is_state_bucket(&self, bucket: &str) -> bool {
        bucket == self.shared.settings.state_bucket
    }

    /// Creates a backup, or hands back the open one with the same target, file id, chunk size and
    /// size.
    /// **Errors**: `BadRequest` (it does not fit), `NoSuchBucket`, `QuotaExceeded`.
    pub async fn create(&self, account: &str, new: NewBackup) -> Result<(Created, Session)> {
        let plan = self.plan(&new)?;
        let (chunk_size, size) =
            (plan.chunk_size.to_string(), plan.size.map_or(String::new(), |size| size.to_string()));
        let entry =
            layout::open_entry(account, &[&new.bucket, &new.key, &new.file_id, &chunk_size, &size]);
        let documents = self.documents();
        let mut known: Option<Snapshot<OpenEntry>> = documents.read(&entry).await?;
        let mut place = None;
        for _ in 0..CREATE_ROUNDS {
            if let Some(doc) = &known {
                let id = &doc.value.backup_id;
                match self.find(account, id).await? {
                    Some(session) if session.root().status.is_unfinished() => {
                        return Ok((Created::Existing, session));
                    }
                    // Its creator died before the root was written: carry on under its id.
                    None => {
                        let _place = self.admitted(account, place).await?;
                        return self.make(account, id, new, plan).await;
                    }
                    Some(_) => {}
                }
            }
            // Before the entry: one who is refused leaves nothing behind.
            place = Some(self.admitted(account, place).await?);
            let stamp = known.as_ref().map_or_else(Stamp::default, |doc| doc.value.stamp.clone());
            let stamp = stamp.next(&documents.clock.random_id());
            let next = OpenEntry { stamp, backup_id: documents.clock.random_id() };
            known = match documents.swap(&entry, known.as_ref(), next).await? {
                SwapOutcome::Won(doc) => Some(doc),
                SwapOutcome::Lost(now) => now,
            };
        }
        let what = "creating a backup that others create and end at the same time".to_owned();
        Err(Error::Batch { kind: super::Kind::StoreUnavailable, what, retry_after: None })
    }

    /// Creates a backup under an id of the client's choice. **Errors**: `BackupConflict` where it
    /// exists with other parameters, and those of `create`.
    pub async fn create_as(
        &self,
        account: &str,
        id: &str,
        new: NewBackup,
    ) -> Result<(Created, Session)> {
        let plan = self.plan(&new)?;
        let (created, session) = match self.find(account, id).await? {
            Some(session) => (Created::Existing, session),
            None => {
                let _place = self.admit(account).await?;
                self.make(account, id, new.clone(), plan).await?
            }
        };
        match difference(&session.root(), &new) {
            None => Ok((created, session)),
            Some(field) => Err(Error::BackupConflict { id: id.to_owned(), field }),
        }
    }

    /// The session, its root asked for within the last second. **Errors**: `NoSuchBackup`.
    pub async fn open(&self, account: &str, id: &str) -> Result<Session> {
        self.find(account, id).await?.ok_or_else(|| Error::NoSuchBackup(id.to_owned()))
    }

    pub(super) async fn find(&self, account: &str, id: &str) -> Result<Option<Session>> {
        let name = (account.to_owned(), id.to_owned());
        let cached = self.sessions.by_name.get_mut(&name).map(|mut cached| {
            cached.used = self.sessions.uses.fetch_add(1, Ordering::Relaxed);
            cached.session.clone()
        });
        if let Some(session) = cached {
            return match session.fresh_root().await {
                Ok(_) => Ok(Some(session)),
                Err(Error::NoSuchBackup(_)) => {
                    self.sessions.by_name.remove(&name);
                    Ok(None)
                }
                Err(error) => Err(error),
            };
        }
        let layout = Layout::new(account, id);
        let root: Option<Snapshot<Root>> = self.documents().read(&layout.root()).await?;
        Ok(root.map(|root| self.keep(name, layout, root)))
    }

    /// The one session object of this process for an id: batching and flights depend on there being
    /// one.
    pub(super) fn keep(
        &self,
        name: (String, String),
        layout: Layout,
        root: Snapshot<Root>,
    ) -> Session {
        self.make_room();
        let used = self.sessions.uses.fetch_add(1, Ordering::Relaxed);
        let fresh = || Cached {
            session: Session::new(
                Arc::clone(&self.shared),
                Arc::downgrade(&self.sessions),
                layout,
                root,
            ),
            used,
        };
        self.sessions.by_name.entry(name).or_insert_with(fresh).session.clone()
    }

    fn make_room(&self) {
        let most = self.shared.settings.cached_sessions.max(1);
        if self.sessions.by_name.len() < most {
            return;
        }
        // A session that someone holds stays: two objects for one id would not see each other's
        // flights.
        let idle = |cached: &Cached| Arc::strong_count(&cached.session.0) == 1;
        let mut uses: Vec<u64> = self
            .sessions
            .by_name
            .iter()
            .filter(|entry| idle(entry))
            .map(|entry| entry.used)
            .collect();
        uses.sort_unstable();
        let Some(limit) = uses.get(most / 8).or(uses.last()).copied() else { return };
        self.sessions.by_name.retain(|_, cached| cached.used > limit || !idle(cached));
    }

    fn plan(&self, new: &NewBackup) -> Result<Plan> {
        let plan = Plan::new(new.chunk_size, new.size, self.store().limits());
        let plan = plan.map_err(|error| Error::BadRequest(error.to_string()))?;
        let needs_powers = new.digest == Some(digest::Kind::Blake3);
        if needs_powers && !(plan.chunk_size.is_power_of_two() && plan.chunk_size >= 1024) {
            let what =
                "the digest blake3 needs a chunkSize that is a power of two of at least 1024"
                    .to_owned();
            return Err(Error::BadRequest(what));
        }
        Ok(plan)
    }

    /// Makes the session's records. Entries first, the root last: a crash before the root leaves an
    /// entry that names nothing, which every reader skips.
    async fn make(
        &self,
        account: &str,
        id: &str,
        new: NewBackup,
        plan: Plan,
    ) -> Result<(Created, Session)> {
        let documents = self.documents();
        let layout = Layout::new(account, id);
        let mut root = Root {
            stamp: Stamp::default().next(&documents.clock.random_id()),
            backup_id: id.to_owned(),
            account: account.to_owned(),
            bucket: new.bucket,
            key: new.key,
            file_id: new.file_id,
            plan,
            policy: Policy::FirstWins,
            digest: new.digest,
            metadata: new.metadata,
            content_type: new.content_type,
            s3: None,
            destination: Destination::EmptyObject,
            upload_tag: documents.clock.random_id(),
            created_at: documents.clock.unix_seconds(),
            status: Status::InProgress,
        };
        self.begin(&mut root).await?;
        documents.put_marker(&root.open_entry()).await?;
        let name = (account.to_owned(), id.to_owned());
        let ours = root.clone();
        match documents.create(&layout.root(), root).await? {
            SwapOutcome::Won(root) => {
                self.shared.quota.session_opened(account);
                Ok((Created::New, self.keep(name, layout, root)))
            }
            SwapOutcome::Lost(Some(root)) => {
                let target = ours.target();
                if let Some(upload) = ours.upload_at(&target)
                    && let Err(error) = documents.store.abort(upload).await
                {
                    tracing::warn!(backup = id, %error, "a store upload that lost the race to create stays behind");
                }
                if ours.open_entry() != root.value.open_entry() {
                    documents.delete(&ours.open_entry()).await?;
                }
                Ok((Created::Existing, self.keep(name, layout, root)))
            }
            SwapOutcome::Lost(None) => Err(Error::NoSuchBackup(id.to_owned())),
        }
    }

    /// Begins the store's upload of a backup. None for an empty file, which only needs its bucket:
    /// S3 completes no upload without parts; and an upload of a directory, whose key ends in `/`,
    /// MinIO does not begin, and SeaweedFS completes under another name. **Errors**:
    /// `NoSuchBucket`.
    async fn begin(&self, root: &mut Root) -> Result<()> {
        let (bucket, key) = root.target();
        let begun = if root.plan.size == Some(0) {
            let any = ListOptions { limit: 1, ..ListOptions::default() };
            self.store().list(&bucket, &any).await.map(|_| Destination::EmptyObject)
        } else {
            let created = self.store().create_upload(&bucket, &key, &root.attributes()).await;
            created.map(Destination::Parts)
        };
        root.destination = begun.map_err(|error| not_begun(&root.bucket, error))?;
        Ok(())
    }
}

/// Why the store begins no upload in a bucket.
pub(super) fn not_begun(bucket: &str, error: store::Error) -> Error {
    if error.kind() == store::Kind::NoSuchBucket {
        return Error::NoSuchBucket(bucket.to_owned());
    }
    Error::store("beginning the store's upload", error)
}

/// The first field in which a create differs from what exists.
fn difference(root: &Root, new: &NewBackup) -> Option<&'static str> {
    let fields = [
        ("bucket", root.bucket == new.bucket),
        ("key", root.key == new.key),
        ("chunkSize", root.plan.chunk_size == new.chunk_size),
        ("size", root.plan.size == new.size),
        ("fileId", root.file_id == new.file_id),
        ("digest", root.digest == new.digest),
        ("metadata", root.metadata == new.metadata),
        ("contentType", root.content_type == new.content_type),
    ];
    fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
}

impl std::fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionCache").field("count", &self.by_name.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}
