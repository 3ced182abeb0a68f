//! Multipart uploads: create, list parts, list uploads, abort. Each upload is a session.
//!
//! Guarantees: an upload of another account, or of another key, looks absent; an aborted one keeps
//! its parts for a successor, if that is enabled and its account uses at most half of its quota of
//! open uploads. Source: docs/architecture.md#s3-sessions, docs/architecture.md#abort-by-a-client.

use http::StatusCode;

use super::error::S3Error;
use super::list::{is_url_encoded, page_limit, page_limit_or, url_encoded};
use super::xml::{Xml, timestamp};
use super::{
    AuthedRequest, HandlerResult, S3Api, attributes, checksums, conditions, empty_reply, xml_reply,
};
use crate::accounts::Access;
use crate::upload::{Kind, NewUpload, OpenQuery, Root, Session};

impl S3Api {
    pub(super) async fn create_upload(&self, request: AuthedRequest) -> HandlerResult {
        request.require(Access::Write)?;
        let attributes = attributes::read(&request.head.headers)?;
        self.shared.objects.require_server_side(&request.target.bucket, &attributes).await?;
        let new = NewUpload {
            bucket: request.target.bucket.clone(),
            key: request.target.key.clone(),
            content_type: attributes.content_type,
            headers: attributes.headers,
            metadata: attributes.user,
            tags: attributes.tags,
            checksum: checksums::of_upload(&request.head.headers)?,
        };
        let session =
            self.shared.uploads.create_upload(request.identity.account_name(), new.clone()).await?;
        let mut xml = Xml::new("InitiateMultipartUploadResult");
        xml.element("Bucket", &request.target.bucket).element("Key", &request.target.key);
        xml.element("UploadId", &session.root().backup_id);
        let mut reply = xml_reply(xml.finish());
        let headers = reply.headers_mut();
        attributes::write_encryption(&new.headers, headers);
        if let Some((algorithm, kind)) = new.checksum {
            headers.insert(
                "x-amz-checksum-algorithm",
                http::HeaderValue::from_static(algorithm.name()),
            );
            headers.insert("x-amz-checksum-type", http::HeaderValue::from_static(kind.name()));
        }
        Ok(reply)
    }

    /// The session that `uploadId` names. As in S3, a missing bucket is named before a missing
    /// upload. **Errors**: `AccessDenied`, `NoSuchBucket`, `NoSuchUpload`.
    pub(super) async fn upload_of(
        &self,
        request: &AuthedRequest,
        access: Access,
    ) -> Result<Session, S3Error> {
        request.require(access)?;
        let id = request.query.get("uploadId").unwrap_or_default();
        let (account, target) = (request.identity.account_name(), &request.target);
        if id.len() <= MAX_ID_BYTES && is_id_or_marker(id) {
            let (uploads, id) = (&self.shared.uploads, id.into());
            match uploads.open_upload(account, &target.bucket, &target.key, &id).await {
                Err(error) if error.kind() == Kind::NoSuchBackup => {}
                opened => return Ok(opened?),
            }
        }
        // Only now, so that an upload that is there costs no look-up of its bucket.
        self.shared.objects.find_bucket(&target.bucket).await?;
        Err(S3Error::no_such_upload())
    }

    /// With a condition on the time of its creation, an upload that is not there is as good as
    /// aborted.
    pub(super) async fn abort_upload(&self, request: AuthedRequest) -> HandlerResult {
        let initiated = conditions::initiated(&request.head.headers)?;
        let session = match self.usable_upload(&request).await {
            Err(error) if initiated.is_some() && error.code == "NoSuchUpload" => {
                return Ok(empty_reply(StatusCode::NO_CONTENT));
            }
            found => found?,
        };
        let created_at = since_1970(session.root().created_at);
        if initiated.is_some_and(|initiated| initiated != created_at) {
            return Err(S3Error::precondition());
        }
        let reason = "aborted by its client";
        let crowded = self.shared.uploads.is_crowded(request.identity.account_name());
        if self.keeps_aborted_uploads && !crowded && session.root().s3.is_some() {
            session.abort_and_keep(reason).await?;
        } else {
            session.abort(reason).await?;
        }
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }

    /// **Errors**: those of `upload_of`, and `NoSuchUpload` for one that has ended.
    async fn usable_upload(&self, request: &AuthedRequest) -> Result<Session, S3Error> {
        let session = self.upload_of(request, Access::Write).await?;
        if session.root().status.is_usable() { Ok(session) } else { Err(S3Error::no_such_upload()) }
    }

    pub(super) async fn list_parts(&self, request: AuthedRequest) -> HandlerResult {
        let session = self.upload_of(&request, Access::Read).await?;
        if !session.root().status.is_usable() {
            return Err(S3Error::no_such_upload());
        }
        let limit = page_limit(request.query.get("max-parts"), "max-parts")?;
        let marker = request.query.get("part-number-marker").filter(|text| !text.is_empty());
        let marker = page_limit_or(marker, u16::MAX.into(), 0, "part-number-marker")?;
        let marker = u16::try_from(marker).unwrap_or(u16::MAX);
        let entries = session.part_entries().await?;
        let root = session.root();
        let after_marker: Vec<_> =
            entries.into_iter().filter(|entry| entry.number > marker).collect();
        let page = &after_marker[..limit.min(after_marker.len())];
        let mut xml = Xml::new("ListPartsResult");
        xml.element("Bucket", &request.target.bucket)
            .element("Key", &request.target.key)
            .element("UploadId", &root.backup_id);
        owner(&mut xml, &root);
        xml.element("StorageClass", storage_class(&root)).element("PartNumberMarker", marker);
        xml.element("NextPartNumberMarker", page.last().map_or(0, |entry| entry.number));
        let more = limit > 0 && page.len() < after_marker.len();
        xml.element("MaxParts", limit).element("IsTruncated", more);
        let checksum = root.s3.as_ref().and_then(|s3| s3.checksum);
        if let Some((algorithm, kind)) = checksum {
            xml.element("ChecksumAlgorithm", algorithm).element("ChecksumType", kind.name());
        }
        for entry in page {
            xml.open("Part").element("PartNumber", entry.number);
            let written_at = entry.record.part.written_at.unwrap_or(root.created_at);
            xml.element("LastModified", timestamp(since_1970(written_at)));
            xml.element("ETag", format!("\"{}\"", entry.etag)).element("Size", entry.size_bytes);
            if let Some(checksum) = checksums::of_part(entry, checksum) {
                checksums::write_part(&mut xml, &checksum);
            }
            xml.close();
        }
        Ok(xml_reply(xml.finish()))
    }

    pub(super) async fn list_uploads(&self, request: AuthedRequest) -> HandlerResult {
        let text = |name: &str| request.query.get(name).filter(|text| !text.is_empty());
        let prefix = text("prefix").unwrap_or_default();
        if !request.identity.allows(Access::Read, &request.target.bucket, prefix) {
            return Err(S3Error::denied());
        }
        self.shared.objects.find_bucket(&request.target.bucket).await?;
        let limit = page_limit(text("max-uploads"), "max-uploads")?;
        let encode = is_url_encoded(&request)?;
        let name = |text: &str| if encode { url_encoded(text) } else { text.to_owned() };
        let marker = (text("key-marker").unwrap_or_default(), text("upload-id-marker"));
        if let Some(id) = marker.1.filter(|id| !is_id_or_marker(id)) {
            return Err(S3Error::invalid("Invalid uploadId marker")
                .with_argument("upload-id-marker", Some(id)));
        }
        let query = OpenQuery {
            bucket: request.target.bucket.clone(),
            prefix: prefix.to_owned(),
            delimiter: text("delimiter").map(str::to_owned),
            key_marker: marker.0.into(),
            id_marker: marker.1.map(str::to_owned),
            limit,
        };
        let identity = &request.identity;
        let is_visible = |root: &Root| identity.allows(Access::Read, &root.bucket, &root.key);
        let page =
            self.shared.uploads.open_uploads(identity.account_name(), &query, is_visible).await?;
        let mut xml = Xml::new("ListMultipartUploadsResult");
        xml.element("Bucket", &request.target.bucket).element("KeyMarker", name(marker.0));
        xml.element("UploadIdMarker", marker.1.unwrap_or_default()).element("Prefix", name(prefix));
        xml.maybe("Delimiter", text("delimiter").map(name)).element("MaxUploads", limit);
        if encode {
            xml.element("EncodingType", "url");
        }
        xml.element("IsTruncated", page.next.is_some());
        if let Some((key, id)) = &page.next {
            xml.element("NextKeyMarker", name(key)).element("NextUploadIdMarker", id);
        }
        for root in &page.uploads {
            xml.open("Upload").element("Key", name(&root.key)).element("UploadId", &root.backup_id);
            owner(&mut xml, root);
            xml.element("StorageClass", storage_class(root));
            if let Some((algorithm, kind)) = root.s3.as_ref().and_then(|s3| s3.checksum) {
                xml.element("ChecksumAlgorithm", algorithm).element("ChecksumType", kind.name());
            }
            xml.element("Initiated", timestamp(since_1970(root.created_at))).close();
        }
        for prefix in &page.prefixes {
            xml.open("CommonPrefixes").element("Prefix", name(prefix)).close();
        }
        Ok(xml_reply(xml.finish()))
    }
}

/// Whether a text can be an upload id or a marker of this gateway: an id, optionally with a time
/// before it.
fn is_id_or_marker(text: &str) -> bool {
    const TIME_BYTES: usize = "000000000000-".len();
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=TIME_BYTES + MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
}

const MAX_ID_BYTES: usize = 64;

/// Writes `Initiator` and `Owner`.
fn owner(xml: &mut Xml, root: &Root) {
    for name in ["Initiator", "Owner"] {
        xml.account(name, &root.account);
    }
}

/// The storage class that an upload was created with.
fn storage_class(root: &Root) -> &str {
    root.s3
        .as_ref()
        .map_or(attributes::DEFAULT_STORAGE_CLASS, |s3| attributes::storage_class(&s3.headers))
}

fn since_1970(seconds: u64) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
}
