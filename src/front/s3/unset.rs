//! What S3 answers to reads and deletes of settings that nobody set, and to those of a store that
//! has no such settings.
//!
//! Guarantees: the bucket or object exists; the answer is true of it: there is no policy, no
//! lifecycle, no encryption, and only the owner has access. Source: the pages of the operations,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.

use http::{Method, StatusCode};

use super::error::S3Error;
use super::xml::Xml;
use super::{AuthedRequest, HandlerResult, S3Api, empty_reply, tagging, xml_reply};
use crate::object::{GetOptions, GetRange, Level, Operation, Tags};

/// What stands in for a setting that nobody set.
#[derive(Clone, Copy, Debug)]
enum Unset {
    /// 404 with this code and message.
    Absent(&'static str, &'static str),
    /// An empty document with this root.
    Empty(&'static str),
    /// A list with this root; 404 `NoSuchConfiguration` for a single one by its id.
    NoneOf(&'static str),
}

/// The settings of buckets that a single row answers.
const OF_BUCKETS: &[(&str, Unset)] = &[
    ("accelerate", Unset::Empty("AccelerateConfiguration")),
    ("analytics", Unset::NoneOf("ListBucketAnalyticsConfigurationResult")),
    (
        "encryption",
        Unset::Absent(
            "ServerSideEncryptionConfigurationNotFoundError",
            "The server side encryption configuration was not found",
        ),
    ),
    ("intelligent-tiering", Unset::NoneOf("ListBucketIntelligentTieringConfigurationsOutput")),
    ("inventory", Unset::NoneOf("ListInventoryConfigurationsResult")),
    (
        "lifecycle",
        Unset::Absent("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
    ),
    ("logging", Unset::Empty("BucketLoggingStatus")),
    ("metrics", Unset::NoneOf("ListMetricsConfigurationsResult")),
    ("notification", Unset::Empty("NotificationConfiguration")),
    (
        "object-lock",
        Unset::Absent(
            "ObjectLockConfigurationNotFoundError",
            "Object Lock configuration does not exist for this bucket.",
        ),
    ),
    (
        "ownershipControls",
        Unset::Absent(
            "OwnershipControlsNotFoundError",
            "The bucket ownership controls were not found.",
        ),
    ),
    ("policy", Unset::Absent("NoSuchBucketPolicy", "The bucket policy does not exist.")),
    ("policyStatus", Unset::Absent("NoSuchBucketPolicy", "The bucket policy does not exist.")),
    (
        "publicAccessBlock",
        Unset::Absent(
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
        ),
    ),
    (
        "replication",
        Unset::Absent(
            "ReplicationConfigurationNotFoundError",
            "The replication configuration was not found",
        ),
    ),
    (
        "website",
        Unset::Absent(
            "NoSuchWebsiteConfiguration",
            "The specified bucket does not have a website configuration",
        ),
    ),
];

impl S3Api {
    /// The answer to a read of a setting that nobody set. **Errors**: S3's for it; `NotImplemented`
    /// where there is no true answer.
    pub(super) fn read_unset(
        &self,
        operation: &Operation,
        request: &AuthedRequest,
    ) -> HandlerResult {
        match (operation.level, operation.subresource) {
            (_, "acl") => Ok(owner_acl(request.identity.account_name())),
            (Level::Object, "tagging") => Ok(tagging::reply(&Tags::default())),
            (Level::Bucket, "tagging") => Err(tagging::no_tags()),
            (Level::Object, "legal-hold" | "retention") => Err(no_lock()),
            (Level::Bucket, "requestPayment") => {
                let mut xml = Xml::new("RequestPaymentConfiguration");
                xml.element("Payer", "BucketOwner");
                Ok(xml_reply(xml.finish()))
            }
            (Level::Bucket, name) => match OF_BUCKETS.iter().find(|(known, _)| *known == name) {
                Some((_, unset)) => unset.answer(request.query.get("id").is_some()),
                None => Err(refused(operation)),
            },
            (Level::Object, _) => Err(refused(operation)),
        }
    }

    /// **Errors**: `NoSuchBucket`, `NoSuchKey`, `NoSuchVersion`.
    pub(super) async fn require_target(
        &self,
        level: Level,
        request: &AuthedRequest,
    ) -> Result<(), S3Error> {
        let (bucket, key) = (&request.target.bucket, &request.target.key);
        match level {
            Level::Bucket => self.shared.objects.find_bucket(bucket).await?,
            Level::Object => {
                let version = request.query.get("versionId").filter(|id| *id != "null");
                let options =
                    GetOptions { version: version.map(str::to_owned), ..GetOptions::default() };
                self.shared.objects.get(bucket, key, GetRange::Head, options).await?;
            }
        }
        Ok(())
    }
}

impl Unset {
    fn answer(self, by_id: bool) -> HandlerResult {
        match self {
            Self::Absent(code, message) => Err(S3Error::new(StatusCode::NOT_FOUND, code, message)),
            Self::NoneOf(_) if by_id => Err(no_configuration()),
            Self::NoneOf(root) => {
                let mut xml = Xml::new(root);
                xml.element("IsTruncated", false);
                Ok(xml_reply(xml.finish()))
            }
            Self::Empty(root) => Ok(xml_reply(Xml::new(root).finish())),
        }
    }
}

/// The answer to the removal of a setting that nobody can have set. **Errors**:
/// `NoSuchConfiguration`.
pub fn delete_unset(operation: &Operation) -> HandlerResult {
    let row = OF_BUCKETS.iter().find(|(known, _)| *known == operation.subresource);
    match row {
        Some((_, Unset::NoneOf(_))) => Err(no_configuration()),
        Some((_, Unset::Absent(..) | Unset::Empty(_))) | None => {
            Ok(empty_reply(StatusCode::NO_CONTENT))
        }
    }
}

fn no_configuration() -> S3Error {
    let message = "The specified configuration does not exist";
    S3Error::new(StatusCode::NOT_FOUND, "NoSuchConfiguration", message)
}

/// The error for a lock of an object in a bucket without object lock.
pub fn no_lock() -> S3Error {
    S3Error::invalid_request("Bucket is missing Object Lock Configuration")
}

/// The error for an operation that the store does not have.
pub fn refused(operation: &Operation) -> S3Error {
    S3Error::not_implemented(&format!("{} of ?{}", operation.method, operation.subresource))
}

/// Whether a server answers a read as if it did not have the operation at all.
pub fn is_unknown_to_server(method: &Method, status: u16) -> bool {
    *method == Method::GET && status == StatusCode::NOT_IMPLEMENTED.as_u16()
}

/// The ACL by which only the owner has access.
fn owner_acl(owner: &str) -> super::Reply {
    let mut xml = Xml::new("AccessControlPolicy");
    xml.account("Owner", owner).open("AccessControlList").open("Grant");
    xml.open_typed("Grantee", "CanonicalUser");
    xml.element("ID", owner).element("DisplayName", owner).close();
    xml.element("Permission", "FULL_CONTROL");
    xml_reply(xml.finish())
}
