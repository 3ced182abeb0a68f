//! GetObject, HeadObject and GetObjectAttributes.
//!
//! Guarantees: a range answers exactly its bytes, with 206; more than one range, or one that is
//! malformed, answers the whole, as S3 does. Source: RFC 9110 §14;
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>.

use http::{HeaderValue, Method, Response, StatusCode, header};

use super::conditions::{self, OF_TARGET};
use super::error::S3Error;
use super::xml::Xml;
use super::{AuthedRequest, HandlerResult, S3Api, attributes, xml_reply};
use crate::accounts::Access;
use crate::object::{GetOptions, GetRange, Stored};
use crate::upload::{ChecksumKind, ObjectChecksum, PartEntry};
use crate::web::streamed;

/// Query parameters that replace a header of the answer.
const OVERRIDES: [(&str, &str); 6] = [
    ("response-cache-control", "cache-control"),
    ("response-content-disposition", "content-disposition"),
    ("response-content-encoding", "content-encoding"),
    ("response-content-language", "content-language"),
    ("response-content-type", "content-type"),
    ("response-expires", "expires"),
];

/// What of the object is wanted.
struct Wanted {
    read: GetRange,
    /// How many parts the object has, where one was asked for.
    parts: Option<usize>,
}

impl S3Api {
    /// GetObject and HeadObject.
    pub(super) async fn get_object(&self, request: AuthedRequest) -> HandlerResult {
        request.require(Access::Read)?;
        let overrides = overrides(&request)?;
        let wanted = self.wanted(&request).await?;
        let head_only = request.head.method == Method::HEAD;
        let whole = wanted.read == GetRange::Whole;
        let asks = request
            .header("x-amz-checksum-mode")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("enabled"));
        let version = request.query.get("versionId").map(str::to_owned);
        let options = GetOptions { version, checksum: whole && asks, ..GetOptions::default() };
        let (bucket, key) =
            (request.target.bucket.as_str().into(), request.target.key.as_str().into());
        let read = if head_only { GetRange::Head } else { wanted.read };
        let (stored, body) = self.shared.objects.get(&bucket, &key, read, options).await?;
        conditions::check(&request.head.headers, &OF_TARGET, &stored.head)?;
        let size = stored.head.size_bytes;
        let out_of_range = || {
            S3Error::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidRange",
                format!("the object has {size} bytes"),
            )
        };
        let (first, end) = match wanted.read {
            GetRange::Whole | GetRange::Head => (0, size),
            read @ (GetRange::Range { .. } | GetRange::Suffix(_)) => {
                read.span(size).ok_or_else(out_of_range)?
            }
        };
        let mut reply = Response::new(streamed(body));
        attributes::write(&stored, &mut reply);
        if !whole {
            *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {first}-{}/{size}", end.saturating_sub(1));
            reply.headers_mut().insert(header::CONTENT_RANGE, text(&range));
        }
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_LENGTH, (end - first).into());
        if let Some(parts) = wanted.parts {
            headers.insert("x-amz-mp-parts-count", parts.into());
        }
        if whole
            && asks
            && let Some(checksum) = self.checksum_of(&request, &stored).await?
        {
            attributes::write_checksum(&checksum, headers);
        }
        for (name, value) in overrides {
            headers.insert(name, value);
        }
        Ok(reply)
    }

    async fn wanted(&self, request: &AuthedRequest) -> Result<Wanted, S3Error> {
        let Some(number) = request.query.get("partNumber") else {
            let range = request.header("range").and_then(range);
            return Ok(Wanted { read: range.unwrap_or(GetRange::Whole), parts: None });
        };
        let number: usize = number
            .parse()
            .ok()
            .filter(|number| (1..=10_000).contains(number))
            .ok_or_else(|| S3Error::invalid("partNumber must be in [1, 10000]"))?;
        let parts = self.parts_of(request).await?;
        let absent = || {
            S3Error::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidPartNumber",
                "the object has no such part",
            )
        };
        if parts.is_empty() {
            return if number == 1 {
                Ok(Wanted { read: GetRange::Whole, parts: None })
            } else {
                Err(absent())
            };
        }
        let part = parts.get(number - 1).ok_or_else(absent)?;
        let first: u64 = parts[..number - 1].iter().map(|part| part.size_bytes).sum();
        let read = if part.size_bytes == 0 {
            GetRange::Whole
        } else {
            GetRange::Range { first, last: first + part.size_bytes - 1 }
        };
        Ok(Wanted { read, parts: Some(parts.len()) })
    }

    /// The parts that the object was made of; empty where it was put whole, or by someone else.
    async fn parts_of(&self, request: &AuthedRequest) -> Result<Vec<PartEntry>, S3Error> {
        let (bucket, key) =
            (request.target.bucket.as_str().into(), request.target.key.as_str().into());
        let (stored, _) =
            self.shared.objects.get(&bucket, &key, GetRange::Head, GetOptions::default()).await?;
        let Some(session) = self.session_of(request, &stored).await? else { return Ok(Vec::new()) };
        Ok(session.completed_parts().await?)
    }

    async fn session_of(
        &self,
        request: &AuthedRequest,
        stored: &Stored,
    ) -> Result<Option<crate::upload::Session>, S3Error> {
        let Some(tag) = &stored.upload_tag else { return Ok(None) };
        let account = request.identity.account_name();
        Ok(self
            .shared
            .uploads
            .completed_with_tag(account, &request.target.bucket, &request.target.key, tag)
            .await?)
    }

    async fn checksum_of(
        &self,
        request: &AuthedRequest,
        stored: &Stored,
    ) -> Result<Option<ObjectChecksum>, S3Error> {
        if let Some(checksum) = &stored.checksum {
            let (algorithm, value) = (checksum.algorithm(), checksum.base64());
            return Ok(Some(ObjectChecksum { algorithm, value, kind: ChecksumKind::FullObject }));
        }
        let session = self.session_of(request, stored).await?;
        Ok(session.and_then(|session| {
            session.root().finished().and_then(|object| object.checksum.clone())
        }))
    }

    pub(super) async fn object_attributes(&self, request: AuthedRequest) -> HandlerResult {
        request.require(Access::Read)?;
        let wanted = request.header("x-amz-object-attributes").unwrap_or_default().to_owned();
        let wants = |name: &str| wanted.split(',').any(|word| word.trim() == name);
        let (bucket, key) =
            (request.target.bucket.as_str().into(), request.target.key.as_str().into());
        let options = GetOptions { checksum: true, ..GetOptions::default() };
        let (stored, _) = self.shared.objects.get(&bucket, &key, GetRange::Head, options).await?;
        let mut xml = Xml::new("GetObjectAttributesResponse");
        if wants("ETag") {
            xml.element("ETag", &stored.head.etag);
        }
        if wants("Checksum")
            && let Some(checksum) = self.checksum_of(&request, &stored).await?
        {
            xml.open("Checksum")
                .element(&format!("Checksum{}", checksum.algorithm), &checksum.value);
            xml.element("ChecksumType", checksum.kind.name()).close();
        }
        if wants("ObjectParts") {
            let parts = self.parts_of(&request).await?;
            if !parts.is_empty() {
                xml.open("ObjectParts").element("PartsCount", parts.len()).close();
            }
        }
        if wants("StorageClass") {
            xml.element("StorageClass", "STANDARD");
        }
        if wants("ObjectSize") {
            xml.element("ObjectSize", stored.head.size_bytes);
        }
        let mut reply = xml_reply(xml.finish());
        let modified = text(&httpdate::fmt_http_date(stored.head.modified));
        reply.headers_mut().insert(header::LAST_MODIFIED, modified);
        Ok(reply)
    }
}

/// What the query wants in the answer's head. **Errors**: `InvalidArgument` for what can stand in
/// no head.
fn overrides(request: &AuthedRequest) -> Result<Vec<(&'static str, HeaderValue)>, S3Error> {
    let wanted = OVERRIDES
        .iter()
        .filter_map(|(parameter, name)| Some((parameter, *name, request.query.get(parameter)?)));
    let value = |(parameter, name, text)| match HeaderValue::from_str(text) {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(S3Error::invalid(format!("{parameter} is no header's value"))),
    };
    wanted.map(value).collect()
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("digits, letters and punctuation are a header's value")
}

/// One range of bytes; None for anything else, which RFC 9110 lets a server ignore.
pub(super) fn range(value: &str) -> Option<GetRange> {
    let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
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
        fn no_range_makes_it_panic_or_means_what_is_not_there(text in "(bytes=)?[0-9,-]{0,30}", size in 0_u64..100) {
            if let Some((first, end)) = range(&text).and_then(|read| read.span(size)) {
                assert!(first < end && end <= size, "{text} of {size}: {first}..{end}");
            }
        }
    }

    #[test]
    fn ranges_are_read_or_ignored() {
        let table = [
            ("bytes=0-4", Some(GetRange::Range { first: 0, last: 4 })),
            ("bytes=5-", Some(GetRange::Range { first: 5, last: u64::MAX })),
            ("bytes=-3", Some(GetRange::Suffix(3))),
            ("bytes=4-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=a-b", None),
            ("bytes=-", None),
            ("lines=0-1", None),
            ("bytes=99999999999999999999-", None),
        ];
        for (text, wanted) in table {
            assert_eq!(range(text), wanted, "{text}");
        }
    }
}
