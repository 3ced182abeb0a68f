//! Control calls through the AWS SDK: buckets, deletion, and the steps of a multipart upload.
//!
//! Guarantees: no call is retried. A Complete with status 200 and an error in its body is an error
//! (the SDK parses it); a missing ETag in its response is returned as empty, and the caller asks
//! with HEAD.

use std::time::SystemTime;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, ChecksumAlgorithm, CompletedMultipartUpload,
    CompletedPart, CreateBucketConfiguration,
};

use super::super::{
    Attributes, Bucket, BucketInfo, ChosenPart, Completion, DeleteOptions, Deleted, ETag, Error,
    Key, Kind, PartNumber, PartPage, PutMode, Result, StoredPart, TagCondition, UploadId,
    UploadTarget, Written,
};
use super::error::from_sdk;
use super::objects::{Headers, metadata, require_inert_metadata, stated_headers};
use crate::digest::Sha256;

pub(super) async fn create_bucket(client: &Client, bucket: &Bucket, with_lock: bool) -> Result<()> {
    let mut call = client.create_bucket().bucket(bucket.as_str());
    if with_lock {
        call = call.object_lock_enabled_for_bucket(true);
    }
    let region = client.config().region().map(|region| region.as_ref().to_owned());
    if let Some(region) = region.filter(|region| region != "us-east-1") {
        let location = BucketLocationConstraint::from(region.as_str());
        call = call.create_bucket_configuration(
            CreateBucketConfiguration::builder().location_constraint(location).build(),
        );
    }
    call.send()
        .await
        .map(|_| ())
        .map_err(|error| from_sdk(&format!("creating bucket {bucket}"), error))
}

pub(super) async fn delete_bucket(client: &Client, bucket: &Bucket) -> Result<()> {
    let call = client.delete_bucket().bucket(bucket.as_str()).send().await;
    call.map(|_| ()).map_err(|error| from_sdk(&format!("deleting bucket {bucket}"), error))
}

pub(super) async fn list_buckets(client: &Client) -> Result<Vec<BucketInfo>> {
    let response = client
        .list_buckets()
        .send()
        .await
        .map_err(|error| from_sdk("listing the buckets", error))?;
    let info = |bucket: &aws_sdk_s3::types::Bucket| {
        Some(BucketInfo { bucket: bucket.name()?.into(), created: time(bucket.creation_date()) })
    };
    let mut buckets: Vec<BucketInfo> = response.buckets().iter().filter_map(info).collect();
    buckets.sort_by(|one, other| one.bucket.cmp(&other.bucket));
    Ok(buckets)
}

pub(super) async fn delete(
    client: &Client,
    bucket: &Bucket,
    key: &Key,
    options: &DeleteOptions,
) -> Result<Deleted> {
    let DeleteOptions { version, conditions, bypass_governance } = options;
    let mut call = client
        .delete_object()
        .bucket(bucket.as_str())
        .key(key.as_str())
        .set_version_id(version.clone())
        .set_bypass_governance_retention(bypass_governance.then_some(true));
    call = match &conditions.if_match {
        None => call,
        Some(TagCondition::Any) => call.if_match("*"),
        Some(TagCondition::Tag(tag)) => call.if_match(quoted(tag)),
    };
    call = call
        .set_if_match_last_modified_time(conditions.modified.map(Into::into))
        .set_if_match_size(conditions.size_bytes.and_then(|size| i64::try_from(size).ok()));
    match call.send().await {
        Ok(response) => Ok(Deleted {
            version: response.version_id().map(str::to_owned),
            delete_marker: response.delete_marker() == Some(true),
        }),
        Err(error) => match from_sdk(&format!("deleting {bucket}/{key}"), error) {
            error if error.kind() == Kind::NotFound && conditions.is_empty() => {
                Ok(Deleted::default())
            }
            error => Err(error),
        },
    }
}

pub(super) async fn create_upload(
    client: &Client,
    bucket: &Bucket,
    key: &Key,
    attributes: &Attributes,
) -> Result<UploadId> {
    require_inert_metadata(attributes)?;
    // The SDK sends text only.
    let is_text = |value: &String| *Attributes::bytes_of(value) == *value.as_bytes();
    if !attributes.user.values().chain(attributes.headers.values()).all(is_text) {
        return Err(Error::new(Kind::Invalid, "metadata of an upload must be UTF-8"));
    }
    let headers = stated_headers(attributes);
    let response = client
        .create_multipart_upload()
        .bucket(bucket.as_str())
        .key(key.as_str())
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .set_content_type(attributes.content_type.clone())
        .set_metadata(Some(metadata(attributes).into_iter().collect()))
        .set_tagging((!attributes.tags.is_empty()).then(|| attributes.tags.to_query()))
        .customize()
        .mutate_request(move |request| add_headers(request.headers_mut(), &headers))
        .send()
        .await
        .map_err(|error| from_sdk(&format!("creating an upload of {bucket}/{key}"), error))?;
    let id = response.upload_id().map(UploadId::from);
    id.ok_or_else(|| Error::unavailable(format!("the upload of {bucket}/{key} got no id")))
}

/// Adds headers to a request of the SDK before it is signed: the client's own text, which the SDK
/// would parse and write anew.
fn add_headers(to: &mut aws_smithy_runtime_api::http::Headers, headers: &Headers) {
    for (name, value) in headers {
        to.insert(name.clone(), value.clone());
    }
}

pub(super) async fn list_parts(
    client: &Client,
    target: UploadTarget<'_>,
    after: Option<PartNumber>,
) -> Result<PartPage> {
    let response = client
        .list_parts()
        .bucket(target.bucket.as_str())
        .key(target.key.as_str())
        .upload_id(target.upload.as_str())
        .set_part_number_marker(after.map(|after| after.to_string()))
        .send()
        .await
        .map_err(|error| {
            as_no_such_upload(from_sdk(&format!("listing the parts of {}", target.key), error))
        })?;
    let part = |part: &aws_sdk_s3::types::Part| {
        Some(StoredPart {
            number: PartNumber::new(u32::try_from(part.part_number()?).ok()?)?,
            etag: etag(part.e_tag()),
            size_bytes: bytes(part.size()),
            sha256: part.checksum_sha256().and_then(Sha256::from_base64),
        })
    };
    let parts: Vec<StoredPart> = response.parts().iter().filter_map(part).collect();
    let more = response.is_truncated() == Some(true);
    Ok(PartPage { next: parts.last().filter(|_| more).map(|part| part.number), parts })
}

pub(super) async fn complete(
    client: &Client,
    target: UploadTarget<'_>,
    parts: &[ChosenPart],
    completion: &Completion,
) -> Result<Written> {
    // Checksums of all parts or of none: if some parts have one, servers require all.
    let all_have_sha256 = parts.iter().all(|part| part.sha256.is_some());
    let part = |part: &ChosenPart| {
        CompletedPart::builder()
            .part_number(i32::from(part.number.get()))
            .e_tag(format!("\"{}\"", part.etag))
            .set_checksum_sha256(
                part.sha256.filter(|_| all_have_sha256).map(|sha256| sha256.base64()),
            )
            .build()
    };
    let parts = CompletedMultipartUpload::builder()
        .set_parts(Some(parts.iter().map(part).collect()))
        .build();
    let (if_match, if_none_match) = match &completion.mode {
        PutMode::Overwrite => (None, None),
        PutMode::CreateOnly => (None, Some("*".to_owned())),
        PutMode::IfMatch(tag) => (Some(quoted(tag)), None),
    };
    let response = client
        .complete_multipart_upload()
        .bucket(target.bucket.as_str())
        .key(target.key.as_str())
        .upload_id(target.upload.as_str())
        .set_mpu_object_size(i64::try_from(completion.size_bytes).ok())
        .set_if_match(if_match)
        .set_if_none_match(if_none_match)
        .multipart_upload(parts)
        .send()
        .await
        .map_err(|error| {
            let error = from_sdk(&format!("completing {}", target.key), error);
            // With `If-Match` it is the object that can be missing too.
            let named = matches!(completion.mode, PutMode::IfMatch(_));
            if named { error } else { as_no_such_upload(error) }
        })?;
    Ok(Written {
        etag: etag(response.e_tag()),
        version: response.version_id().map(str::to_owned),
        checksum: None,
    })
}

pub(super) async fn abort(client: &Client, target: UploadTarget<'_>) -> Result<()> {
    let call =
        client.abort_multipart_upload().bucket(target.bucket.as_str()).key(target.key.as_str());
    match call.upload_id(target.upload.as_str()).send().await {
        Ok(_) => Ok(()),
        Err(error) => {
            match as_no_such_upload(from_sdk(
                &format!("aborting the upload of {}", target.key),
                error,
            )) {
                error if error.kind() == Kind::NoSuchUpload => Ok(()),
                error => Err(error),
            }
        }
    }
}

pub(super) async fn keeps_versions(client: &Client, bucket: &Bucket) -> Result<bool> {
    let response = client.get_bucket_versioning().bucket(bucket.as_str()).send().await;
    let response = response
        .map_err(|error| from_sdk(&format!("asking for the versioning of {bucket}"), error))?;
    Ok(response.status() == Some(&BucketVersioningStatus::Enabled))
}

/// `NoSuchUpload` for a 404 without a code, where only the upload can be missing.
fn as_no_such_upload(error: Error) -> Error {
    if error.kind() == Kind::NotFound {
        return Error::new(Kind::NoSuchUpload, error.to_string()).because(error);
    }
    error
}

/// An ETag as conditions name it.
fn quoted(tag: &ETag) -> String {
    format!("\"{tag}\"")
}

fn etag(text: Option<&str>) -> ETag {
    ETag(text.unwrap_or_default().trim_matches('"').to_owned())
}

fn bytes(size: Option<i64>) -> u64 {
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
}

fn time(date: Option<&aws_sdk_s3::primitives::DateTime>) -> SystemTime {
    date.and_then(|date| SystemTime::try_from(*date).ok()).unwrap_or(SystemTime::UNIX_EPOCH)
}
