//! The headers that say what a copy is made of: `x-amz-copy-source` and its range.
//!
//! Guarantees: only a `?` that is not percent-encoded separates the key from the version; a range
//! is closed. What is malformed is refused, never guessed. Pure. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html>.

use super::error::S3Error;
use crate::names::{Bucket, Key};
use crate::object::ByteSpan;
use crate::web::{bucket_name_fits, key_fits, segments};

/// The header that makes a copy of a put; in a presigned URL it stands in the query.
pub const COPY_SOURCE: &str = "x-amz-copy-source";
pub const COPY_SOURCE_RANGE: &str = "x-amz-copy-source-range";

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
    let invalid = |message: &str| S3Error::invalid(message).with_argument(COPY_SOURCE, Some(text));
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let malformed = || invalid("Invalid copy source encoding");
    let names = segments(path).map_err(|_| malformed())?;
    let (bucket, rest) =
        names.split_first().ok_or_else(|| invalid("Invalid copy source bucket name"))?;
    if bucket.starts_with("arn:") {
        return Err(S3Error::not_implemented("an access point in x-amz-copy-source"));
    }
    let key = rest.join("/");
    if !bucket_name_fits(bucket) {
        return Err(invalid("Invalid copy source bucket name"));
    }
    if key.is_empty() || !key_fits(&key) {
        return Err(invalid("Invalid copy source object key"));
    }
    let version = query.map(|query| {
        let other = || invalid("the only parameter of x-amz-copy-source is versionId");
        let version = query.strip_prefix("versionId=").ok_or_else(other)?;
        let decoded = segments(version).map_err(|_| malformed())?.join("/");
        if decoded.is_empty() || version.contains(['&', '?']) {
            return Err(invalid("the version id of x-amz-copy-source is not valid"));
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
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and \
             last are the zero-based offsets of the first and last bytes to copy",
        )
        .with_argument(COPY_SOURCE_RANGE, Some(text))
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
            ("/bkt/k", Ok(("bkt", "k", None))),
            ("bkt/a/c", Ok(("bkt", "a/c", None))),
            ("/bkt/a%2Fc%3FversionId%3D1", Ok(("bkt", "a/c?versionId=1", None))),
            ("bkt/%C3%A4+%20x//", Ok(("bkt", "\u{e4}+ x//", None))),
            ("/bkt/k?versionId=v%2F1", Ok(("bkt", "k", Some("v/1")))),
            ("bkt/a%3Fb?versionId=null", Ok(("bkt", "a?b", Some("null")))),
            ("/bkt/k?versionId=", Err("InvalidArgument")),
            ("/bkt/k?versionId=a&x=1", Err("InvalidArgument")),
            ("/bkt/k?partNumber=1", Err("InvalidArgument")),
            ("/bkt/k?", Err("InvalidArgument")),
            ("/bkt/%zz", Err("InvalidArgument")),
            ("/bkt/%ff", Err("InvalidArgument")),
            ("/bkt/", Err("InvalidArgument")),
            ("/bkt", Err("InvalidArgument")),
            ("//k", Err("InvalidArgument")),
            ("/192.168.1.1/k", Err("InvalidArgument")),
            ("/bkt/../k", Err("InvalidArgument")),
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
