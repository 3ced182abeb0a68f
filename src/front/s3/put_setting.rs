//! Settings that a client gives a bucket or object of a store that is no S3 server.
//!
//! Guarantees: success means that the setting applies from then on: it is kept, or it says what is
//! so anyway (a private ACL, no logging). Any other value is refused by name. Source: the pages of
//! the operations.

use std::collections::BTreeSet;

use http::StatusCode;

use super::document::elements;
use super::error::S3Error;
use super::unset::{delete_unset, no_lock, refused};
use super::xml::Xml;
use super::{AuthedRequest, HandlerResult, S3Api, acl, empty_reply, lock_configuration, xml_reply};
use crate::object::{Level, Operation};

const PUBLIC_ACCESS_BLOCKS: [&str; 4] =
    ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];

impl S3Api {
    /// Runs an operation that only S3 servers have on a store that is none.
    pub(super) async fn run_here(
        &self,
        operation: &Operation,
        request: &AuthedRequest,
        document: &[u8],
    ) -> HandlerResult {
        let version = request.query.get("versionId").filter(|id| *id != "null");
        self.require_target(operation.level, request).await?;
        if let Some(version) = version {
            let message = format!("there is no version {version:?} of the object");
            return Err(S3Error::new(StatusCode::NOT_FOUND, "NoSuchVersion", message));
        }
        let method = operation.method.as_str();
        match (operation.level, method, operation.subresource) {
            (Level::Object, _, "tagging") => self.object_tagging(request, document).await,
            (Level::Bucket, _, "tagging") => self.bucket_tagging(request, document).await,
            (Level::Bucket, _, "ownershipControls") => {
                self.ownership_controls(operation, request, document).await
            }
            (Level::Bucket, _, "publicAccessBlock") => {
                self.public_access_block(operation, request, document).await
            }
            (_, "GET", _) => self.read_unset(operation, request),
            (Level::Bucket, "DELETE", _) => delete_unset(operation),
            (_, "PUT", _) => {
                put_value_that_applies(operation, request, document)?;
                Ok(empty_reply(StatusCode::OK))
            }
            _ => Err(refused(operation)),
        }
    }

    /// A new bucket has S3's default, which is what applies here always.
    async fn ownership_controls(
        &self,
        operation: &Operation,
        request: &AuthedRequest,
        document: &[u8],
    ) -> HandlerResult {
        let (objects, bucket) = (&self.shared.objects, &request.target.bucket);
        let (removed, status) = match operation.method.as_str() {
            "GET" if objects.bucket_settings(bucket).await?.ownership_removed => {
                return self.read_unset(operation, request);
            }
            "GET" => {
                let mut xml = Xml::new("OwnershipControls");
                xml.open("Rule").element("ObjectOwnership", acl::OWNER_ENFORCED);
                return Ok(xml_reply(xml.finish()));
            }
            "PUT" => {
                let ownership =
                    single_text(document, "OwnershipControls", &["Rule", "ObjectOwnership"])?;
                acl::require_enforced(&ownership, S3Error::malformed_xml)?;
                (false, StatusCode::OK)
            }
            _ => (true, StatusCode::NO_CONTENT),
        };
        objects.change_bucket_settings(bucket, |kept| kept.ownership_removed = removed).await?;
        Ok(empty_reply(status))
    }

    /// Kept as it is set: whatever it blocks is never given here, and it gives nothing.
    async fn public_access_block(
        &self,
        operation: &Operation,
        request: &AuthedRequest,
        document: &[u8],
    ) -> HandlerResult {
        let (objects, bucket) = (&self.shared.objects, &request.target.bucket);
        let (blocks, status) = match operation.method.as_str() {
            "GET" => {
                let settings = objects.bucket_settings(bucket).await?;
                let Some(blocks) = &settings.public_access_block else {
                    return self.read_unset(operation, request);
                };
                let mut xml = Xml::new("PublicAccessBlockConfiguration");
                for name in PUBLIC_ACCESS_BLOCKS {
                    xml.element(name, blocks.contains(name));
                }
                return Ok(xml_reply(xml.finish()));
            }
            "PUT" => (Some(public_access_blocks(document)?), StatusCode::OK),
            _ => (None, StatusCode::NO_CONTENT),
        };
        let change = |kept: &mut crate::object::BucketSettings| {
            kept.public_access_block.clone_from(&blocks);
        };
        objects.change_bucket_settings(bucket, change).await?;
        Ok(empty_reply(status))
    }
}

/// **Errors**: `MalformedXML`.
fn public_access_blocks(document: &[u8]) -> Result<BTreeSet<String>, S3Error> {
    let mut blocks = BTreeSet::new();
    for (path, text) in elements(document, "PublicAccessBlockConfiguration")? {
        let is_known = matches!(&path[..], [name] if PUBLIC_ACCESS_BLOCKS.contains(&name.as_str()));
        match text.trim().to_ascii_lowercase().as_str() {
            "true" if is_known => {
                blocks.extend(path);
            }
            "false" if is_known => {}
            _ => return Err(S3Error::malformed_xml()),
        }
    }
    Ok(blocks)
}

/// **Errors**: `NotImplemented` for a value that does not apply anyway, which it names;
/// `InvalidRequest`, `InvalidBucketState` where S3 needs versions or locks first; `MalformedXML`.
fn put_value_that_applies(
    operation: &Operation,
    request: &AuthedRequest,
    document: &[u8],
) -> Result<(), S3Error> {
    match (operation.level, operation.subresource) {
        (_, "acl") => require_private(request, document),
        (Level::Object, "legal-hold" | "retention") => Err(no_lock()),
        (Level::Bucket, "object-lock") => {
            lock_configuration::check(document)?;
            Err(S3Error::new(
                StatusCode::CONFLICT,
                "InvalidBucketState",
                "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
            ))
        }
        (Level::Bucket, "versioning") => {
            let status = single_text(document, "VersioningConfiguration", &["Status"])?;
            match status.as_str() {
                "Enabled" | "Suspended" => Err(S3Error::not_implemented(&format!(
                    "the status {status:?} in a PUT of ?versioning"
                ))),
                _ => Err(S3Error::malformed_xml()),
            }
        }
        (Level::Bucket, "requestPayment") => {
            match single_text(document, "RequestPaymentConfiguration", &["Payer"])?.as_str() {
                "BucketOwner" => Ok(()),
                "Requester" => Err(S3Error::not_implemented("the payer \"Requester\"")),
                _ => Err(S3Error::malformed_xml()),
            }
        }
        (Level::Bucket, "logging") => require_empty(operation, document, "BucketLoggingStatus"),
        (Level::Bucket, "notification") => {
            require_empty(operation, document, "NotificationConfiguration")
        }
        (Level::Bucket | Level::Object, _) => Err(refused(operation)),
    }
}

fn require_empty(operation: &Operation, document: &[u8], root: &str) -> Result<(), S3Error> {
    match elements(document, root)?.first() {
        None => Ok(()),
        Some((path, _)) => Err(S3Error::not_implemented(&format!(
            "{:?} in a {} of ?{}",
            path.join("/"),
            operation.method,
            operation.subresource
        ))),
    }
}

/// The text of the only element of a document that is no parent of another. **Errors**:
/// `MalformedXML`.
fn single_text(document: &[u8], root: &str, path: &[&str]) -> Result<String, S3Error> {
    let mut found = None;
    for (element, text) in elements(document, root)? {
        if element == path && found.is_none() {
            found = Some(text.trim().to_owned());
        } else if element.len() >= path.len() || !path.starts_with(&as_texts(&element)) {
            return Err(S3Error::malformed_xml());
        }
    }
    found.ok_or_else(S3Error::malformed_xml)
}

fn as_texts(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// **Errors**: `AccessControlListNotSupported` for an ACL that gives anybody else access;
/// `InvalidArgument`, `MalformedACLError`, `MissingSecurityHeader`.
fn require_private(request: &AuthedRequest, document: &[u8]) -> Result<(), S3Error> {
    acl::check_object(&request.head.headers)?;
    match request.header("x-amz-acl") {
        Some(_) if !document.is_empty() => Err(S3Error::new(
            StatusCode::BAD_REQUEST,
            "UnexpectedContent",
            "This request does not support content.",
        )),
        Some(_) => Ok(()),
        None if document.is_empty() => Err(S3Error::new(
            StatusCode::BAD_REQUEST,
            "MissingSecurityHeader",
            "Your request was missing a required header.",
        )),
        None => require_owner_only(document, request.identity.account_name()),
    }
}

/// **Errors**: `AccessControlListNotSupported`, `MalformedACLError`.
fn require_owner_only(document: &[u8], owner: &str) -> Result<(), S3Error> {
    let malformed = || {
        let message = "the XML is not well formed, or not an access control policy";
        S3Error::new(StatusCode::BAD_REQUEST, "MalformedACLError", message)
    };
    let others = || acl::not_supported("an ACL with another grant than the owner's");
    let (mut grants, mut is_owner, mut is_full) = (0, false, false);
    for (path, text) in elements(document, "AccessControlPolicy").map_err(|_| malformed())? {
        match as_texts(&path)[..] {
            ["Owner", "ID"] if text != owner => return Err(others()),
            ["Owner"] | ["Owner", "ID" | "DisplayName"] | ["AccessControlList"] => {}
            ["AccessControlList", "Grant", "Grantee", "ID"] => is_owner = text == owner,
            ["AccessControlList", "Grant", "Grantee", "DisplayName"]
            | ["AccessControlList", "Grant", "Grantee"] => {}
            ["AccessControlList", "Grant", "Grantee", "URI" | "EmailAddress"] => {
                return Err(others());
            }
            ["AccessControlList", "Grant", "Permission"] => is_full = text == "FULL_CONTROL",
            ["AccessControlList", "Grant"] if is_owner && is_full => {
                (grants, is_owner, is_full) = (grants + 1, false, false);
            }
            ["AccessControlList", "Grant"] => return Err(others()),
            _ => return Err(malformed()),
        }
    }
    if grants == 0 { Err(others()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_acl_of_the_owner_alone_is_accepted() {
        let grant = |grantee: &str, permission: &str| {
            format!(
                "<Grant><Grantee>{grantee}</Grantee><Permission>{permission}</Permission></Grant>"
            )
        };
        let acl = |owner: &str, grants: String| {
            format!(
                "<AccessControlPolicy><Owner><ID>{owner}</ID></Owner>\
                 <AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
            )
        };
        let mine = grant("<ID>me</ID><DisplayName>me</DisplayName>", "FULL_CONTROL");
        let all = "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>";
        let table = [
            (acl("me", mine.clone()), None),
            (acl("you", mine.clone()), Some("AccessControlListNotSupported")),
            (acl("me", mine.clone() + &grant(all, "READ")), Some("AccessControlListNotSupported")),
            (acl("me", grant("<ID>me</ID>", "READ")), Some("AccessControlListNotSupported")),
            (
                acl("me", grant("<ID>you</ID>", "FULL_CONTROL")),
                Some("AccessControlListNotSupported"),
            ),
            (acl("me", mine + "<Grant></Grant>"), Some("AccessControlListNotSupported")),
            (acl("me", String::new()), Some("AccessControlListNotSupported")),
            ("<AccessControlPolicy><X/></AccessControlPolicy>".into(), Some("MalformedACLError")),
            ("x".into(), Some("MalformedACLError")),
        ];
        for (document, expected) in table {
            let code = require_owner_only(document.as_bytes(), "me").err().map(|error| error.code);
            assert_eq!(code, expected, "{document}");
        }
    }

    #[test]
    fn a_single_value_is_read_and_nothing_else() {
        let read = |text: &str| single_text(text.as_bytes(), "A", &["B", "C"]).ok();
        assert_eq!(read("<A><B>\n<C>x</C></B></A>").as_deref(), Some("x"));
        for bad in ["<A/>", "<A><B/></A>", "<A><B><C>x</C><C>y</C></B></A>", "<A><D>x</D></A>"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
