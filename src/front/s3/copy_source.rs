//! The headers that say what a copy is made of: `x-amz-copy-source` and its range.
//!
//! Guarantees: only a `?` that is not percent-encoded separates the key from the version; a range
//! is closed. What is malformed is refused, never guessed. Pure. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html>.

use super::error::S3Error;
use crate::names::{Bucket, Key};
use crate::object::ByteSpan;
use crate::web::segments;

/// The object that a copy is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySource {
    pub bucket: Bucket,
    pub key: Key,
    pub version: Option<String>,
}

/// Parses `/bucket/key?versionId=id`, percent-encoded, with or without the first slash. **Errors**:
/// `InvalidArgument`; `NotImplemented` for an access point.
pub fn parse(text: &str) -> Result<CopySource, S3Error> {
    let malformed = || {
        S3Error::invalid(
            "x-amz-copy-source must be bucket/key or bucket/key?versionId=id, percent-encoded",
        )
    };
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let names = segments(path).map_err(|_| malformed())?;
    let (bucket, rest) = names.split_first().ok_or_else(malformed)?;
    if bucket.starts_with("arn:") {
        return Err(S3Error::not_implemented("an access point in x-amz-copy-source"));
    }
    let key = rest.join("/");
    if bucket.is_empty() || key.is_empty() {
        return Err(malformed());
    }
    let version = query.map(|query| {
        let version = query.strip_prefix("versionId=").ok_or_else(malformed)?;
        let decoded = segments(version).map_err(|_| malformed())?.join("/");
        if decoded.is_empty() || version.contains(['&', '?']) {
            return Err(S3Error::invalid("the version id of x-amz-copy-source is not valid"));
        }
        Ok(decoded)
    });
    Ok(CopySource {
        bucket: bucket.as_str().into(),
        key: key.into(),
        version: version.transpose()?,
    })
}

/// Parses `bytes=first-last`. **Errors**: `InvalidArgument`.
pub fn range(text: &str) -> Result<ByteSpan, S3Error> {
    let malformed = || {
        S3Error::invalid(
            "the x-amz-copy-source-range value must be of the form bytes=first-last where first and last are \
             the zero-based offsets of the first and last bytes to copy",
        )
    };
    // A number that is too large for the type is too large for every source.
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = text
        .trim()
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .ok_or_else(malformed)?;
    let (first, last) = number(first).zip(number(last)).ok_or_else(malformed)?;
    if first > last {
        return Err(malformed());
    }
    Ok(ByteSpan { first, end: last.saturating_add(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_question_mark_separates_the_version() {
        let table = [
            ("/b/k", Ok(("b", "k", None))),
            ("b/a/c", Ok(("b", "a/c", None))),
            ("/b/a%2Fc%3FversionId%3D1", Ok(("b", "a/c?versionId=1", None))),
            ("b/%C3%A4+%20x//", Ok(("b", "\u{e4}+ x//", None))),
            ("/b/k?versionId=v%2F1", Ok(("b", "k", Some("v/1")))),
            ("b/a%3Fb?versionId=null", Ok(("b", "a?b", Some("null")))),
            ("/b/k?versionId=", Err("InvalidArgument")),
            ("/b/k?versionId=a&x=1", Err("InvalidArgument")),
            ("/b/k?partNumber=1", Err("InvalidArgument")),
            ("/b/k?", Err("InvalidArgument")),
            ("/b/%zz", Err("InvalidArgument")),
            ("/b/%ff", Err("InvalidArgument")),
            ("/b/", Err("InvalidArgument")),
            ("/b", Err("InvalidArgument")),
            ("//k", Err("InvalidArgument")),
            ("", Err("InvalidArgument")),
            ("arn:aws:s3:eu-west-1:1:accesspoint/mine/object/k", Err("NotImplemented")),
        ];
        for (text, expected) in table {
            let found = parse(text).map_err(|error| error.code);
            let expected = expected.map(|(bucket, key, version)| CopySource {
                bucket: bucket.into(),
                key: key.into(),
                version: version.map(str::to_owned),
            });
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_range_is_closed() {
        let span = |first, end| Some(ByteSpan { first, end });
        let table = [
            ("bytes=0-0", span(0, 1)),
            ("bytes=5-9", span(5, 10)),
            ("bytes=0-99999999999999999999999", span(0, u64::MAX)),
            ("bytes=5-", None),
            ("bytes=-5", None),
            ("bytes=9-5", None),
            ("bytes=0", None),
            ("bytes", None),
            ("bytes=hello-world", None),
            ("bytes=0-bar", None),
            ("bytes=0-2,3-5", None),
            ("bytes=+1-2", None),
            ("0-5", None),
            ("", None),
        ];
        for (text, expected) in table {
            let found = range(text);
            assert!(found.as_ref().err().is_none_or(|error| error.code == "InvalidArgument"));
            assert_eq!(found.ok(), expected, "{text}");
        }
    }
}
