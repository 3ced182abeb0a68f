//! GetObjectAttributes.
//!
//! Guarantees: all that is asked is answered, as far as the object has it; an unknown attribute is
//! refused. Parts are numbered as `partNumber` of GetObject numbers them. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html>.

use http::{HeaderValue, header};

use super::error::S3Error;
use super::get::{header_value, object_name};
use super::list::page_limit;
use super::xml::Xml;
use super::{AuthedRequest, HandlerResult, S3Api, attributes, checksums, xml_reply};
use crate::accounts::Access;
use crate::header_names::VERSION_ID;
use crate::object::ObjectAttributes;

/// The attributes that a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    etag: bool,
    checksum: bool,
    parts: bool,
    storage_class: bool,
    size: bool,
}

impl Asked {
    /// **Errors**: `InvalidArgument` for an unknown attribute, `InvalidRequest` for none.
    fn parse(names: &str) -> Result<Self, S3Error> {
        let mut asked = Self::default();
        for name in names.split(',').map(str::trim) {
            match name {
                "ETag" => asked.etag = true,
                "Checksum" => asked.checksum = true,
                "ObjectParts" => asked.parts = true,
                "StorageClass" => asked.storage_class = true,
                "ObjectSize" => asked.size = true,
                "" => {}
                _ => return Err(S3Error::invalid("Invalid attribute name specified.")),
            }
        }
        if asked != Self::default() {
            return Ok(asked);
        }
        Err(S3Error::invalid_request(
            "The x-amz-object-attributes header specifying the attributes to be retrieved is \
             either missing or empty",
        ))
    }
}

/// A page of the parts.
#[derive(Clone, Copy, Debug)]
struct PartsPage {
    limit: usize,
    after: usize,
}

impl S3Api {
    pub(super) async fn object_attributes(&self, request: AuthedRequest) -> HandlerResult {
        request.require(Access::Read)?;
        // The header may have several lines (RFC 9110 §5.3).
        let names = request.head.headers.get_all("x-amz-object-attributes").iter();
        let names: Vec<&str> = names.map(|value| value.to_str().unwrap_or("?")).collect();
        let asked = match Asked::parse(&names.join(",")) {
            Ok(asked) => asked,
            Err(refused) => {
                // As at S3, a missing bucket comes first.
                self.shared.objects.find_bucket(&request.target.bucket).await?;
                return Err(refused);
            }
        };
        let page = PartsPage {
            limit: page_limit(request.header("x-amz-max-parts"), "x-amz-max-parts")?,
            after: marker(request.header("x-amz-part-number-marker"))?,
        };
        let object = object_name(&request)?;
        let found = self.shared.objects.attributes(object, asked.checksum, asked.parts).await?;
        let head = &found.stored.head;
        let mut xml = Xml::new("GetObjectAttributesResponse");
        if asked.etag {
            xml.element("ETag", &head.etag);
        }
        if let Some(checksum) = &found.checksum {
            checksums::write_without_count(xml.open("Checksum"), checksum);
            xml.close();
        }
        if !found.parts.is_empty() {
            write_parts(&mut xml, &found, page);
        }
        if asked.storage_class {
            xml.element("StorageClass", attributes::storage_class(&head.attributes.headers));
        }
        if asked.size {
            xml.element("ObjectSize", head.size_bytes);
        }
        let mut reply = xml_reply(xml.finish());
        let headers = reply.headers_mut();
        let modified = httpdate::fmt_http_date(head.modified);
        headers.insert(header::LAST_MODIFIED, header_value(&modified));
        if let Some(version) = &head.version
            && let Ok(version) = HeaderValue::from_str(version)
        {
            headers.insert(VERSION_ID, version);
        }
        Ok(reply)
    }
}

/// **Errors**: `InvalidArgument`.
fn marker(text: Option<&str>) -> Result<usize, S3Error> {
    let marker = text.filter(|text| !text.is_empty()).map_or(Ok(0), str::parse::<u32>);
    let marker = marker.ok().and_then(|marker| usize::try_from(marker).ok());
    marker.ok_or_else(|| S3Error::invalid("x-amz-part-number-marker is not a number"))
}

fn write_parts(xml: &mut Xml, found: &ObjectAttributes, page: PartsPage) {
    let count = found.parts.len();
    let first = page.after.min(count);
    let end = first.saturating_add(page.limit).min(count);
    xml.open("ObjectParts").element("PartsCount", count);
    xml.element("PartNumberMarker", page.after).element("MaxParts", page.limit);
    xml.element("NextPartNumberMarker", end.max(page.after));
    // A page of no parts is not continued: it would be asked for again and again.
    xml.element("IsTruncated", end < count && end > first);
    for (at, part) in found.parts.iter().enumerate().take(end).skip(first) {
        xml.open("Part").element("PartNumber", at + 1).element("Size", part.size_bytes);
        let checksum = found.algorithm.and_then(|algorithm| part.record.checksum(algorithm));
        if let Some(checksum) = checksum {
            checksums::write_part(xml, &checksum);
        }
        xml.close();
    }
    xml.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_named_exactly() {
        let asked = Asked::parse("ETag, ObjectSize").unwrap();
        assert_eq!(asked, Asked { etag: true, size: true, ..Asked::default() });
        for (names, code) in [
            ("", "InvalidRequest"),
            (" ,", "InvalidRequest"),
            ("ETag,etag", "InvalidArgument"),
            ("Invalid_argument", "InvalidArgument"),
        ] {
            assert_eq!(Asked::parse(names).unwrap_err().code, code, "{names:?}");
        }
    }
}
