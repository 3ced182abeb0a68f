//! Conditions of a request, on the object as it is: `If-Match` and its kin.
//!
//! Guarantees: evaluated in the order of RFC 9110 §13.2.2; a date that cannot be read is no
//! condition. Pure. Source: RFC 9110 §13;
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>.

use std::time::SystemTime;

use http::header::{
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};

use super::error::S3Error;
use crate::object::{ETag, Head, PutMode};

/// Names of the four headers; those of a copy's source have a prefix.
#[derive(Debug)]
pub struct Names {
    pub matches: HeaderName,
    pub none_match: HeaderName,
    pub modified: HeaderName,
    pub unmodified: HeaderName,
}

pub static OF_TARGET: Names = Names {
    matches: IF_MATCH,
    none_match: IF_NONE_MATCH,
    modified: IF_MODIFIED_SINCE,
    unmodified: IF_UNMODIFIED_SINCE,
};

pub static OF_SOURCE: Names = Names {
    matches: HeaderName::from_static("x-amz-copy-source-if-match"),
    none_match: HeaderName::from_static("x-amz-copy-source-if-none-match"),
    modified: HeaderName::from_static("x-amz-copy-source-if-modified-since"),
    unmodified: HeaderName::from_static("x-amz-copy-source-if-unmodified-since"),
};

/// **Errors**: `PreconditionFailed`, `NotModified`.
pub fn check(headers: &HeaderMap, names: &Names, head: &Head) -> Result<(), S3Error> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let date = |name: &HeaderName| text(name).and_then(|text| httpdate::parse_http_date(text).ok());
    match text(&names.matches) {
        Some(tags) if !lists(tags, &head.etag) => return Err(S3Error::precondition()),
        Some(_) => {}
        None if date(&names.unmodified).is_some_and(|date| whole(head.modified) > date) => {
            return Err(S3Error::precondition());
        }
        None => {}
    }
    match text(&names.none_match) {
        Some(tags) if lists(tags, &head.etag) => Err(S3Error::not_modified()),
        Some(_) => Ok(()),
        None if date(&names.modified).is_some_and(|date| whole(head.modified) <= date) => {
            Err(S3Error::not_modified())
        }
        None => Ok(()),
    }
}

/// The condition of a write. **Errors**: `NotImplemented` for one that S3 does not know either.
pub fn of_write(headers: &HeaderMap) -> Result<PutMode, S3Error> {
    let text =
        |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    match (text(IF_MATCH), text(IF_NONE_MATCH)) {
        (None, None) => Ok(PutMode::Overwrite),
        (None, Some("*")) => Ok(PutMode::CreateOnly),
        (Some(tag), None) if tag != "*" && !tag.contains(',') => Ok(PutMode::IfMatch(bare(tag))),
        _ => Err(S3Error::not_implemented("this condition on a write")),
    }
}

/// A tag without its quotes.
pub fn bare(tag: &str) -> ETag {
    ETag(tag.trim().trim_start_matches("W/").trim_matches('"').to_owned())
}

fn lists(tags: &str, etag: &ETag) -> bool {
    tags.split(',').any(|tag| tag.trim() == "*" || bare(tag) == *etag)
}

/// Dates of HTTP have no fractions.
fn whole(time: SystemTime) -> SystemTime {
    httpdate::HttpDate::from(time).into()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::object::Attributes;

    #[test]
    fn conditions_are_decided_in_the_order_of_the_rfc() {
        let at = UNIX_EPOCH + Duration::from_millis(1_000_000_500);
        let head = Head {
            etag: "abc".into(),
            size_bytes: 1,
            modified: at,
            date: at,
            attributes: Attributes::default(),
            version: None,
            checksum: None,
        };
        let same = httpdate::fmt_http_date(at);
        let earlier = httpdate::fmt_http_date(at - Duration::from_secs(10));
        let told = |pairs: &[(&'static str, &str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
                .collect();
            check(&headers, &OF_TARGET, &head).err().map(|error: S3Error| error.code)
        };
        let (failed, same_still) = (Some("PreconditionFailed"), Some("NotModified"));
        type Row<'a> = (&'a [(&'static str, &'a str)], Option<&'a str>);
        let table: [Row<'_>; 10] = [
            (&[], None),
            (&[("if-match", "\"abc\"")], None),
            (&[("if-match", "\"x\", \"y\"")], failed),
            (&[("if-match", "*")], None),
            (&[("if-none-match", "\"abc\"")], same_still),
            (&[("if-none-match", "\"x\"")], None),
            (&[("if-modified-since", &same)], same_still),
            (&[("if-modified-since", &earlier)], None),
            (&[("if-unmodified-since", &earlier)], failed),
            // A matching tag outweighs the date.
            (&[("if-match", "abc"), ("if-unmodified-since", &earlier)], None),
        ];
        for (pairs, wanted) in table {
            assert_eq!(told(pairs), wanted, "{pairs:?}");
        }
    }
}
