//! ListObjects and ListObjectsV2.
//!
//! Guarantees: keys are in the order of the store, which is S3's byte order on the embedded one; a
//! page says where the next one begins, with what the store itself needs to continue, and keeps no
//! state in the gateway. A continuation token of another listing is refused. The checksum that is
//! named of an object is the one that GetObject gives, in front of an S3 server that server's own.
//! Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>.

use std::borrow::Cow;

use percent_encoding::utf8_percent_encode;

use super::attributes::DEFAULT_STORAGE_CLASS;
use super::error::S3Error;
use super::xml::{Xml, timestamp};
use super::{AuthedRequest, HandlerResult, S3Api, checksums, token, xml_reply};
use crate::accounts::Access;
use crate::object::{ListApi, ListOptions, Listed, Page};
use crate::sigv4::URI_PATH;

const MAX_KEYS: usize = 1000;
/// The largest number that S3 takes for a limit.
const MAX_INTEGER: u32 = i32::MAX as u32;

/// The parameters that both versions have.
pub(super) struct ListRequest {
    pub options: ListOptions,
    pub max_keys: usize,
    pub url_encoded: bool,
}

impl ListRequest {
    /// A key, prefix or marker as the response shows it.
    pub fn name<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.url_encoded { utf8_percent_encode(text, URI_PATH).into() } else { text.into() }
    }
}

impl S3Api {
    pub(super) async fn list_objects(&self, request: AuthedRequest) -> HandlerResult {
        let mut list = list_request(&request)?;
        let marker = request.query.get("marker").unwrap_or_default().to_owned();
        list.options.after = Some(marker.clone()).filter(|marker| !marker.is_empty());
        list.options.api = ListApi::V1;
        let page = self.page(&request, &list).await?;
        let mut xml = Xml::new("ListBucketResult");
        xml.element("Name", &request.target.bucket)
            .element("Prefix", list.name(&list.options.prefix));
        xml.element("Marker", list.name(&marker));
        write_page(&mut xml, &list, &page, Some(owner_of(&request)));
        let last = page.objects.last().map(|object| object.key.as_str());
        // S3 sends it only with a delimiter; otherwise clients use the last key. Where the store
        // would not continue behind that key, they must not.
        let marker = page.next.as_ref().map(|next| next.after.as_str());
        let marker =
            marker.filter(|marker| list.options.delimiter.is_some() || last != Some(*marker));
        xml.maybe("NextMarker", marker.map(|marker| list.name(marker)));
        Ok(xml_reply(xml.finish()))
    }

    pub(super) async fn list_objects_v2(&self, request: AuthedRequest) -> HandlerResult {
        let mut list = list_request(&request)?;
        let token = request.query.get("continuation-token").filter(|token| !token.is_empty());
        let start_after = request.query.get("start-after").filter(|after| !after.is_empty());
        let bucket = &request.target.bucket;
        match token {
            Some(token) => {
                let next = token::read(token, bucket, &list.options);
                list.options.continue_at(next.ok_or_else(|| {
                    S3Error::invalid("The continuation token provided is incorrect")
                        .with_element("ArgumentName", "continuation-token")
                })?);
            }
            None => list.options.after = start_after.map(str::to_owned),
        }
        let page = self.page(&request, &list).await?;
        let mut xml = Xml::new("ListBucketResult");
        xml.element("Name", &request.target.bucket)
            .element("Prefix", list.name(&list.options.prefix));
        xml.maybe("StartAfter", start_after.map(|after| list.name(after)));
        xml.maybe("ContinuationToken", token);
        xml.element("KeyCount", page.objects.len() + page.prefixes.len());
        let with_owner = request.query.get("fetch-owner") == Some("true");
        write_page(&mut xml, &list, &page, with_owner.then(|| owner_of(&request)));
        xml.maybe(
            "NextContinuationToken",
            page.next.as_ref().map(|next| token::write(next, bucket, &list.options)),
        );
        Ok(xml_reply(xml.finish()))
    }

    pub(super) async fn page(
        &self,
        request: &AuthedRequest,
        list: &ListRequest,
    ) -> Result<Page, S3Error> {
        if !request.identity.allows(Access::Read, &request.target.bucket, &list.options.prefix) {
            return Err(S3Error::denied());
        }
        let bucket = request.target.bucket.clone();
        if list.max_keys == 0 {
            self.shared.objects.find_bucket(&bucket).await?;
            return Ok(Page::default());
        }
        Ok(self.shared.objects.list(&bucket, &list.options).await?)
    }
}

/// **Errors**: `InvalidArgument`.
pub(super) fn list_request(request: &AuthedRequest) -> Result<ListRequest, S3Error> {
    let text = |name: &str| request.query.get(name).filter(|text| !text.is_empty());
    let max_keys = page_limit(text("max-keys"), "max-keys")?;
    let options = ListOptions {
        prefix: text("prefix").unwrap_or_default().to_owned(),
        delimiter: text("delimiter").map(str::to_owned),
        limit: max_keys,
        ..ListOptions::default()
    };
    Ok(ListRequest { options, max_keys, url_encoded: is_url_encoded(request)? })
}

/// A limit of a listing: at most 1,000, which is also the default. **Errors**: `InvalidArgument`.
pub(super) fn page_limit(text: Option<&str>, name: &'static str) -> Result<usize, S3Error> {
    page_limit_or(text, MAX_KEYS, MAX_KEYS, name)
}

/// A number that S3 reads as an `int`, and of which more than `max` mean `max`. **Errors**:
/// `InvalidArgument`.
pub(super) fn page_limit_or(
    text: Option<&str>,
    max: usize,
    default: usize,
    name: &'static str,
) -> Result<usize, S3Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(default) };
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse::<u32>().ok().filter(|number| is_number && *number <= MAX_INTEGER);
    number.map(|number| max.min(number as usize)).ok_or_else(|| {
        let message = if text.parse::<i32>().is_ok() {
            format!("Argument {name} must be an integer between 0 and {MAX_INTEGER}")
        } else {
            format!("Provided {name} not an integer or within integer range")
        };
        S3Error::invalid(message).with_argument(name, Some(text))
    })
}

/// Whether the request asks for percent-encoded names. **Errors**: `InvalidArgument`.
pub(super) fn is_url_encoded(request: &AuthedRequest) -> Result<bool, S3Error> {
    match request.query.get("encoding-type").filter(|text| !text.is_empty()) {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("url") => Ok(true),
        Some(_) => Err(S3Error::invalid("encoding-type must be url")),
    }
}

/// A name as `encoding-type=url` shows it.
pub(super) fn url_encoded(text: &str) -> String {
    utf8_percent_encode(text, URI_PATH).to_string()
}

/// The owner of the objects that a request lists: to each account what it sees is its own, as in
/// the answers for buckets, access control lists and uploads.
pub(super) fn owner_of(request: &AuthedRequest) -> &str {
    request.identity.account_name().as_str()
}

/// The storage class of a listed object.
pub(super) fn class_of(object: &Listed) -> &str {
    object.storage_class.as_deref().unwrap_or(DEFAULT_STORAGE_CLASS)
}

/// Writes what both versions have after their own elements.
fn write_page(xml: &mut Xml, list: &ListRequest, page: &Page, owner: Option<&str>) {
    xml.element("MaxKeys", list.max_keys);
    xml.maybe("Delimiter", list.options.delimiter.as_deref().map(|text| list.name(text)));
    if list.url_encoded {
        xml.element("EncodingType", "url");
    }
    xml.element("IsTruncated", page.next.is_some());
    for object in &page.objects {
        xml.open("Contents").element("Key", list.name(object.key.as_str()));
        xml.element("LastModified", timestamp(object.modified))
            .element("ETag", format_args!("\"{}\"", object.etag));
        checksums::write_listed(xml, object);
        xml.element("Size", object.size_bytes).element("StorageClass", class_of(object));
        if let Some(owner) = owner {
            xml.account("Owner", owner);
        }
        xml.close();
    }
    for prefix in &page.prefixes {
        xml.open("CommonPrefixes").element("Prefix", list.name(prefix)).close();
    }
}
