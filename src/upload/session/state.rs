//! A session in memory: its records as last read, and what is in flight for it.
//!
//! Guarantees: nothing here is a truth of its own; every answer rests on records that were
//! revalidated within [`FRESH`], so any gateway can carry any session on. The cache of segments is
//! bounded. No lock is held across a store call. It does not decide how records change (`manifest`)
//! or write them (`commit`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use crate::digest::Sha256;
use crate::store::{Attributes, ListOptions, UploadTarget};

use super::super::chunk::inflight::InFlight;
use super::super::chunk::whole_sha256::WholeSha256;
use super::super::documents::{Doc, Swap};
use super::super::error::{Error, Result};
use super::super::layout::Layout;
use super::super::manifest::{Root, Segment, Status};
use super::super::plan::{self, ChunkRange};
use super::super::uploads::{Sessions, Shared, TAG};
use super::commit::Queues;
use super::heartbeat::Heartbeat;

/// How long a record counts as current without asking the store (DESIGN §12.8).
const FRESH: Duration = Duration::from_secs(1);

/// Segments kept in memory per session: the chunks of a client come near each other, so few are
/// warm at a time.
const CACHED_SEGMENTS: usize = 8;

/// Segments read at the same time by one operation.
const READ_AHEAD: usize = 8;

/// One session, shared by all requests for it. Cheap to clone.
#[derive(Clone)]
pub struct Session(pub(in crate::upload) Arc<Inner>);

pub(in crate::upload) struct Inner {
    pub shared: Arc<Shared>,
    pub siblings: Weak<Sessions>,
    pub layout: Layout,
    root: Mutex<Seen<Root>>,
    segments: Mutex<HashMap<u32, Seen<Segment>>>,
    pub queues: Queues,
    pub in_flight: InFlight,
    pub heartbeat: Heartbeat,
    pub whole_sha256: WholeSha256,
    /// Parts of grouped chunks that are being put together by this gateway.
    pub assembling: dashmap::DashSet<u16>,
}

/// A record and when this gateway last knew it to be current.
struct Seen<T> {
    doc: Option<Doc<T>>,
    at: Duration,
    /// When the store's answer was here.
    answered: Duration,
}

/// How far a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Chunks that are durable and recorded.
    pub stored: u64,
    /// None while the size is not known.
    pub remaining: Option<u64>,
    /// Missing chunks, ascending; without a size only those below the highest recorded one.
    pub missing: Vec<ChunkRange>,
}

impl Session {
    pub(in crate::upload) fn new(
        shared: Arc<Shared>,
        siblings: Weak<Sessions>,
        layout: Layout,
        root: Doc<Root>,
    ) -> Self {
        let at = shared.documents.clock.monotonic();
        Self(Arc::new(Inner {
            whole_sha256: WholeSha256::new(root.value.digest),
            shared,
            siblings,
            layout,
            root: Mutex::new(Seen { doc: Some(root), at, answered: at }),
            segments: Mutex::default(),
            queues: Queues::default(),
            in_flight: InFlight::default(),
            heartbeat: Heartbeat::default(),
            assembling: dashmap::DashSet::new(),
        }))
    }

    /// The root as last read.
    pub fn root(&self) -> Arc<Root> {
        let seen = lock(&self.0.root);
        let doc = seen
            .doc
            .as_ref()
            .expect("a session is made with a root, and the root is never forgotten");
        Arc::clone(&doc.value)
    }

    /// The root, asked for again unless it is fresh. **Errors**: `NoSuchBackup` where it is gone.
    pub async fn fresh_root(&self) -> Result<Arc<Root>> {
        let (known, at) = self.seen_root();
        if self.is_fresh(at) {
            Ok(known.value)
        } else {
            self.current_root().await.map(|doc| doc.value)
        }
    }

    /// The root as it is in the store now.
    pub(in crate::upload) async fn current_root(&self) -> Result<Doc<Root>> {
        let asked_at = self.now();
        let (known, _) = self.seen_root();
        let found = self.0.shared.documents.revalidate(&self.0.layout.root(), Some(&known)).await?;
        let found = found.ok_or_else(|| Error::NoSuchBackup(known.value.backup_id.clone()))?;
        Ok(self.keep_root(found, asked_at))
    }

    /// Fails unless the root said that the session is open after this segment was read: a record
    /// that a late writer left behind an abort looks like any other. **Errors**: `NotOpen`,
    /// `NoSuchBackup`.
    pub(in crate::upload) async fn require_open_after(&self, number: u32) -> Result<()> {
        let read =
            lock(&self.0.segments).get(&number).map_or_else(|| self.now(), |seen| seen.answered);
        let (known, at) = self.seen_root();
        let root =
            if at >= read && self.is_fresh(at) { known } else { self.current_root().await? };
        if root.value.is_open() { Ok(()) } else { Err(Self::not_open(&root.value)) }
    }

    fn seen_root(&self) -> (Doc<Root>, Duration) {
        let seen = lock(&self.0.root);
        (
            seen.doc
                .clone()
                .expect("a session is made with a root, and the root is never forgotten"),
            seen.at,
        )
    }

    /// Keeps the newer of two reads: answers can overtake each other.
    fn keep_root(&self, found: Doc<Root>, at: Duration) -> Doc<Root> {
        let mut seen = lock(&self.0.root);
        let older =
            seen.doc.as_ref().is_some_and(|doc| doc.value.stamp.seq > found.value.stamp.seq);
        if older {
            return found;
        }
        *seen = Seen { doc: Some(found.clone()), at, answered: self.now() };
        found
    }

    /// Changes the status by compare-and-swap while `from` holds. **Errors**: those of
    /// `Documents::swap`; the inner `Err` is the root that stood in the way.
    pub(in crate::upload) async fn change_status(
        &self,
        from: impl Fn(&Status) -> bool,
        to: Status,
    ) -> Result<std::result::Result<Doc<Root>, Doc<Root>>> {
        self.change_root(|root| {
            let holds = from(&root.status);
            root.status = to.clone();
            holds
        })
        .await
    }

    /// Changes the root by compare-and-swap. `change` says whether it may, of the root as it is.
    /// **Errors**: as `change_status`.
    pub(in crate::upload) async fn change_root(
        &self,
        change: impl Fn(&mut Root) -> bool,
    ) -> Result<std::result::Result<Doc<Root>, Doc<Root>>> {
        let mut known = self.current_root().await?;
        let mut backoff = self.0.shared.documents.backoff();
        loop {
            let mut next = Root::clone(&known.value);
            if !change(&mut next) {
                return Ok(Err(known));
            }
            next.stamp = next.stamp.next(&self.0.shared.documents.clock.random_id());
            let asked_at = self.now();
            let ends = known.value.status.is_indexed_open() && !next.status.is_indexed_open();
            match self.0.shared.documents.swap(&self.0.layout.root(), Some(&known), next).await? {
                Swap::Won(doc) => {
                    if ends {
                        self.0.shared.quota.ended(&known.value.account);
                    }
                    return Ok(Ok(self.keep_root(doc, asked_at)));
                }
                Swap::Lost(Some(doc)) => known = self.keep_root(doc, asked_at),
                Swap::Lost(None) => return Err(Error::NoSuchBackup(known.value.backup_id.clone())),
            }
            let lost =
                crate::store::Error::new(crate::store::Kind::Conflict, "another writer was first");
            self.0
                .shared
                .documents
                .pause(&mut backoff, Error::store("changing the status", lost))
                .await?;
        }
    }

    /// The chunks of one segment, asked for again unless they are fresh; empty where there is none.
    pub async fn segment(&self, number: u32) -> Result<Arc<Segment>> {
        let fresh = lock(&self.0.segments)
            .get(&number)
            .filter(|seen| self.is_fresh(seen.at))
            .map(|seen| seen.doc.clone());
        let doc = match fresh {
            Some(doc) => doc,
            None => self.current_segment(number).await?,
        };
        Ok(doc.map_or_else(Arc::default, |doc| doc.value))
    }

    /// The segment as it is in the store now.
    pub(in crate::upload) async fn current_segment(
        &self,
        number: u32,
    ) -> Result<Option<Doc<Segment>>> {
        let asked_at = self.now();
        let known = self.known_segment(number);
        let found = self
            .0
            .shared
            .documents
            .revalidate(&self.0.layout.segment(number), known.as_ref())
            .await?;
        self.keep_segment(number, found.clone(), asked_at);
        Ok(found)
    }

    /// The segment as last read, however long ago.
    pub(in crate::upload) fn known_segment(&self, number: u32) -> Option<Doc<Segment>> {
        lock(&self.0.segments).get(&number).and_then(|seen| seen.doc.clone())
    }

    /// Remembers a segment that the store held at `at`, unless a newer one is known already.
    pub(in crate::upload) fn keep_segment(
        &self,
        number: u32,
        found: Option<Doc<Segment>>,
        at: Duration,
    ) {
        let seq = |doc: &Option<Doc<Segment>>| doc.as_ref().map(|doc| doc.value.stamp.seq);
        let mut segments = lock(&self.0.segments);
        if let Some(seen) = segments.get_mut(&number) {
            let overtaken = found.is_some() && seq(&seen.doc) > seq(&found);
            // An absent segment is news only if it was asked for after the last write that we saw.
            let vanished_before = found.is_none() && seen.doc.is_some() && seen.at >= at;
            if overtaken || vanished_before {
                // Or it is no older answer at all, but a late writer's segment in place of one that
                // an abort removed: what was read now counts only if the root, read after it, is
                // open.
                seen.answered = self.now();
                return;
            }
        } else if segments.len() >= CACHED_SEGMENTS {
            let oldest = segments.iter().min_by_key(|(_, seen)| seen.at).map(|(number, _)| *number);
            oldest.map(|number| segments.remove(&number));
        }
        segments.insert(number, Seen { doc: found, at, answered: self.now() });
    }

    /// Every segment that exists, by number, as it is now. Without a size their numbers come from a
    /// listing.
    pub(in crate::upload) async fn all_segments(
        &self,
    ) -> Result<impl Stream<Item = Result<(u32, Arc<Segment>)>> + Send + use<>> {
        let numbers = self.segments().await?;
        let session = self.clone();
        let reads = stream::iter(numbers).map(move |number| {
            let session = session.clone();
            async move {
                let doc = session.current_segment(number).await?;
                Ok((number, doc.map_or_else(Arc::default, |doc| doc.value)))
            }
        });
        Ok(reads.buffered(READ_AHEAD))
    }

    /// Numbers of the segments that exist, ascending.
    pub async fn segments(&self) -> Result<Vec<u32>> {
        Ok(self.listed_segments().await?.into_iter().map(|(number, _)| number).collect())
    }

    /// A tag that changes whenever the root or any segment changes.
    pub async fn version(&self) -> Result<String> {
        let (root, segments) = tokio::try_join!(self.current_root(), self.listed_segments())?;
        let tags = segments.iter().map(|(number, etag)| format!("{number}={etag};"));
        let text: String = std::iter::once(format!("{};", root.etag)).chain(tags).collect();
        Ok(Sha256::of(text.as_bytes()).hex()[..32].to_owned())
    }

    async fn listed_segments(&self) -> Result<Vec<(u32, String)>> {
        let documents = &self.0.shared.documents;
        let mut options =
            ListOptions { prefix: self.0.layout.segments().0, ..ListOptions::default() };
        let mut found = Vec::new();
        loop {
            let page = documents.list(&options).await?;
            let numbered = page.objects.into_iter().filter_map(|listed| {
                self.0.layout.segment_number(&listed.key).map(|number| (number, listed.etag.0))
            });
            found.extend(numbered);
            if page.next.is_none() {
                break;
            }
            options.after = page.next;
        }
        found.sort_unstable();
        if self.root().plan.size.is_none() {
            // Nothing else says how long the file is: a listing that lags must not cut it short.
            loop {
                let next = found.last().map_or(0, |(last, _)| last + 1);
                let Some(doc) = self.current_segment(next).await? else { break };
                found.push((next, doc.etag.0));
            }
        }
        Ok(found)
    }

    /// What is stored and what is missing. The root is the current one from here on: who asks how
    /// far it is may have been told of its end by another gateway.
    pub async fn progress(&self) -> Result<Progress> {
        let plan = self.current_root().await?.value.plan;
        let segments = self.all_segments().await?;
        let (stored, below) = segments
            .try_fold((Vec::<u32>::new(), 0), |(mut stored, _), (_, segment)| async move {
                stored.extend(
                    segment
                        .chunks
                        .iter()
                        .filter(|(_, record)| !record.invalidated)
                        .map(|(index, _)| *index),
                );
                let below =
                    segment.chunks.keys().next_back().map_or(0, |last| u64::from(*last) + 1);
                Ok((stored, below))
            })
            .await?;
        let count = stored.len() as u64;
        let missing = plan::gaps(stored, plan.chunks().unwrap_or(below));
        Ok(Progress {
            stored: count,
            remaining: plan.chunks().map(|total| total.saturating_sub(count)),
            missing,
        })
    }

    pub(in crate::upload) fn now(&self) -> Duration {
        self.0.shared.documents.clock.monotonic()
    }

    fn is_fresh(&self, at: Duration) -> bool {
        self.now().saturating_sub(at) < FRESH
    }

    pub(in crate::upload) fn not_open(root: &Root) -> Error {
        Error::NotOpen { id: root.backup_id.clone(), status: root.status.word().to_owned() }
    }
}

impl Root {
    pub(in crate::upload) fn target(&self) -> (crate::store::Bucket, crate::store::Key) {
        (self.bucket.as_str().into(), self.key.as_str().into())
    }

    /// The session's entry in the index of open ones.
    pub(in crate::upload) fn open_entry(&self) -> crate::store::Key {
        Layout::new(&self.account, &self.backup_id).open(&self.bucket, &self.key, self.created_at)
    }

    /// What the object of a backup will carry.
    pub(in crate::upload) fn attributes(&self) -> Attributes {
        let mut user = self.metadata.clone();
        user.insert(TAG.to_owned(), self.upload_tag.clone());
        Attributes { content_type: self.content_type.clone(), user, ..Attributes::default() }
    }
}

/// The store's multipart upload of a session. **Errors**: `BadRequest` where the file has no bytes.
pub(in crate::upload) fn upload_of<'a>(
    root: &'a Root,
    target: &'a (crate::store::Bucket, crate::store::Key),
) -> Result<UploadTarget<'a>> {
    let none = || Error::BadRequest("a backup of an empty file has no chunks".to_owned());
    root.upload_at(target).ok_or_else(none)
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("layout", &self.0.layout).finish_non_exhaustive()
    }
}

/// A lock whose holder panicked holds consistent data all the same: no critical section here calls
/// out.
pub(in crate::upload) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
