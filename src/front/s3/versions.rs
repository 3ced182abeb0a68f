//! ListObjectVersions.
//!
//! Guarantees: an S3 store answers with its own versions; a store without versions has one of each
//! object, `null`. Needs the grant that a listing of the same prefix needs: who may read an object
//! may read its versions by their ids too. No version outside of the prefix is shown, whatever the
//! store makes of the marker. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>.

use http::Method;

use super::error::S3Error;
use super::list::{ListRequest, class_of, list_request, owner_of};
use super::pass_through::without_document;
use super::xml::{Xml, timestamp};
use super::{AuthedRequest, HandlerResult, S3Api, checksums, xml_reply};
use crate::accounts::Access;
use crate::object::{Level, NULL_VERSION, Operation, Page};

/// Where a page begins.
struct Markers {
    key: String,
    version: String,
}

impl S3Api {
    pub(super) async fn list_versions(&self, request: AuthedRequest) -> HandlerResult {
        let mut list = list_request(&request)?;
        let prefix = &list.options.prefix;
        if !request.identity.allows(Access::Read, &request.target.bucket, prefix) {
            return Err(S3Error::denied());
        }
        let text = |name: &str| request.query.get(name).unwrap_or_default().to_owned();
        let markers = Markers { key: text("key-marker"), version: text("version-id-marker") };
        if markers.key.is_empty() && !markers.version.is_empty() {
            let message = "A version-id marker cannot be specified without a key marker.";
            return Err(S3Error::invalid(message));
        }
        // A marker before the prefix begins the page with the prefix, one behind it ends the
        // listing. Some servers show the keys after the marker instead.
        if !markers.key.starts_with(prefix.as_str()) && markers.key > *prefix {
            self.shared.objects.find_bucket(&request.target.bucket).await?;
            return Ok(xml_reply(document(&request, &list, &markers, &Page::default())));
        }
        let is_before = !markers.key.is_empty() && !markers.key.starts_with(prefix.as_str());
        let operation = Operation::find(&Method::GET, Level::Bucket, "versions")
            .ok_or_else(|| S3Error::not_implemented("GET of ?versions"))?;
        let unsent: &[&str] = if is_before { &["key-marker", "version-id-marker"] } else { &[] };
        let passthrough = without_document(operation, &request, unsent);
        if let Some(reply) = self.send_through(passthrough).await? {
            return Ok(reply);
        }
        if !matches!(&*markers.version, "" | NULL_VERSION) {
            return Err(S3Error::invalid("Invalid version id specified"));
        }
        list.options.after = Some(markers.key.clone()).filter(|key| !key.is_empty());
        let page = self.page(&request, &list).await?;
        Ok(xml_reply(document(&request, &list, &markers, &page)))
    }
}

/// The listing of a store without versions.
fn document(request: &AuthedRequest, list: &ListRequest, markers: &Markers, page: &Page) -> String {
    let mut xml = Xml::new("ListVersionsResult");
    xml.element("Name", &request.target.bucket)
        .element("Prefix", list.name(&list.options.prefix))
        .element("KeyMarker", list.name(&markers.key))
        .element("VersionIdMarker", &markers.version);
    if let Some(next) = page.next.as_ref().map(|next| next.after.as_str()) {
        xml.element("NextKeyMarker", list.name(next));
        // After a rolled-up prefix there is no version to begin at.
        if page.objects.last().is_some_and(|object| object.key.as_str() == next) {
            xml.element("NextVersionIdMarker", NULL_VERSION);
        }
    }
    xml.element("MaxKeys", list.max_keys);
    xml.maybe("Delimiter", list.options.delimiter.as_deref().map(|text| list.name(text)));
    if list.url_encoded {
        xml.element("EncodingType", "url");
    }
    xml.element("IsTruncated", page.next.is_some());
    for object in &page.objects {
        xml.open("Version")
            .element("Key", list.name(object.key.as_str()))
            .element("VersionId", NULL_VERSION)
            .element("IsLatest", true)
            .element("LastModified", timestamp(object.modified))
            .element("ETag", format_args!("\"{}\"", object.etag));
        checksums::write_listed(&mut xml, object);
        xml.element("Size", object.size_bytes).element("StorageClass", class_of(object));
        xml.account("Owner", owner_of(request));
        xml.close();
    }
    for prefix in &page.prefixes {
        xml.open("CommonPrefixes").element("Prefix", list.name(prefix)).close();
    }
    xml.finish()
}
