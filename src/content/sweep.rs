//! Removing recipes without a pointer, and blobs without a recipe.
//!
//! Guarantees: no recipe that a pointer names, and no blob of one, is ever removed, whatever else
//! runs; no step rests on a clock but how long a recipe stays without a pointer, for the sake of
//! running reads. A sweep can be interrupted anywhere, and several may run at once. Memory: 48
//! bytes for each blob of a completed upload. With `dry` nothing is changed.
//!
//! The steps of a sweep of an account:
//!
//! 1. A recipe is *in use* if its pointer is there or its upload is open. One that was not in use
//!    for `keep_unused` (its entry `unused` says since when) is condemned.
//! 2. All uploads are listed: which are open, what they may copy from, and the blobs of the others.
//! 3. A condemned recipe from which no open upload copies is removed, its first document first and
//!    the marks of sweeps last. From the others the sweep takes its own mark back.
//! 4. All recipes are read, twice. Blobs that are in none of them are removed.
//!
//! # Interactions
//!
//! | running | sweep | why no blob is lost |
//! | --- | --- | --- |
//! | a part is put | step 4 | blobs of open uploads are no candidates; an upload that was closed before step 2 has put its last blob that counts, and written its recipe, before that |
//! | Complete | steps 1, 3 | the recipe is in use, because its upload is open until the pointer is there; a late pointer replaces only the object that was there while the upload was open (`complete`) |
//! | Complete | step 4 | the recipe is written before the upload is closed: either the upload was open at step 2, or the recipe is read in step 4 |
//! | a part or an object is copied | steps 1 to 3 | the copier stores its entry for the source, then looks whether the recipe is condemned or gone; the sweep condemns, then lists the entries: one of them sees the other |
//! | a part or an object is copied | step 4 | the source stays until the upload of the copier is closed, and the recipe of the copy is written before that. One pass over the recipes might read the copy before it is written and the source after it is removed; the second pass finds the copy, which is not removed before it was unused for `keep_unused` |
//! | a read | steps 3, 4 | the recipe was in use when the read began, and stays for `keep_unused` |
//! | an object is overwritten or deleted | step 1 | afterwards its recipe is not in use; before, it is. A recipe without a pointer never gets one again |
//! | another sweep | all | each has its own mark and takes back no other one's; removing twice is harmless |

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Content;
use super::names::{
    Blob, BlobsEntry, ContentUpload, Id, PartName, blobs_entry, blobs_prefix, recipes_prefix,
};
use super::recipe::{
    PointerVersion, Recipe, UNUSED, condemned_key, first_key, is_condemned_mark, unused_key,
    version_key,
};
use crate::names::{AccountName, Key};
use crate::store::{Listed, Result, UploadId};

/// Blobs whose names are made, and removed, at once.
const BLOBS_AT_ONCE: usize = 1000;

/// Recipes that are read at once.
const RECIPES_AT_ONCE: usize = 16;

/// A recipe whose first document is missing is being written for less than this.
const MAX_WRITING: Duration = Duration::from_secs(3600);

/// After so long the sweep that condemned a recipe has stopped.
const MAX_CONDEMNED: Duration = Duration::from_secs(86_400);

/// What a sweep goes by.
#[derive(Clone, Debug)]
pub struct SweepLimits {
    /// The store's time.
    pub now: SystemTime,
    /// How long a recipe stays after its object is gone, and an upload that no session has.
    pub keep_unused: Duration,
    /// The uploads of open sessions.
    pub open_uploads: HashSet<UploadId>,
    /// Change nothing.
    pub dry: bool,
}

/// What a sweep removed, or would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub recipes: u64,
    pub blobs: u64,
    pub bytes: u64,
}

/// What the listing of the recipes says about one.
#[derive(Debug, Default)]
struct RecipeFiles {
    keys: Vec<Key>,
    unused_since: Option<SystemTime>,
    /// The marks of other sweeps.
    condemned: Vec<(Key, SystemTime)>,
    newest: Option<SystemTime>,
}

/// What the listing of the uploads says.
#[derive(Debug, Default)]
struct Uploads {
    open: HashSet<Id>,
    /// The recipes that open uploads may copy from.
    sources: BTreeSet<Id>,
    /// Open uploads without a session, which nobody will complete.
    abandoned: Vec<Id>,
    /// The blobs of closed uploads, in order, with their lengths.
    blobs: Vec<(Blob, u64)>,
}

impl Content {
    /// Sweeps the blobs and recipes of an account.
    pub async fn sweep(&self, account: &AccountName, limits: &SweepLimits) -> Result<Swept> {
        let mut swept = Swept::default();
        let sweep = self.random();
        let (recipes, condemned) = self.condemn(account, &sweep, limits).await?;
        let uploads = self.list_uploads(account, limits).await?;
        let mut retired = BTreeSet::new();
        for id in condemned {
            let own_mark = condemned_key(account, &id, &sweep);
            if uploads.sources.contains(&id) {
                self.remove_unless_dry(limits, &[own_mark]).await?;
                continue;
            }
            swept.recipes += 1;
            retired.insert(id);
            let keys = recipes.get(&id).map_or(&[][..], |files| files.keys.as_slice());
            if !limits.dry {
                self.retire(&first_key(account, &id), keys, &own_mark).await?;
            }
        }
        let mut unreferenced = vec![true; uploads.blobs.len()];
        for _pass in 0..2 {
            if unreferenced.contains(&true) {
                self.mark(account, &uploads.blobs, &retired, &mut unreferenced).await?;
            }
        }
        let mut gone = Vec::with_capacity(BLOBS_AT_ONCE);
        for ((blob, size_bytes), unreferenced) in uploads.blobs.iter().zip(unreferenced) {
            if !unreferenced {
                continue;
            }
            swept.blobs += 1;
            swept.bytes += size_bytes;
            gone.push(blob.key(account));
            if gone.len() == BLOBS_AT_ONCE {
                self.remove_unless_dry(limits, &gone).await?;
                gone.clear();
            }
        }
        self.remove_unless_dry(limits, &gone).await?;
        if !limits.dry {
            for id in uploads.abandoned {
                self.abandon(&ContentUpload { account: account.clone(), id }).await?;
            }
        }
        Ok(swept)
    }

    /// Step 1: all recipes, and those that are condemned.
    async fn condemn(
        &self,
        account: &AccountName,
        sweep: &Id,
        limits: &SweepLimits,
    ) -> Result<(BTreeMap<Id, RecipeFiles>, Vec<Id>)> {
        let recipes = self.list_recipes(account).await?;
        let decisions = recipes.iter().map(|(id, files)| async move {
            let due = self.is_due(account, id, files, limits).await?;
            if due && !limits.dry {
                self.put_entry(condemned_key(account, id, sweep)).await?;
            }
            Ok((*id, due))
        });
        let decisions: Vec<_> = decisions.collect();
        let decisions = stream::iter(decisions).buffer_unordered(RECIPES_AT_ONCE);
        let condemned = decisions
            .try_filter_map(|(id, due)| async move { Ok(due.then_some(id)) })
            .try_collect::<Vec<Id>>()
            .await?;
        Ok((recipes, condemned))
    }

    /// Whether a recipe is to be removed. Notes since when it is not in use.
    async fn is_due(
        &self,
        account: &AccountName,
        id: &Id,
        files: &RecipeFiles,
        limits: &SweepLimits,
    ) -> Result<bool> {
        let age = |since: SystemTime| limits.now.duration_since(since).unwrap_or_default();
        for (mark, since) in &files.condemned {
            if age(*since) >= MAX_CONDEMNED {
                self.remove_unless_dry(limits, std::slice::from_ref(mark)).await?;
            }
        }
        let Some(recipe) = self.read_recipe(account, id).await? else {
            // It is being written or removed, or was by a gateway that stopped.
            let keep = limits.keep_unused.max(MAX_WRITING);
            return Ok(files.newest.is_some_and(|newest| age(newest) >= keep));
        };
        if self.is_in_use(&recipe).await? {
            if files.unused_since.is_some() {
                self.remove_unless_dry(limits, &[unused_key(account, id)]).await?;
            }
            return Ok(false);
        }
        let since = match files.unused_since {
            Some(since) => since,
            None if limits.dry => return Ok(false),
            None => {
                self.put_entry(unused_key(account, id)).await?;
                limits.now
            }
        };
        Ok(age(since) >= limits.keep_unused)
    }

    async fn is_in_use(&self, recipe: &Recipe) -> Result<bool> {
        let Recipe { account, id, bucket, key, upload, .. } = recipe;
        let upload = ContentUpload { account: account.clone(), id: *upload };
        // The upload first: it is open until the pointer is there.
        if self.exists(&upload.marker()).await? || self.is_named(recipe, None).await? {
            return Ok(true);
        }
        match self.document(&version_key(account, id)).await? {
            Some(PointerVersion { id }) => self.is_named(recipe, Some(&id)).await,
            // The gateway may have stopped before it noted the version of the pointer.
            None => match self.store.keeps_versions(bucket).await {
                Ok(keeps) => Ok(keeps),
                Err(error) if super::complete::is_absent(error.kind()) => Ok(false),
                Err(error) => {
                    tracing::warn!(%bucket, %key, %error, "a recipe was not swept");
                    Ok(true)
                }
            },
        }
    }

    /// Whether the object, or a version of it, is the pointer of a recipe.
    async fn is_named(&self, recipe: &Recipe, version: Option<&str>) -> Result<bool> {
        let there = self.look(&recipe.bucket, &recipe.key, version).await?;
        let named = there.and_then(|(_, pointer)| pointer);
        Ok(named.is_some_and(|pointer| pointer.recipe == recipe.id))
    }

    async fn list_recipes(&self, account: &AccountName) -> Result<BTreeMap<Id, RecipeFiles>> {
        let prefix = recipes_prefix(account);
        let mut recipes: BTreeMap<Id, RecipeFiles> = BTreeMap::new();
        let mut next = None;
        loop {
            let (page, following) = self.page(&prefix, next).await?;
            for Listed { key, modified, .. } in page {
                let rest = key.strip_prefix(prefix.as_str()).and_then(|rest| rest.split_once('/'));
                let Some((Some(id), file)) = rest.map(|(id, file)| (Id::parse(id), file)) else {
                    continue;
                };
                let files = recipes.entry(id).or_default();
                if is_condemned_mark(file) {
                    files.condemned.push((key, modified));
                    continue;
                }
                files.newest = files.newest.max(Some(modified));
                if file == UNUSED {
                    files.unused_since = Some(modified);
                }
                files.keys.push(key);
            }
            next = following;
            if next.is_none() {
                return Ok(recipes);
            }
        }
    }

    /// Step 2. What else is left of closed uploads is removed at once.
    async fn list_uploads(&self, account: &AccountName, limits: &SweepLimits) -> Result<Uploads> {
        let prefix = blobs_prefix(account);
        let mut uploads = Uploads::default();
        let mut next = None;
        loop {
            let (page, following) = self.page(&prefix, next).await?;
            let mut left_over = Vec::new();
            for Listed { key, size_bytes, modified, .. } in page {
                // What another version wrote is not ours to remove.
                let Some((id, entry)) = blobs_entry(account, &key) else { continue };
                let is_open = uploads.open.contains(&id);
                match entry {
                    BlobsEntry::Marker => {
                        uploads.open.insert(id);
                        let upload = ContentUpload { account: account.clone(), id };
                        let age = limits.now.duration_since(modified).unwrap_or_default();
                        let has_session = limits.open_uploads.contains(&upload.upload_id());
                        if !has_session && age >= limits.keep_unused.max(MAX_WRITING) {
                            uploads.abandoned.push(id);
                        }
                    }
                    BlobsEntry::Source(recipe) if is_open => {
                        uploads.sources.insert(recipe);
                    }
                    BlobsEntry::Attempt(_) | BlobsEntry::Part(_) if is_open => {}
                    BlobsEntry::Part(PartName { number, nonce, refers_to: None }) => {
                        uploads.blobs.push((Blob { upload: id, number, nonce }, size_bytes));
                    }
                    BlobsEntry::Source(_) | BlobsEntry::Attempt(_) | BlobsEntry::Part(_) => {
                        left_over.push(key);
                    }
                }
            }
            self.remove_unless_dry(limits, &left_over).await?;
            next = following;
            if next.is_none() {
                return Ok(uploads);
            }
        }
    }

    /// Step 3 for one recipe. The marks of other sweeps are left to them.
    async fn retire(&self, first: &Key, keys: &[Key], own_mark: &Key) -> Result<()> {
        self.remove(first).await?;
        let rest: Vec<Key> = keys.iter().filter(|key| *key != first).cloned().collect();
        self.remove_all(&rest).await?;
        self.remove(own_mark).await
    }

    /// One pass of step 4: which blobs are in a recipe.
    async fn mark(
        &self,
        account: &AccountName,
        blobs: &[(Blob, u64)],
        retired: &BTreeSet<Id>,
        unreferenced: &mut [bool],
    ) -> Result<()> {
        let recipes = self.list_recipes(account).await?;
        let reads = recipes.keys().filter(|id| !retired.contains(id));
        let reads: Vec<_> = reads.map(|id| self.read_recipe(account, id)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(RECIPES_AT_ONCE);
        while let Some(recipe) = reads.try_next().await? {
            for piece in recipe.iter().flat_map(|recipe| &recipe.pieces) {
                if let Ok(at) = blobs.binary_search_by_key(&piece.blob, |(blob, _)| *blob) {
                    unreferenced[at] = false;
                }
            }
        }
        Ok(())
    }

    async fn remove_unless_dry(&self, limits: &SweepLimits, keys: &[Key]) -> Result<()> {
        if limits.dry { Ok(()) } else { self.remove_all(keys).await }
    }
}
