//! The headers of a request that set conditions: `If-Match` and the other three.
//!
//! Guarantees: a date that cannot be parsed is no condition. `object` evaluates the conditions.
//! Pure. Source: RFC 9110 §13.

use http::header::{
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};

use super::error::S3Error;
use crate::object::{Conditions, ETag, ETags, PutMode};

/// The names of the four headers, which have a prefix for the source of a copy.
#[derive(Debug)]
pub struct ConditionHeaders {
    if_match: HeaderName,
    if_none_match: HeaderName,
    if_modified_since: HeaderName,
    if_unmodified_since: HeaderName,
}

pub static OBJECT_CONDITIONS: ConditionHeaders = ConditionHeaders {
    if_match: IF_MATCH,
    if_none_match: IF_NONE_MATCH,
    if_modified_since: IF_MODIFIED_SINCE,
    if_unmodified_since: IF_UNMODIFIED_SINCE,
};

pub static COPY_SOURCE_CONDITIONS: ConditionHeaders = ConditionHeaders {
    if_match: HeaderName::from_static("x-amz-copy-source-if-match"),
    if_none_match: HeaderName::from_static("x-amz-copy-source-if-none-match"),
    if_modified_since: HeaderName::from_static("x-amz-copy-source-if-modified-since"),
    if_unmodified_since: HeaderName::from_static("x-amz-copy-source-if-unmodified-since"),
};

/// The conditions of a read.
pub fn parse(headers: &HeaderMap, names: &ConditionHeaders) -> Conditions {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let date = |name: &HeaderName| text(name).and_then(|text| httpdate::parse_http_date(text).ok());
    Conditions {
        if_match: text(&names.if_match).map(etags),
        if_none_match: text(&names.if_none_match).map(etags),
        if_modified_since: date(&names.if_modified_since),
        if_unmodified_since: date(&names.if_unmodified_since),
    }
}

/// The condition of a write. **Errors**: `NotImplemented` for any condition that S3 itself refuses:
/// lists of ETags, `If-Match: *`, an ETag in `If-None-Match`, both headers.
pub fn write_mode(headers: &HeaderMap) -> Result<PutMode, S3Error> {
    let text =
        |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    match (text(IF_MATCH), text(IF_NONE_MATCH)) {
        (None, None) => Ok(PutMode::Overwrite),
        (None, Some("*")) => Ok(PutMode::CreateOnly),
        (Some(tag), None) if tag != "*" && !tag.contains(',') => {
            Ok(PutMode::IfMatch(unquoted(tag)))
        }
        _ => Err(S3Error::not_implemented("this condition on a write")),
    }
}

/// An entity tag without its quotes and without the mark of a weak tag.
pub fn unquoted(tag: &str) -> ETag {
    ETag(tag.trim().trim_start_matches("W/").trim_matches('"').to_owned())
}

fn etags(list: &str) -> ETags {
    if list.split(',').any(|tag| tag.trim() == "*") {
        return ETags::Any;
    }
    ETags::OneOf(list.split(',').map(unquoted).collect())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::object::{Attributes, Head, Unmet};

    #[test]
    fn conditions_are_evaluated_in_the_order_of_rfc_9110() {
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
        let outcome = |pairs: &[(&'static str, &str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
                .collect();
            parse(&headers, &OBJECT_CONDITIONS).check(&head).err()
        };
        let (failed, unmodified) = (Some(Unmet::Precondition), Some(Unmet::NotModified));
        type Row<'a> = (&'a [(&'static str, &'a str)], Option<Unmet>);
        let table: [Row<'_>; 10] = [
            (&[], None),
            (&[("if-match", "\"abc\"")], None),
            (&[("if-match", "\"x\", \"y\"")], failed),
            (&[("if-match", "*")], None),
            (&[("if-none-match", "\"abc\"")], unmodified),
            (&[("if-none-match", "\"x\"")], None),
            (&[("if-modified-since", &same)], unmodified),
            (&[("if-modified-since", &earlier)], None),
            (&[("if-unmodified-since", &earlier)], failed),
            // With If-Match, the date is ignored.
            (&[("if-match", "abc"), ("if-unmodified-since", &earlier)], None),
        ];
        for (pairs, expected) in table {
            assert_eq!(outcome(pairs), expected, "{pairs:?}");
        }
    }
}
