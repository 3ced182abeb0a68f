//! All sessions of a store: find and open them.
//!
//! Guarantees: there is one session object per process and id. It does not know who may do what;
//! `create` makes new sessions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::measure::{Source, Text};
use crate::names::{AccountName, BackupId, Bucket};
use crate::records::{Documents, Snapshot};
use crate::store::{self, ListOptions, Store};

use super::chunk::whole_sha256::REORDER_BYTES;
use super::error::{Error, Result};
use super::known::KnownParts;
use super::layout::Layout;
use super::manifest::Root;
use super::placement::ContentTargets;
use super::quota::Quota;
use super::session::Session;
use super::session_cache::{SessionCache, SessionName};

/// The name of the metadata entry that holds an object's upload tag; fronts hide the entry.
pub const TAG: &str = "ratchet-upload";

/// Groups that one gateway puts together at a time.
const MAX_ASSEMBLIES: usize = 4;

/// The room's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The bucket of the documents; never reachable as a target.
    pub state_bucket: Bucket,
    /// Sessions kept in memory; the least recently used are evicted first.
    pub cached_sessions: usize,
    /// The most open sessions of one account: S3 uploads, backups, and aborted uploads that are
    /// kept. At least 1.
    pub max_open_of_account: u64,
    /// Whose uploads are kept as blobs in an S3 store.
    pub content_targets: ContentTargets,
    pub resume: Resume,
}

/// How S3 uploads of tools that cannot resume are resumed all the same
/// (docs/architecture.md#resume-for-tools-that-cannot-resume).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// False: every S3 upload begins from nothing, and an abort frees its parts at once.
    pub enabled: bool,
    /// How long the parts of an upload that its client aborted wait for a successor.
    pub keep_aborted: Duration,
    /// Whether `Content-MD5` identifies a part whose client declares no SHA-256.
    pub by_md5: bool,
    /// After this long without a heartbeat an upload counts as abandoned. At least three heartbeat
    /// intervals.
    pub idle: Duration,
    /// The most parts of complete objects that are remembered by their digest, so that they are
    /// copied and not sent again; 0: none is.
    pub known_parts: usize,
}

impl Default for Resume {
    fn default() -> Self {
        Self {
            enabled: true,
            by_md5: false,
            keep_aborted: Duration::from_secs(24 * 3600),
            idle: Duration::from_secs(300),
            known_parts: 262_144,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            state_bucket: "ratchet-state".into(),
            cached_sessions: 1024,
            max_open_of_account: 100_000,
            content_targets: ContentTargets::default(),
            resume: Resume::default(),
        }
    }
}

/// All sessions of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Uploads {
    pub(super) shared: Arc<Shared>,
    sessions: Arc<SessionCache>,
}

/// What all sessions of a store share.
pub(super) struct Shared {
    pub documents: Documents,
    pub settings: Settings,
    pub quota: Quota,
    pub reorder_room: Arc<Semaphore>,
    pub assembly_turns: Semaphore,
    pub known: KnownParts,
}

impl Uploads {
    pub fn new(store: Arc<dyn Store>, clock: Clock, settings: Settings) -> Self {
        let bucket = settings.state_bucket.clone();
        let shared = Arc::new(Shared {
            documents: Documents { store, bucket, clock },
            quota: Quota::new(settings.max_open_of_account),
            known: KnownParts::new(settings.resume.known_parts),
            settings,
            reorder_room: Arc::new(Semaphore::new(REORDER_BYTES)),
            assembly_turns: Semaphore::new(MAX_ASSEMBLIES),
        });
        Self { shared, sessions: Arc::default() }
    }

    /// The uploads that a session belongs to; None once they are dropped.
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

    /// The documents of the state bucket.
    pub fn documents(&self) -> &Documents {
        &self.shared.documents
    }

    /// Creates the state bucket if it is missing.
    pub async fn prepare(&self) -> Result<()> {
        self.make_bucket(&self.shared.settings.state_bucket).await
    }

    /// Creates a bucket; success if it exists already, also if the gateway's key may not create
    /// buckets: the responses to that differ (403, and Ceph 400 `TooManyBuckets`), so the bucket
    /// itself is listed. **Errors**: the store's refusal to create it.
    pub async fn make_bucket(&self, bucket: &Bucket) -> Result<()> {
        match self.store().create_bucket(bucket).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == store::Kind::BucketExists => Ok(()),
            Err(error) => {
                let any = ListOptions { limit: 1, ..ListOptions::default() };
                let refused = |_| Error::store(format!("making the bucket {bucket}"), error);
                self.store().list(bucket, &any).await.map(drop).map_err(refused)
            }
        }
    }

    /// An id that is in no use.
    pub fn random_id(&self) -> String {
        self.documents().clock.random_id()
    }

    pub fn state_bucket(&self) -> &Bucket {
        &self.shared.documents.bucket
    }

    /// How long the parts of an aborted upload wait for a successor; zero if resuming is disabled.
    pub fn keep_aborted(&self) -> Duration {
        let resume = &self.shared.settings.resume;
        if resume.enabled { resume.keep_aborted } else { Duration::ZERO }
    }

    /// Whether this is the state bucket, which no client may use as a target.
    pub fn is_state_bucket(&self, bucket: &Bucket) -> bool {
        *bucket == self.shared.settings.state_bucket
    }

    /// The session, with a root that was current within the last second. **Errors**:
    /// `NoSuchBackup`.
    pub async fn open(&self, account: &AccountName, id: &BackupId) -> Result<Session> {
        self.find(account, id).await?.ok_or_else(|| Error::NoSuchBackup(id.clone()))
    }

    /// As `open`; None if there is no such session.
    pub(super) async fn find(
        &self,
        account: &AccountName,
        id: &BackupId,
    ) -> Result<Option<Session>> {
        let name = SessionName { account: account.clone(), id: id.clone() };
        if let Some(session) = self.sessions.get(&name) {
            return match session.fresh_root().await {
                Ok(_) => Ok(Some(session)),
                Err(Error::NoSuchBackup(_)) => {
                    self.sessions.remove(&name);
                    Ok(None)
                }
                Err(error) => Err(error),
            };
        }
        let layout = Layout::new(account, id);
        let root: Option<Snapshot<Root>> = self.documents().read(&layout.root()).await?;
        Ok(root.map(|root| self.cache(name, layout, root)))
    }

    /// A session that is only read, and not kept: whoever reads many must not drive out those that
    /// are in use.
    pub(super) async fn read_apart(&self, name: &SessionName) -> Result<Option<Session>> {
        let layout = Layout::new(&name.account, &name.id);
        let root: Option<Snapshot<Root>> = self.documents().read(&layout.root()).await?;
        let siblings = Arc::downgrade(&self.sessions);
        Ok(root.map(|root| Session::new(Arc::clone(&self.shared), siblings, layout, root)))
    }

    /// The session of this process for an id, made if there is none yet. Group commit and the limit
    /// of one put per chunk depend on there being one.
    pub(super) fn cache(&self, name: SessionName, layout: Layout, root: Snapshot<Root>) -> Session {
        let max_cached = self.shared.settings.cached_sessions.max(1);
        let new_session = || {
            let siblings = Arc::downgrade(&self.sessions);
            Session::new(Arc::clone(&self.shared), siblings, layout, root)
        };
        self.sessions.get_or_insert_with(name, max_cached, new_session)
    }
}

impl Source for Uploads {
    fn write(&self, text: &mut Text) {
        let help = "Sessions in memory, open or ended.";
        text.gauge("ratchet_sessions_in_memory", help, self.sessions.len());
        let help = "Open uploads and backups, about: of accounts that began one here.";
        text.gauge("ratchet_open_uploads", help, self.shared.quota.open_sessions());
        let help = "Parts of complete objects that are remembered by their digest.";
        text.gauge("ratchet_known_parts", help, self.shared.known.len());
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}
