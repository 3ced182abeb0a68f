//! A session in memory: its documents as last read, and what is in flight for it.
//!
//! Guarantees: nothing here is a source of truth; every response rests on documents that were
//! revalidated within [`FRESH`], so any gateway can continue any session. The cache of segments is
//! bounded. No lock is held across a store call. It does not decide how documents change
//! (`manifest`) and does not write segments (`commit`). Source: docs/architecture.md#freshness.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};

use crate::digest::Sha256;
use crate::records::{ChangeOutcome, GroupCommit, Snapshot};
use crate::store::{Attributes, ETag, ListOptions, UploadTarget};

use super::super::chunk::inflight::InFlight;
use super::super::chunk::whole_sha256::WholeSha256;
use super::super::error::{Error, Result};
use super::super::layout::Layout;
use super::super::manifest::{Root, Segment, Status};
use super::super::session_cache::SessionCache;
use super::super::uploads::{Shared, TAG};
use super::heartbeat::Heartbeat;

/// How long a document counts as current without asking the store
/// (docs/architecture.md#freshness).
const FRESH: Duration = Duration::from_secs(1);

/// Segments cached per session: the chunks of a client are close to each other, so few segments are
/// in use at a time.
const MAX_CACHED_SEGMENTS: usize = 8;

/// Segments read at the same time by one operation.
const READ_AHEAD: usize = 8;

/// One session, shared by all requests for it. Cheap to clone.
#[derive(Clone)]
pub struct Session(pub(in crate::upload) Arc<Inner>);

pub(in crate::upload) struct Inner {
    pub shared: Arc<Shared>,
    /// The cache that holds this session; weak, because the cache owns its sessions.
    pub siblings: Weak<SessionCache>,
    pub layout: Layout,
    root: Mutex<CachedDocument<Root>>,
    segments: Mutex<HashMap<u32, CachedDocument<Segment>>>,
    pub group_commit: GroupCommit<Session>,
    pub in_flight: InFlight,
    pub heartbeat: Heartbeat,
    pub whole_sha256: WholeSha256,
    /// Held by the part that looks for a predecessor: all others wait for what it decides.
    pub looking: tokio::sync::Mutex<()>,
    /// When the first part looked for one, by the monotonic clock.
    pub first_look: OnceLock<Duration>,
    /// Parts of grouped chunks that are being put together by this gateway.
    pub assembling: dashmap::DashSet<u16>,
    /// The number and the offset of each part of a completed S3 upload, once a chunk of it was
    /// read.
    pub part_offsets: OnceLock<Vec<(u16, u64)>>,
    /// Set once the parts of the newest complete object at the session's key are known.
    pub known_of_key: tokio::sync::OnceCell<()>,
}

/// A document, and when this gateway last knew it to be current. Both times are of the monotonic
/// clock.
struct CachedDocument<T> {
    /// None: there was no such document.
    snapshot: Option<Snapshot<T>>,
    /// When the store was asked for it.
    asked_at: Duration,
    /// When the store's response arrived.
    received_at: Duration,
}

impl Session {
    pub(in crate::upload) fn new(
        shared: Arc<Shared>,
        siblings: Weak<SessionCache>,
        layout: Layout,
        root: Snapshot<Root>,
    ) -> Self {
        let now = shared.documents.clock.monotonic();
        Self(Arc::new(Inner {
            whole_sha256: WholeSha256::new(root.value.digest),
            shared,
            siblings,
            layout,
            root: Mutex::new(CachedDocument {
                snapshot: Some(root),
                asked_at: now,
                received_at: now,
            }),
            segments: Mutex::default(),
            group_commit: GroupCommit::default(),
            in_flight: InFlight::default(),
            heartbeat: Heartbeat::default(),
            looking: tokio::sync::Mutex::default(),
            first_look: OnceLock::new(),
            assembling: dashmap::DashSet::new(),
            part_offsets: OnceLock::new(),
            known_of_key: tokio::sync::OnceCell::new(),
        }))
    }

    /// The root as last read.
    pub fn root(&self) -> Arc<Root> {
        self.cached_root().0.value
    }

    /// The root, revalidated unless it is fresh. **Errors**: `NoSuchBackup` if it is gone.
    pub async fn fresh_root(&self) -> Result<Arc<Root>> {
        let (known, asked_at) = self.cached_root();
        // A finalize ends soon, and whoever is told to try again must see its end.
        let is_passing = matches!(known.value.status, Status::Finalizing { .. });
        if self.is_fresh(asked_at) && !is_passing {
            Ok(known.value)
        } else {
            self.current_root().await.map(|root| root.value)
        }
    }

    /// The root as it is in the store now.
    pub(in crate::upload) async fn current_root(&self) -> Result<Snapshot<Root>> {
        let asked_at = self.now();
        let (known, _) = self.cached_root();
        let found = self.0.shared.documents.revalidate(&self.0.layout.root(), Some(&known)).await?;
        let found = found.ok_or_else(|| Error::NoSuchBackup(known.value.backup_id.clone()))?;
        self.cache_root(&found, asked_at);
        Ok(found)
    }

    /// Fails unless the root said that the session is open after this segment was read: a record
    /// that a late writer added after an abort looks like any other. **Errors**: `NotOpen`,
    /// `NoSuchBackup`.
    pub(in crate::upload) async fn require_open_after(&self, number: u32) -> Result<()> {
        let segment_received_at = lock(&self.0.segments)
            .get(&number)
            .map_or_else(|| self.now(), |cached| cached.received_at);
        let (known, asked_at) = self.cached_root();
        let root = if asked_at >= segment_received_at && self.is_fresh(asked_at) {
            known
        } else {
            self.current_root().await?
        };
        if root.value.is_open() { Ok(()) } else { Err(Self::not_open(&root.value)) }
    }

    /// The root as last read, and when the store was asked for it.
    fn cached_root(&self) -> (Snapshot<Root>, Duration) {
        let cached = lock(&self.0.root);
        let snapshot = cached.snapshot.clone();
        (
            snapshot.expect("a session is made with a root, and only another root can replace it"),
            cached.asked_at,
        )
    }

    /// Caches a root unless a newer one is cached already: responses can overtake each other.
    fn cache_root(&self, found: &Snapshot<Root>, asked_at: Duration) {
        let mut cached = lock(&self.0.root);
        let is_older = cached
            .snapshot
            .as_ref()
            .is_some_and(|root| root.value.stamp.seq > found.value.stamp.seq);
        if !is_older {
            *cached =
                CachedDocument { snapshot: Some(found.clone()), asked_at, received_at: self.now() };
        }
    }

    /// Changes the status by compare-and-swap if `from` accepts the current one. The inner `Err` is
    /// the root whose status was not accepted. **Errors**: those of `Documents::change`.
    pub(in crate::upload) async fn change_status(
        &self,
        from: impl Fn(&Status) -> bool,
        to: Status,
    ) -> Result<std::result::Result<Snapshot<Root>, Snapshot<Root>>> {
        self.change_root(|root| {
            let is_accepted = from(&root.status);
            root.status = to.clone();
            is_accepted
        })
        .await
    }

    /// Changes the root by compare-and-swap. `change` says whether it applies to the root as it is.
    /// The inner `Err` is the root to which it does not. **Errors**: those of `Documents::change`.
    pub(in crate::upload) async fn change_root(
        &self,
        change: impl Fn(&mut Root) -> bool,
    ) -> Result<std::result::Result<Snapshot<Root>, Snapshot<Root>>> {
        let known = self.current_root().await?;
        let backup_id = known.value.backup_id.clone();
        let observe = |found: &Snapshot<Root>, asked_at| self.cache_root(found, asked_at);
        let documents = &self.0.shared.documents;
        match documents.change(&self.0.layout.root(), known, &change, observe).await? {
            ChangeOutcome::Changed { before, now } => {
                let mut written = Root::clone(&before.value);
                change(&mut written);
                let was_open = before.value.status.is_indexed_open();
                if was_open && !written.status.is_indexed_open() {
                    self.0.shared.quota.session_ended(&before.value.account);
                }
                Ok(Ok(now))
            }
            ChangeOutcome::Refused(root) => Ok(Err(root)),
            ChangeOutcome::Absent => Err(Error::NoSuchBackup(backup_id)),
        }
    }

    /// The chunks of one segment, revalidated unless they are fresh; empty if there is no segment.
    pub async fn segment(&self, number: u32) -> Result<Arc<Segment>> {
        let fresh = lock(&self.0.segments)
            .get(&number)
            .filter(|cached| self.is_fresh(cached.asked_at))
            .map(|cached| cached.snapshot.clone());
        let segment = match fresh {
            Some(segment) => segment,
            None => self.current_segment(number).await?,
        };
        Ok(segment.map_or_else(Arc::default, |segment| segment.value))
    }

    /// The segment as it is in the store now.
    pub(in crate::upload) async fn current_segment(
        &self,
        number: u32,
    ) -> Result<Option<Snapshot<Segment>>> {
        if let Some(segment) = self.root().whole_segment() {
            let etag = ETag::from("whole");
            let value = Arc::new(segment);
            return Ok((number == 0).then_some(Snapshot { value, etag }));
        }
        let asked_at = self.now();
        let known = self.known_segment(number);
        let key = self.0.layout.segment(number);
        let found = self.0.shared.documents.revalidate(&key, known.as_ref()).await?;
        self.cache_segment(number, found.clone(), asked_at);
        Ok(found)
    }

    /// The segment as last read, however long ago.
    pub(in crate::upload) fn known_segment(&self, number: u32) -> Option<Snapshot<Segment>> {
        lock(&self.0.segments).get(&number).and_then(|cached| cached.snapshot.clone())
    }

    /// Caches a segment that the store was asked for at `asked_at`, unless a newer one is cached.
    pub(in crate::upload) fn cache_segment(
        &self,
        number: u32,
        found: Option<Snapshot<Segment>>,
        asked_at: Duration,
    ) {
        let seq = |segment: &Option<Snapshot<Segment>>| {
            segment.as_ref().map(|segment| segment.value.stamp.seq)
        };
        let mut segments = lock(&self.0.segments);
        if let Some(cached) = segments.get_mut(&number) {
            let is_older = found.is_some() && seq(&cached.snapshot) > seq(&found);
            // An absent segment is news only if it was asked for after the last known write.
            let was_absent_before =
                found.is_none() && cached.snapshot.is_some() && cached.asked_at >= asked_at;
            if is_older || was_absent_before {
                // Or the response is not older: a late writer created a segment again that an abort
                // had removed. What was read now counts only if the root, read after it, is open.
                cached.received_at = self.now();
                return;
            }
        } else if segments.len() >= MAX_CACHED_SEGMENTS {
            let oldest = segments
                .iter()
                .min_by_key(|(_, cached)| cached.asked_at)
                .map(|(number, _)| *number);
            oldest.map(|number| segments.remove(&number));
        }
        segments
            .insert(number, CachedDocument { snapshot: found, asked_at, received_at: self.now() });
    }

    /// Every segment that exists, by number, as it is now.
    pub(in crate::upload) async fn all_segments(
        &self,
    ) -> Result<impl Stream<Item = Result<(u32, Arc<Segment>)>> + Send + use<>> {
        let numbers = self.segments().await?;
        let session = self.clone();
        let reads = stream::iter(numbers).map(move |number| {
            let session = session.clone();
            async move {
                let segment = session.current_segment(number).await?;
                Ok((number, segment.map_or_else(Arc::default, |segment| segment.value)))
            }
        });
        Ok(reads.buffered(READ_AHEAD))
    }

    /// Numbers of the segments that exist, ascending.
    pub async fn segments(&self) -> Result<Vec<u32>> {
        Ok(self.listed_segments().await?.into_iter().map(|(number, _)| number).collect())
    }

    /// A text that changes whenever the root or any segment changes.
    pub async fn version(&self) -> Result<String> {
        let (root, segments) = tokio::try_join!(self.current_root(), self.listed_segments())?;
        let etags = segments.iter().map(|(number, etag)| format!("{number}={etag};"));
        let text: String = std::iter::once(format!("{};", root.etag)).chain(etags).collect();
        Ok(Sha256::of(text.as_bytes()).hex()[..32].to_owned())
    }

    async fn listed_segments(&self) -> Result<Vec<(u32, String)>> {
        if self.root().whole_segment().is_some() {
            return Ok(vec![(0, String::new())]);
        }
        let documents = &self.0.shared.documents;
        let mut options =
            ListOptions { prefix: self.0.layout.segments().to_string(), ..ListOptions::default() };
        let mut found = Vec::new();
        loop {
            let page = documents.list(&options).await?;
            let numbered = page.objects.into_iter().filter_map(|listed| {
                self.0.layout.segment_number(&listed.key).map(|number| (number, listed.etag.0))
            });
            found.extend(numbered);
            let Some(next) = page.next else {
                break;
            };
            options.continue_at(next);
        }
        found.sort_unstable();
        if self.root().plan.size.is_none() {
            // Nothing else says how long the file is: a stale listing must not cut it short.
            loop {
                let next = found.last().map_or(0, |(last, _)| last + 1);
                let Some(segment) = self.current_segment(next).await? else { break };
                found.push((next, segment.etag.0));
            }
        }
        Ok(found)
    }

    pub(in crate::upload) fn now(&self) -> Duration {
        self.0.shared.documents.clock.monotonic()
    }

    fn is_fresh(&self, asked_at: Duration) -> bool {
        self.now().saturating_sub(asked_at) < FRESH
    }

    /// Why the session takes no chunk now.
    pub(in crate::upload) fn not_open(root: &Root) -> Error {
        if matches!(root.status, Status::Finalizing { .. }) {
            return Error::Busy(root.backup_id.clone());
        }
        Error::NotOpen { id: root.backup_id.clone(), status: root.status.word().to_owned() }
    }

    /// As `not_open`, for a put that began before the status changed: it may be repeated where the
    /// session takes parts in another way now.
    pub(in crate::upload) fn refused(root: &Root) -> Error {
        if root.status.is_usable() {
            return Error::Busy(root.backup_id.clone());
        }
        Self::not_open(root)
    }
}

impl Root {
    pub(in crate::upload) fn target(&self) -> (crate::names::Bucket, crate::names::Key) {
        (self.bucket.clone(), self.key.clone())
    }

    /// The key of the session's entry in the index of open sessions.
    pub(in crate::upload) fn index_entry(&self) -> crate::names::Key {
        Layout::new(&self.account, &self.backup_id).open(&self.bucket, &self.key, self.created_at)
    }

    /// The attributes that the object of a backup gets.
    pub(in crate::upload) fn attributes(&self) -> Attributes {
        let mut user = self.metadata.clone();
        user.insert(TAG.to_owned(), self.upload_tag.clone());
        Attributes { content_type: self.content_type.clone(), user, ..Attributes::default() }
    }
}

/// The store's multipart upload of a session. **Errors**: `BadRequest` where the file has no bytes.
pub(in crate::upload) fn upload_of<'a>(
    root: &'a Root,
    target: &'a (crate::names::Bucket, crate::names::Key),
) -> Result<UploadTarget<'a>> {
    let none = || Error::BadRequest("a backup of an empty file has no chunks".to_owned());
    root.upload_at(target).ok_or_else(none)
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("layout", &self.0.layout).finish_non_exhaustive()
    }
}

/// A lock whose holder panicked still holds consistent data: no critical section of this room calls
/// out.
pub(in crate::upload) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
