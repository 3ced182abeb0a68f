//! The headers of a request that set conditions: `If-Match` and the other three.
//!
//! Guarantees: a date that cannot be parsed is no condition. `object` evaluates the conditions.
//! Pure. Source: RFC 9110 §13.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE,
};

use super::error::S3Error;
use crate::object::{Conditions, DeleteConditions, ETag, ETags, IfRange, PutMode, TagCondition};

const IF_MATCH_TIME: HeaderName = HeaderName::from_static("x-amz-if-match-last-modified-time");
const IF_MATCH_INITIATED: HeaderName = HeaderName::from_static("x-amz-if-match-initiated-time");
const IF_MATCH_SIZE: HeaderName = HeaderName::from_static("x-amz-if-match-size");

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

/// The conditions of a DELETE. **Errors**: `NotImplemented` for a condition that S3 does not have
/// there, `InvalidArgument` for a time or size that is none.
pub fn delete_conditions(headers: &HeaderMap) -> Result<DeleteConditions, S3Error> {
    for other in [IF_NONE_MATCH, IF_UNMODIFIED_SINCE] {
        if headers.contains_key(&other) {
            return Err(S3Error::not_implemented(&format!("the header {other} on DELETE")));
        }
    }
    let text = |name: &HeaderName| {
        headers.get(name).map(|value| value.to_str().unwrap_or_default().trim())
    };
    let invalid = |name: HeaderName| S3Error::invalid(format!("{name} is not valid"));
    let modified = text(&IF_MATCH_TIME).map(|text| time(text).ok_or(invalid(IF_MATCH_TIME)));
    let size = text(&IF_MATCH_SIZE).map(|text| text.parse().map_err(|_| invalid(IF_MATCH_SIZE)));
    Ok(DeleteConditions {
        if_match: text(&IF_MATCH).map(tag_condition).transpose()?,
        modified: modified.transpose()?,
        size_bytes: size.transpose()?,
    })
}

/// When an upload that is aborted must have been created. **Errors**: `InvalidArgument` for a time
/// that is none.
pub fn initiated(headers: &HeaderMap) -> Result<Option<SystemTime>, S3Error> {
    let Some(value) = headers.get(&IF_MATCH_INITIATED) else { return Ok(None) };
    let invalid = || S3Error::invalid(format!("{IF_MATCH_INITIATED} is not valid"));
    value.to_str().ok().and_then(time).map(Some).ok_or_else(invalid)
}

/// The condition on the ETag of an object that is deleted. **Errors**: `NotImplemented` for a list.
pub fn tag_condition(text: &str) -> Result<TagCondition, S3Error> {
    match text.trim() {
        "*" => Ok(TagCondition::Any),
        list if list.contains(',') => {
            Err(S3Error::not_implemented("a list of ETags in the header if-match on DELETE"))
        }
        tag => Ok(TagCondition::Tag(unquoted(tag))),
    }
}

/// A time as HTTP writes it (`Sun, 06 Nov 1994 08:49:37 GMT`) or as XML does
/// (`1994-11-06T08:49:37Z`, with or without a fraction).
pub fn time(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    if let Ok(date) = httpdate::parse_http_date(text) {
        return Some(date);
    }
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let clock = clock.split_once('.').map_or(clock, |(clock, _)| clock);
    let numbers = |text: &str, separator: char| {
        let all: Option<Vec<u64>> = text.split(separator).map(|part| part.parse().ok()).collect();
        <[u64; 3]>::try_from(all?).ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(clock, ':')?);
    let valid = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    // Years begin in March, so that the day that is added in leap years is the last one.
    let (from_march, march_year) =
        if month > 2 { (month - 3, year) } else { (month + 9, year - 1) };
    let days = march_year * 365 + march_year / 4 - march_year / 100
        + march_year / 400
        + (153 * from_march + 2) / 5
        + day;
    // 719,469 such days lie before 1970-01-01.
    let seconds = days.checked_sub(719_469)? * 86_400 + hour * 3_600 + minute * 60 + second;
    valid.then(|| UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The validator in `If-Range`.
pub fn if_range(headers: &HeaderMap) -> Option<IfRange> {
    let text = headers.get(IF_RANGE)?.to_str().unwrap_or_default().trim();
    if text.starts_with("W/") {
        return Some(IfRange::Never);
    }
    if let Ok(date) = httpdate::parse_http_date(text) {
        return Some(IfRange::Date(date));
    }
    Some(if text.is_empty() { IfRange::Never } else { IfRange::Tag(unquoted(text)) })
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
        (Some(_), _) => Err(S3Error::header_not_implemented(&IF_MATCH)),
        (None, _) => Err(S3Error::header_not_implemented(&IF_NONE_MATCH)),
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
    use super::*;
    use crate::object::{Attributes, Head, Unmet};

    #[test]
    fn conditions_are_evaluated_in_the_order_of_rfc_9110() {
        let at = UNIX_EPOCH + Duration::from_millis(1_000_000_500);
        let head = Head {
            etag: "abc".into(),
            size_bytes: 1,
            modified: at,
            date: at + Duration::from_secs(50),
            attributes: Attributes::default(),
            tag_count: 0,
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
        let (later, future) = (at + Duration::from_secs(10), at + Duration::from_secs(100));
        let (later, future) = (httpdate::fmt_http_date(later), httpdate::fmt_http_date(future));
        let table: [Row<'_>; 13] = [
            (&[], None),
            (&[("if-match", "\"abc\"")], None),
            (&[("if-match", "\"x\", \"y\"")], failed),
            (&[("if-match", "*")], None),
            (&[("if-none-match", "\"abc\"")], unmodified),
            (&[("if-none-match", "\"x\"")], None),
            (&[("if-modified-since", &same)], unmodified),
            (&[("if-modified-since", &earlier)], None),
            (&[("if-modified-since", &later)], unmodified),
            // Dates in the future, and texts that are no dates, are no conditions.
            (&[("if-modified-since", &future)], None),
            (&[("if-modified-since", "yesterday")], None),
            (&[("if-unmodified-since", &earlier)], failed),
            // With If-Match, the date is ignored.
            (&[("if-match", "abc"), ("if-unmodified-since", &earlier)], None),
        ];
        for (pairs, expected) in table {
            assert_eq!(outcome(pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn times_are_those_of_http_or_of_xml() {
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("1994-11-06T08:49:37Z", Some(784_111_777)),
            ("2009-10-12T17:50:30.120Z", Some(1_255_369_830)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T00:00:00.000Z", Some(1_709_164_800)),
            ("2024-13-01T00:00:00Z", None),
            ("1969-12-31T00:00:00Z", None),
            ("2024-01-01", None),
            ("", None),
        ] {
            let expected = seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(time(text), expected, "{text:?}");
        }
    }
}
