//! The trait `Store`: which calls are of this layout, and which pass through to the server.

use async_trait::async_trait;

use super::Content;
use super::complete::is_of_parts;
use super::names::ContentUpload;
use super::references::named;
use crate::digest::Algorithm;
use crate::names::{AccountName, Bucket, Key};
use crate::store::{
    Attributes, Body, BucketInfo, ByteSpan, ChosenPart, Completion, CopiedPart, CopyOptions,
    CopySource, DeleteConditions, DeleteOptions, Deleted, Disk, Error, ExtentPage, GetOptions,
    GetRange, Head, Kind, Limits, ListOptions, Page, PartNumber, PartOptions, PartPage, PartTarget,
    Passthrough, PassthroughAnswer, PutMode, PutOptions, Result, ServerFacts, Store, TagCondition,
    Tags, UploadId, UploadTarget, Written, WrittenPart,
};

impl Content {
    /// The condition of a write, with the store's own ETag.
    async fn stored_mode(&self, bucket: &Bucket, key: &Key, mode: PutMode) -> Result<PutMode> {
        Ok(match mode {
            PutMode::IfMatch(etag) => PutMode::IfMatch(self.stored_tag(bucket, key, &etag).await?),
            PutMode::Overwrite | PutMode::CreateOnly => mode,
        })
    }

    /// Conditions of a delete on what clients see, as conditions on what the store has.
    async fn stored_conditions(
        &self,
        bucket: &Bucket,
        key: &Key,
        options: &DeleteOptions,
    ) -> Result<DeleteConditions> {
        let mut conditions = options.conditions.clone();
        let tag_of_parts = match &conditions.if_match {
            Some(TagCondition::Tag(etag)) => is_of_parts(etag),
            Some(TagCondition::Any) | None => false,
        };
        if *bucket == self.state_bucket || !tag_of_parts && conditions.size_bytes.is_none() {
            return Ok(conditions);
        }
        let there = self.look(bucket, key, options.version.as_deref()).await?;
        let Some((stored, Some(pointer))) = there else { return Ok(conditions) };
        let has_size = conditions.size_bytes.is_none_or(|size| size == pointer.size_bytes);
        let has_tag = match &conditions.if_match {
            Some(TagCondition::Tag(etag)) => *etag == pointer.etag,
            Some(TagCondition::Any) | None => true,
        };
        if !has_size || !has_tag {
            let what = format!("{key} has another size or ETag");
            return Err(Error::new(Kind::Precondition, what));
        }
        conditions.size_bytes = None;
        conditions.if_match = Some(TagCondition::Tag(stored));
        Ok(conditions)
    }
}

#[async_trait]
impl Store for Content {
    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn is_server(&self) -> bool {
        self.store.is_server()
    }

    async fn create_bucket(&self, bucket: &Bucket) -> Result<()> {
        self.store.create_bucket(bucket).await
    }

    async fn create_bucket_with_lock(&self, bucket: &Bucket) -> Result<()> {
        self.store.create_bucket_with_lock(bucket).await
    }

    async fn delete_bucket(&self, bucket: &Bucket) -> Result<()> {
        self.store.delete_bucket(bucket).await
    }

    async fn list_buckets(&self) -> Result<Vec<BucketInfo>> {
        self.store.list_buckets().await
    }

    async fn put(
        &self,
        bucket: &Bucket,
        key: &Key,
        body: Body,
        options: PutOptions,
    ) -> Result<Written> {
        let mode = self.stored_mode(bucket, key, options.mode).await?;
        self.store.put(bucket, key, body, PutOptions { mode, ..options }).await
    }

    async fn get(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: GetOptions,
    ) -> Result<(Head, Body)> {
        if *bucket == self.state_bucket {
            return self.store.get(bucket, key, read, options).await;
        }
        self.read(bucket, key, read, options).await
    }

    async fn delete(&self, bucket: &Bucket, key: &Key, options: &DeleteOptions) -> Result<Deleted> {
        if options.conditions.is_empty() {
            return self.store.delete(bucket, key, options).await;
        }
        let conditions = self.stored_conditions(bucket, key, options).await?;
        self.store.delete(bucket, key, &DeleteOptions { conditions, ..options.clone() }).await
    }

    async fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page> {
        self.list_seen(bucket, options).await
    }

    async fn extents(&self, bucket: &Bucket, options: &ListOptions) -> Result<ExtentPage> {
        self.list_extents(bucket, options).await
    }

    async fn create_upload(
        &self,
        bucket: &Bucket,
        key: &Key,
        attributes: &Attributes,
    ) -> Result<UploadId> {
        if let Some(account) = &self.every_upload_of
            && let Some(upload) = self.begin(account, (bucket, key), attributes).await?
        {
            return Ok(upload.upload_id());
        }
        self.store.create_upload(bucket, key, attributes).await
    }

    async fn create_content_upload(
        &self,
        bucket: &Bucket,
        key: &Key,
        attributes: &Attributes,
        account: &AccountName,
    ) -> Result<Option<UploadId>> {
        let upload = self.begin(account, (bucket, key), attributes).await?;
        Ok(upload.map(|upload| upload.upload_id()))
    }

    async fn put_part(
        &self,
        part: PartTarget<'_>,
        body: Body,
        options: PartOptions,
    ) -> Result<WrittenPart> {
        match ContentUpload::of(part.upload.upload) {
            Some(upload) => self.put_blob(&upload, part.number, body, options).await,
            None => self.store.put_part(part, body, options).await,
        }
    }

    async fn list_parts(
        &self,
        target: UploadTarget<'_>,
        after: Option<PartNumber>,
    ) -> Result<PartPage> {
        match ContentUpload::of(target.upload) {
            Some(upload) => self.part_page(&upload, after).await,
            None => self.store.list_parts(target, after).await,
        }
    }

    async fn complete(
        &self,
        target: UploadTarget<'_>,
        parts: &[ChosenPart],
        completion: &Completion,
    ) -> Result<Written> {
        if let Some(upload) = ContentUpload::of(target.upload) {
            return self.complete_upload(&upload, parts, completion).await;
        }
        let mode = self.stored_mode(target.bucket, target.key, completion.mode.clone()).await?;
        let completion = Completion { mode, ..*completion };
        self.store.complete(target, parts, &completion).await
    }

    async fn abort(&self, target: UploadTarget<'_>) -> Result<()> {
        match ContentUpload::of(target.upload) {
            Some(upload) => self.abandon(&upload).await,
            None => self.store.abort(target).await,
        }
    }

    async fn read_parts(
        &self,
        target: UploadTarget<'_>,
        parts: &[ChosenPart],
    ) -> Result<Option<Body>> {
        match ContentUpload::of(target.upload) {
            Some(upload) => self.chosen_body(&upload, parts).await.map(Some),
            None => self.store.read_parts(target, parts).await,
        }
    }

    async fn copy(
        &self,
        source: CopySource<'_>,
        bucket: &Bucket,
        key: &Key,
        options: CopyOptions,
    ) -> Result<Option<Written>> {
        let pointer = if is_of_parts(source.etag) { self.source(source).await? } else { None };
        if let Some(pointer) = pointer {
            return self.copy_recipe((source, &pointer), (bucket, key), &options).await;
        }
        let mode = self.stored_mode(bucket, key, options.mode).await?;
        self.store.copy(source, bucket, key, CopyOptions { mode, ..options }).await
    }

    async fn copy_part(
        &self,
        source: CopySource<'_>,
        span: Option<ByteSpan>,
        part: PartTarget<'_>,
    ) -> Result<Option<CopiedPart>> {
        if let Some(upload) = ContentUpload::of(part.upload.upload) {
            return self.refer(&upload, part.number, source, span).await;
        }
        let pointer = if is_of_parts(source.etag) { self.source(source).await? } else { None };
        let Some(pointer) = pointer else {
            return self.store.copy_part(source, span, part).await;
        };
        let recipe = self.recipe(named(source), &pointer).await?;
        let span = span.unwrap_or(ByteSpan { first: 0, end: pointer.size_bytes });
        self.copy_blob(&recipe, span, part).await
    }

    async fn make_plain(&self, bucket: &Bucket, key: &Key) -> Result<Option<Written>> {
        self.make_plain_object(bucket, key).await
    }

    async fn tags(&self, bucket: &Bucket, key: &Key, version: Option<&str>) -> Result<Tags> {
        self.store.tags(bucket, key, version).await
    }

    async fn set_tags(&self, bucket: &Bucket, key: &Key, tags: &Tags) -> Result<()> {
        self.store.set_tags(bucket, key, tags).await
    }

    async fn pass_through(&self, request: Passthrough) -> Result<Option<PassthroughAnswer>> {
        self.store.pass_through(request).await
    }

    fn disk(&self) -> Option<Disk> {
        self.store.disk()
    }

    fn reserves(&self, bucket: &str) -> bool {
        self.store.reserves(bucket)
    }

    async fn inspect_server(&self) -> Option<ServerFacts> {
        self.store.inspect_server().await
    }

    fn stores_checksum(&self, algorithm: Algorithm) -> bool {
        self.store.stores_checksum(algorithm)
    }

    async fn keeps_versions(&self, bucket: &Bucket) -> Result<bool> {
        self.store.keeps_versions(bucket).await
    }
}
