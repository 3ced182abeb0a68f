//! CopyObject and UploadPartCopy.
//!
//! Guarantees: the source is read with the rights of the request's sender; a copy of an object onto
//! itself that would change nothing is refused, as S3 does; every condition, on source and target,
//! is evaluated. `object` makes the copy. Source: docs/architecture.md#copies,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>,
//! `API_UploadPartCopy.html`.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::conditions::{self, COPY_SOURCE_CONDITIONS};
use super::copy_source::{self, COPY_SOURCE, COPY_SOURCE_RANGE, CopySource};
use super::error::S3Error;
use super::part::part_number;
use super::xml::{Xml, timestamp};
use super::{AuthedRequest, HandlerResult, S3Api, attributes, tagging, validate, xml_reply};
use crate::accounts::Access;
use crate::digest::Checksum;
use crate::header_names::{CHECKSUM_ALGORITHM, VERSION_ID};
use crate::object::{CopyError, CopyFrom, CopyTo, ObjectName, PutMode, StoreKind};
use crate::upload::ChecksumKind;
use crate::web::{Reply, named_algorithm};

const SOURCE_VERSION_ID: HeaderName = HeaderName::from_static("x-amz-copy-source-version-id");

const DIRECTIVE: &str = "x-amz-metadata-directive";

/// Headers that change an object which is copied onto itself with its metadata kept. Source: the
/// message of S3's `InvalidRequest`.
const CHANGES_OF_ITSELF: [HeaderName; 7] = [
    HeaderName::from_static("x-amz-storage-class"),
    HeaderName::from_static("x-amz-website-redirect-location"),
    HeaderName::from_static("x-amz-server-side-encryption"),
    HeaderName::from_static("x-amz-server-side-encryption-aws-kms-key-id"),
    HeaderName::from_static("x-amz-server-side-encryption-context"),
    HeaderName::from_static("x-amz-server-side-encryption-bucket-key-enabled"),
    HeaderName::from_static("x-amz-server-side-encryption-customer-algorithm"),
];

impl S3Api {
    pub(super) async fn copy_object(&self, request: AuthedRequest) -> HandlerResult {
        let source = source(&request)?;
        request.require(Access::Write)?;
        request.require_owner("x-amz-source-expected-bucket-owner")?;
        let headers = &request.head.headers;
        self.require_readable(&request, &source)?;
        let replaces = replaces_metadata(&request)?;
        let tags = tagging::of_copy(&request)?;
        let algorithm = named_algorithm(headers, &CHECKSUM_ALGORITHM)?;
        let target = &request.target;
        let is_itself = source.bucket == target.bucket && source.key == target.key;
        if is_itself && !replaces && source.version.is_none() && !changes_itself(headers) {
            return Err(S3Error::invalid_request(
                "This copy request is illegal because it is trying to copy an object to itself \
                 without changing the object's metadata, storage class, website redirect location \
                 or encryption attributes.",
            ));
        }
        let attributes = attributes::read(headers)?;
        self.shared.objects.require_server_side(&target.bucket, &attributes).await?;
        let mode = conditions::write_mode(headers)?;
        let expects_object = matches!(mode, PutMode::IfMatch(_));
        let to = CopyTo {
            bucket: &target.bucket,
            key: &target.key,
            mode,
            replaces,
            attributes,
            tags,
            algorithm,
            account: request.identity.account_name().clone(),
        };
        let from = copy_from(&request, &source);
        let copied = match self.shared.objects.copy(&from, to).await {
            Ok(copied) => copied,
            Err(CopyError::Store(error))
                if error.kind() == StoreKind::Precondition && expects_object =>
            {
                return Err(self.not_found_or(&target.bucket, &target.key, error.into()).await);
            }
            Err(error) => return Err(error.into()),
        };
        let mut xml = Xml::new("CopyObjectResult");
        xml.element("LastModified", timestamp(self.shared.clock.wall()))
            .element("ETag", format!("\"{}\"", copied.written.etag));
        if let Some(checksum) = &copied.checksum {
            xml.element("ChecksumType", ChecksumKind::FullObject.name());
            element(&mut xml, checksum);
        }
        let mut reply = xml_reply(xml.finish());
        set(&mut reply, SOURCE_VERSION_ID, copied.source_version.as_deref());
        set(&mut reply, VERSION_ID, copied.written.version.as_deref());
        Ok(reply)
    }

    pub(super) async fn upload_part_copy(&self, request: AuthedRequest) -> HandlerResult {
        let source = source(&request)?;
        let number = part_number(&request)?;
        request.require(Access::Write)?;
        request.require_owner("x-amz-source-expected-bucket-owner")?;
        self.require_readable(&request, &source)?;
        let span = request.header(COPY_SOURCE_RANGE).map(copy_source::range).transpose()?;
        let session = self.upload_of(&request, Access::Write).await?;
        let from = copy_from(&request, &source);
        let copied = self.shared.objects.copy_part(&from, span, (&session, number)).await?;
        self.shared.metrics.chunk_stored();
        let mut xml = Xml::new("CopyPartResult");
        xml.element("LastModified", timestamp(self.shared.clock.wall()))
            .element("ETag", format!("\"{}\"", copied.written));
        if let Some(checksum) = &copied.checksum {
            element(&mut xml, checksum);
        }
        let mut reply = xml_reply(xml.finish());
        set(&mut reply, SOURCE_VERSION_ID, copied.source_version.as_deref());
        Ok(reply)
    }

    /// Checks that the sender may read the source. **Errors**: `AccessDenied`, and those of
    /// `require_bucket` and `validate::key`.
    fn require_readable(
        &self,
        request: &AuthedRequest,
        source: &CopySource,
    ) -> Result<(), S3Error> {
        self.require_bucket(&source.bucket)?;
        validate::key(&source.key)?;
        if request.identity.allows(Access::Read, &source.bucket, &source.key) {
            Ok(())
        } else {
            Err(S3Error::denied())
        }
    }
}

/// The source of a copy, before anything else of the request is looked at. **Errors**:
/// `InvalidArgument`, `NotImplemented`.
fn source(request: &AuthedRequest) -> Result<CopySource, S3Error> {
    copy_source::parse(request.header(COPY_SOURCE).unwrap_or_default())
}

fn copy_from<'a>(request: &'a AuthedRequest, source: &'a CopySource) -> CopyFrom<'a> {
    CopyFrom {
        name: ObjectName {
            account: request.identity.account_name(),
            bucket: &source.bucket,
            key: &source.key,
            version: source.version.as_deref(),
        },
        conditions: conditions::parse(&request.head.headers, &COPY_SOURCE_CONDITIONS),
    }
}

/// **Errors**: `InvalidArgument`.
fn replaces_metadata(request: &AuthedRequest) -> Result<bool, S3Error> {
    match request.header(DIRECTIVE) {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => {
            Err(S3Error::invalid("Unknown metadata directive.")
                .with_argument(DIRECTIVE, Some(other)))
        }
    }
}

fn changes_itself(headers: &HeaderMap) -> bool {
    CHANGES_OF_ITSELF.iter().any(|name| headers.contains_key(name))
}

fn element(xml: &mut Xml, checksum: &Checksum) {
    xml.element(&format!("Checksum{}", checksum.algorithm()), checksum.base64());
}

fn set(reply: &mut Reply, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        reply.headers_mut().insert(name, value);
    }
}
