//! Creating backups.
//!
//! Guarantees: of any number of clients that create the same target, file, chunk size and size at
//! once, through any gateways, all get one backup, decided by compare-and-swap on its open entry
//! (docs/architecture.md#one-backup-per-target); the next create continues one that crashed between
//! its steps; a refused create leaves nothing behind.

use std::collections::BTreeMap;

use crate::digest;
use crate::names::{AccountName, BackupId, Bucket, Key};
use crate::records::{Snapshot, Stamp, SwapOutcome};
use crate::store::{self, Attributes, ListOptions, UploadId, UploadTarget};

use super::codec::OpenEntry;
use super::error::{Error, Result};
use super::layout::{self, Layout};
use super::manifest::{Destination, Policy, Root, Status};
use super::placement::ObjectLayout;
use super::plan::Plan;
use super::session::Session;
use super::session_cache::SessionName;
use super::uploads::Uploads;

/// The most attempts of a create while others create and end the same backup.
const MAX_CREATE_ATTEMPTS: usize = 32;

/// The parameters of a create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewBackup {
    pub bucket: Bucket,
    pub key: Key,
    /// Bytes of every chunk but the last.
    pub chunk_size: u64,
    pub size: Option<u64>,
    pub file_id: String,
    /// The digest to compute in addition to SHA-256.
    pub digest: Option<digest::Kind>,
    pub metadata: BTreeMap<String, String>,
    pub content_type: Option<String>,
    /// None: as the settings say for the target.
    pub layout: Option<ObjectLayout>,
}

/// Whether a create made a new backup or found an existing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New,
    Existing,
}

impl Uploads {
    /// Creates a backup, or returns the open one with the same target, file id, chunk size and
    /// size.
    /// **Errors**: `BadRequest` (the file does not fit), `NoSuchBucket`, `QuotaExceeded`.
    pub async fn create(
        &self,
        account: &AccountName,
        new: NewBackup,
    ) -> Result<(Created, Session)> {
        let plan = self.plan(&new)?;
        let (chunk_size, size) =
            (plan.chunk_size.to_string(), plan.size.map_or(String::new(), |size| size.to_string()));
        let mut named = vec![&*new.bucket, &*new.key, &*new.file_id, &*chunk_size, &*size];
        // Entries of older gateways, which know no layouts, name none.
        named.extend(new.layout.map(ObjectLayout::name));
        let entry = layout::open_entry(account, &named);
        let documents = self.documents();
        let mut known: Option<Snapshot<OpenEntry>> = documents.read(&entry).await?;
        let mut reservation = None;
        for _ in 0..MAX_CREATE_ATTEMPTS {
            if let Some(entry) = &known {
                let id = &entry.value.backup_id;
                match self.find(account, id).await? {
                    Some(session) if session.root().status.is_unfinished() => {
                        return Ok((Created::Existing, session));
                    }
                    // Its creator stopped before it wrote the root: continue under the same id.
                    None => {
                        let _reservation = self.reserve_once(account, reservation).await?;
                        return self.make(account, id, new, plan).await;
                    }
                    Some(_) => {}
                }
            }
            // Before the entry: a refused create leaves nothing behind.
            reservation = Some(self.reserve_once(account, reservation).await?);
            let stamp =
                known.as_ref().map_or_else(Stamp::default, |known| known.value.stamp.clone());
            let stamp = stamp.next(&documents.clock.random_id());
            let next = OpenEntry { stamp, backup_id: documents.clock.random_id().into() };
            known = match documents.swap(&entry, known.as_ref(), next).await? {
                SwapOutcome::Won(now) => Some(now),
                SwapOutcome::Lost(now) => now,
            };
        }
        let what = "creating a backup that others create and end at the same time".to_owned();
        Err(Error::Batch { kind: super::Kind::StoreUnavailable, what, retry_after: None })
    }

    /// Creates a backup under an id that the client chose. **Errors**: `BackupConflict` if it
    /// exists with other parameters, and those of `create`.
    pub async fn create_as(
        &self,
        account: &AccountName,
        id: &BackupId,
        new: NewBackup,
    ) -> Result<(Created, Session)> {
        let plan = self.plan(&new)?;
        let (created, session) = match self.find(account, id).await? {
            Some(session) => (Created::Existing, session),
            None => {
                let _reservation = self.reserve(account).await?;
                self.make(account, id, new.clone(), plan).await?
            }
        };
        match difference(&session.root(), &new) {
            None => Ok((created, session)),
            Some(field) => Err(Error::BackupConflict { id: id.clone(), field }),
        }
    }

    pub(super) fn plan(&self, new: &NewBackup) -> Result<Plan> {
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

    /// Writes the session's documents. The entries first, the root last: a crash before the root
    /// leaves an entry that names no session, which every reader skips.
    async fn make(
        &self,
        account: &AccountName,
        id: &BackupId,
        new: NewBackup,
        plan: Plan,
    ) -> Result<(Created, Session)> {
        let documents = self.documents();
        let layout = Layout::new(account, id);
        let is_layout_required = new.layout.is_some();
        let mut root = self.new_root(account, id, new, plan);
        self.create_store_upload(&mut root, is_layout_required).await?;
        documents.put_marker(&root.index_entry()).await?;
        let name = SessionName { account: account.clone(), id: id.clone() };
        let attempted = root.clone();
        match documents.create(&layout.root(), root).await? {
            SwapOutcome::Won(root) => {
                self.shared.quota.session_opened(account);
                Ok((Created::New, self.cache(name, layout, root)))
            }
            SwapOutcome::Lost(Some(root)) => {
                let target = attempted.target();
                if let Some(upload) = attempted.upload_at(&target)
                    && let Err(error) = documents.store.abort(upload).await
                {
                    tracing::warn!(backup = id.as_str(), %error, "the store upload of a create that lost the race was not aborted");
                }
                if attempted.index_entry() != root.value.index_entry() {
                    documents.delete(&attempted.index_entry()).await?;
                }
                Ok((Created::Existing, self.cache(name, layout, root)))
            }
            SwapOutcome::Lost(None) => Err(Error::NoSuchBackup(id.clone())),
        }
    }

    /// The root of a backup that has no store upload yet.
    pub(super) fn new_root(
        &self,
        account: &AccountName,
        id: &BackupId,
        new: NewBackup,
        plan: Plan,
    ) -> Root {
        let clock = &self.documents().clock;
        let layout = new.layout.unwrap_or_else(|| {
            self.shared.settings.content_targets.layout_of(&new.bucket, &new.key)
        });
        Root {
            stamp: Stamp::default().next(&clock.random_id()),
            backup_id: id.clone(),
            account: account.clone(),
            bucket: new.bucket,
            key: new.key,
            file_id: new.file_id,
            plan,
            policy: Policy::FirstWins,
            digest: new.digest,
            metadata: new.metadata,
            content_type: new.content_type,
            layout,
            s3: None,
            destination: Destination::Whole,
            upload_tag: clock.random_id(),
            created_at: clock.unix_seconds(),
            status: Status::InProgress,
        }
    }

    /// Creates the store upload of a backup. An empty file has none and needs its bucket only: S3
    /// does not complete an upload without parts; and an upload of a directory, whose key ends in
    /// `/`, is not created by MinIO, and completed under another name by SeaweedFS. **Errors**:
    /// `NoSuchBucket`.
    async fn create_store_upload(&self, root: &mut Root, is_layout_required: bool) -> Result<()> {
        let (bucket, key) = root.target();
        let created = if root.plan.size == Some(0) {
            let any = ListOptions { limit: 1, ..ListOptions::default() };
            self.store().list(&bucket, &any).await.map(|_| Destination::Whole)
        } else {
            let target = (&bucket, &key);
            let attributes = root.attributes();
            let begun = self.begin_store_upload(&root.account, target, &attributes, root.layout);
            match begun.await {
                Ok((upload, layout)) if layout != root.layout && is_layout_required => {
                    let upload = UploadTarget { bucket: &bucket, key: &key, upload: &upload };
                    let aborted = self.store().abort(upload).await;
                    aborted.map_err(|error| Error::own("aborting an upload", error))?;
                    let what = "layout content: the metadata is too large for it";
                    return Err(Error::BadRequest(what.to_owned()));
                }
                Ok((upload, layout)) => {
                    root.layout = layout;
                    Ok(Destination::Parts(upload))
                }
                Err(error) => Err(error),
            }
        };
        root.destination = created.map_err(|error| upload_not_created(&root.bucket, error))?;
        Ok(())
    }

    /// Creates an upload at the store, and says which layout it has: with some attributes an object
    /// cannot be made of blobs.
    pub(super) async fn begin_store_upload(
        &self,
        account: &AccountName,
        (bucket, key): (&Bucket, &Key),
        attributes: &Attributes,
        layout: ObjectLayout,
    ) -> store::Result<(UploadId, ObjectLayout)> {
        let store = self.store();
        let created = match layout {
            ObjectLayout::Multipart => None,
            ObjectLayout::Content => {
                store.create_content_upload(bucket, key, attributes, account).await?
            }
        };
        if let Some(upload) = created {
            return Ok((upload, layout));
        }
        let upload = store.create_upload(bucket, key, attributes).await?;
        // The embedded store shares the files of parts whatever the layout is called.
        Ok((upload, if store.is_server() { ObjectLayout::Multipart } else { layout }))
    }
}

/// Why the store created no upload in a bucket.
pub(super) fn upload_not_created(bucket: &Bucket, error: store::Error) -> Error {
    if error.kind() == store::Kind::NoSuchBucket {
        return Error::NoSuchBucket(bucket.clone());
    }
    Error::store("beginning the store's upload", error)
}

/// The first field in which a create differs from the existing backup.
pub(super) fn difference(root: &Root, new: &NewBackup) -> Option<&'static str> {
    let fields = [
        ("bucket", root.bucket == new.bucket),
        ("key", root.key == new.key),
        ("chunkSize", root.plan.chunk_size == new.chunk_size),
        ("size", root.plan.size == new.size),
        ("fileId", root.file_id == new.file_id),
        ("digest", root.digest == new.digest),
        ("metadata", root.metadata == new.metadata),
        ("contentType", root.content_type == new.content_type),
        ("layout", new.layout.is_none_or(|layout| layout == root.layout)),
    ];
    fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
}
