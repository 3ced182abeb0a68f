//! GetObject and HeadObject.
//!
//! Guarantees: a range is answered with exactly its bytes and status 206; several ranges, or a
//! malformed one, are ignored, as S3 does. Source: RFC 9110 §14;
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>.

use http::{HeaderValue, Method, Response, StatusCode, header};

use super::conditions::{self, OBJECT_CONDITIONS};
use super::error::S3Error;
use super::part::part_number;
use super::{AuthedRequest, HandlerResult, S3Api, attributes, validate};
use crate::accounts::Access;
use crate::object::{GetRange, ObjectName, ReadRequest, Selection};
use crate::web::streamed;

/// Query parameters that set a header of the response, and that header.
const OVERRIDES: [(&str, &str); 6] = [
    ("response-cache-control", "cache-control"),
    ("response-content-disposition", "content-disposition"),
    ("response-content-encoding", "content-encoding"),
    ("response-content-language", "content-language"),
    ("response-content-type", "content-type"),
    ("response-expires", "expires"),
];

impl S3Api {
    /// GetObject and HeadObject.
    pub(super) async fn get_object(&self, request: AuthedRequest) -> HandlerResult {
        request.require(Access::Read)?;
        let overrides = overrides(&request)?;
        let read = ReadRequest {
            selection: selection(&request)?,
            head_only: request.head.method == Method::HEAD,
            checksum: wants_checksum(&request)?,
            conditions: conditions::parse(&request.head.headers, &OBJECT_CONDITIONS),
            if_range: conditions::if_range(&request.head.headers),
        };
        let is_range = matches!(read.selection, Selection::Range(_));
        let object = self.shared.objects.read(object_name(&request)?, read).await;
        let object =
            object.map_err(|error| match (S3Error::from(error), request.header("range")) {
                (error, Some(range)) if is_range && error.code == "InvalidRange" => {
                    error.with_element("RangeRequested", range)
                }
                (error, _) => error,
            })?;
        let size = object.stored.head.size_bytes;
        let mut reply = Response::new(streamed(object.body));
        attributes::write(&object.stored, &mut reply);
        if let Some((first, end)) = object.range {
            if size > 0 {
                *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
            }
            // A part without bytes has no range that could be written.
            let range = format!("bytes {first}-{}/{size}", end.saturating_sub(1));
            if first < end {
                reply.headers_mut().insert(header::CONTENT_RANGE, header_value(&range));
            }
        }
        let len_bytes = object.range.map_or(size, |(first, end)| end - first);
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_LENGTH, len_bytes.into());
        if let Some(count) = object.parts_count {
            headers.insert("x-amz-mp-parts-count", count.into());
        }
        if let Some(checksum) = &object.checksum {
            attributes::write_checksum(checksum, headers);
        }
        for (name, value) in overrides {
            headers.insert(name, value);
        }
        Ok(reply)
    }
}

/// **Errors**: `InvalidArgument` for what cannot be the id of a version.
pub(super) fn object_name(request: &AuthedRequest) -> Result<ObjectName<'_>, S3Error> {
    Ok(ObjectName {
        account: request.identity.account_name(),
        bucket: &request.target.bucket,
        key: &request.target.key,
        version: validate::version(request.query.get("versionId"))?,
    })
}

/// **Errors**: `InvalidArgument`.
fn wants_checksum(request: &AuthedRequest) -> Result<bool, S3Error> {
    match request.header("x-amz-checksum-mode") {
        None => Ok(false),
        Some(mode) if mode.eq_ignore_ascii_case("enabled") => Ok(true),
        Some(_) => Err(S3Error::invalid("x-amz-checksum-mode can only be ENABLED")),
    }
}

/// The part or range that a request asks for. **Errors**: `InvalidArgument` for a part number out
/// of range, `InvalidRequest` for both.
fn selection(request: &AuthedRequest) -> Result<Selection, S3Error> {
    if request.query.get("partNumber").is_some() {
        if request.header("range").is_some() {
            return Err(S3Error::invalid_request(
                "Cannot specify both Range header and partNumber query parameter",
            ));
        }
        return part_number(request).map(Selection::Part);
    }
    let range = request.header("range").and_then(range);
    Ok(range.map_or(Selection::Whole, Selection::Range))
}

/// The headers of the response that the query sets. **Errors**: `InvalidArgument` for an invalid
/// value.
fn overrides(request: &AuthedRequest) -> Result<Vec<(&'static str, HeaderValue)>, S3Error> {
    let given = OVERRIDES
        .iter()
        .filter_map(|(parameter, name)| Some((parameter, *name, request.query.get(parameter)?)));
    let value = |(parameter, name, text)| match HeaderValue::from_str(text) {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(S3Error::invalid(format!("{parameter} is not a valid header value"))),
    };
    given.map(value).collect()
}

pub(super) fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits, letters and punctuation are a header value")
}

/// Parses a single range of bytes; None for anything else, which RFC 9110 allows a server to
/// ignore.
pub(super) fn range(value: &str) -> Option<GetRange> {
    let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
    // More digits than a number has mean a byte past the end of every object.
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (first, last) {
        ("", last) => number(last).map(GetRange::Suffix),
        (first, "") => Some(GetRange::Range { first: number(first)?, last: u64::MAX }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(GetRange::Range { first, last })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_parsed_range_lies_within_the_object(text in "(bytes=)?[0-9,-]{0,30}", size in 0_u64..100) {
            if let Some((first, end)) = range(&text).and_then(|range| range.span(size)) {
                let empty = size == 0 && end == 0;
                assert!((first < end || empty) && end <= size, "{text} of {size}: {first}..{end}");
            }
        }
    }

    #[test]
    fn single_ranges_are_parsed_and_others_ignored() {
        let table = [
            ("bytes=0-4", Some(GetRange::Range { first: 0, last: 4 })),
            ("bytes=5-", Some(GetRange::Range { first: 5, last: u64::MAX })),
            ("bytes=-3", Some(GetRange::Suffix(3))),
            ("bytes=4-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=a-b", None),
            ("bytes=-", None),
            ("lines=0-1", None),
            (
                "bytes=99999999999999999999-",
                Some(GetRange::Range { first: u64::MAX, last: u64::MAX }),
            ),
            ("bytes=0-99999999999999999999", Some(GetRange::Range { first: 0, last: u64::MAX })),
            ("bytes=-99999999999999999999", Some(GetRange::Suffix(u64::MAX))),
        ];
        for (text, expected) in table {
            assert_eq!(range(text), expected, "{text}");
        }
    }
}
