//! Tags of objects and buckets: the header, the XML document and the operations on `?tagging`.
//!
//! Guarantees: what is accepted has no name twice, no more tags than S3 allows, and only names and
//! values that S3 takes. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html>.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, StatusCode};

use super::document::elements;
use super::error::S3Error;
use super::xml::Xml;
use super::{AuthedRequest, HandlerResult, S3Api, empty_reply, xml_reply};
use crate::object::Tags;
use crate::web::percent_decoded;

const TAGGING_NAME: &str = "x-amz-tagging";
const TAGGING: HeaderName = HeaderName::from_static(TAGGING_NAME);
const DIRECTIVE: &str = "x-amz-tagging-directive";

const MAX_NAME_UNITS: usize = 128;
const MAX_VALUE_UNITS: usize = 256;

/// What tags belong to, which decides how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tagged {
    Object,
    Bucket,
}

impl Tagged {
    fn max_tags(self) -> usize {
        match self {
            Self::Object => 10,
            Self::Bucket => 50,
        }
    }

    /// Collects tags. **Errors**: `InvalidTag`, `BadRequest` for too many, and `repeated` for a
    /// name that is there twice.
    fn collect(
        self,
        pairs: impl Iterator<Item = (String, String)>,
        repeated: impl Fn() -> S3Error,
    ) -> Result<Tags, S3Error> {
        let mut tags = BTreeMap::new();
        for (name, value) in pairs {
            check(&name, &value)?;
            if tags.insert(name, value).is_some() {
                return Err(repeated());
            }
        }
        if tags.len() > self.max_tags() {
            let what = match self {
                Self::Object => "Object tags",
                Self::Bucket => "Bucket tag count",
            };
            let message = format!("{what} cannot be greater than {}", self.max_tags());
            return Err(S3Error::new(StatusCode::BAD_REQUEST, "BadRequest", message));
        }
        Ok(Tags(tags))
    }
}

/// The tags that the headers of a request set. **Errors**: `InvalidArgument`, `InvalidTag`,
/// `BadRequest`.
pub fn of_headers(headers: &HeaderMap) -> Result<Tags, S3Error> {
    let malformed = || {
        S3Error::invalid(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query \
             parameters without tag name duplicates.",
        )
        .with_argument(TAGGING_NAME, None)
    };
    let mut lines = headers.get_all(TAGGING).iter();
    let Some(line) = lines.next() else { return Ok(Tags::default()) };
    let text = std::str::from_utf8(line.as_bytes()).ok().filter(|_| lines.next().is_none());
    let mut pairs = Vec::new();
    for pair in text.ok_or_else(malformed)?.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = decoded(name).zip(decoded(value)).filter(|(name, _)| !name.is_empty());
        pairs.push(decoded.ok_or_else(malformed)?);
    }
    Tagged::Object.collect(pairs.into_iter(), malformed)
}

fn decoded(text: &str) -> Option<String> {
    percent_decoded(&text.replace('+', " "))
}

/// The tags of a new bucket. **Errors**: `InvalidTag`, `BadRequest`.
pub fn of_bucket(pairs: Vec<(String, String)>) -> Result<Tags, S3Error> {
    Tagged::Bucket.collect(pairs.into_iter(), repeated_name)
}

fn repeated_name() -> S3Error {
    invalid("Cannot provide multiple Tags with the same key")
}

/// The tags of a document. **Errors**: `MalformedXML`, `InvalidTag`, `BadRequest`.
pub fn of_document(bytes: &[u8], tagged: Tagged) -> Result<Tags, S3Error> {
    let (mut name, mut value) = (None, None);
    let (mut pairs, mut has_set) = (Vec::new(), false);
    for (path, text) in elements(bytes, "Tagging")? {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path[..] {
            ["TagSet", "Tag", "Key"] if name.is_none() => name = Some(text),
            ["TagSet", "Tag", "Value"] if value.is_none() => value = Some(text),
            ["TagSet", "Tag"] => {
                let pair = name.take().zip(value.take());
                pairs.push(pair.ok_or_else(S3Error::malformed_xml)?);
            }
            ["TagSet"] if !has_set => has_set = true,
            _ => return Err(S3Error::malformed_xml()),
        }
    }
    if !has_set {
        return Err(S3Error::malformed_xml());
    }
    tagged.collect(pairs.into_iter(), repeated_name)
}

/// **Errors**: `InvalidTag`.
fn check(name: &str, value: &str) -> Result<(), S3Error> {
    let is_allowed = |c: char| {
        c.is_alphanumeric() || c.is_whitespace() && !c.is_control() || "_.:/=+-@".contains(c)
    };
    let fits = |text: &str, max_units: usize| {
        text.encode_utf16().count() <= max_units && text.chars().all(is_allowed)
    };
    if name.starts_with("aws:") {
        return Err(invalid("System tags cannot be added/updated by requester"));
    }
    if name.is_empty() || !fits(name, MAX_NAME_UNITS) {
        return Err(invalid("The TagKey you have provided is invalid"));
    }
    if !fits(value, MAX_VALUE_UNITS) {
        return Err(invalid("The TagValue you have provided is invalid"));
    }
    Ok(())
}

fn invalid(message: &str) -> S3Error {
    S3Error::new(StatusCode::BAD_REQUEST, "InvalidTag", message)
}

/// A response with these tags.
pub fn reply(tags: &Tags) -> super::Reply {
    let mut xml = Xml::new("Tagging");
    xml.open("TagSet");
    for (name, value) in &tags.0 {
        xml.open("Tag").element("Key", name).element("Value", value).close();
    }
    xml_reply(xml.finish())
}

impl S3Api {
    /// `?tagging` of an object, on a store that is no S3 server.
    pub(super) async fn object_tagging(
        &self,
        request: &AuthedRequest,
        document: &[u8],
    ) -> HandlerResult {
        let (bucket, key) = (&request.target.bucket, &request.target.key);
        let (tags, status) = match request.head.method.as_str() {
            "GET" => return Ok(reply(&self.shared.objects.tags(bucket, key).await?)),
            "PUT" => (of_document(document, Tagged::Object)?, StatusCode::OK),
            _ => (Tags::default(), StatusCode::NO_CONTENT),
        };
        self.shared.objects.set_tags(bucket, key, &tags).await?;
        Ok(empty_reply(status))
    }

    /// `?tagging` of a bucket, on a store that is no S3 server.
    pub(super) async fn bucket_tagging(
        &self,
        request: &AuthedRequest,
        document: &[u8],
    ) -> HandlerResult {
        let (objects, bucket) = (&self.shared.objects, &request.target.bucket);
        let tags = match request.head.method.as_str() {
            "GET" => {
                let settings = objects.bucket_settings(bucket).await?;
                let is_set = !settings.tags.is_empty();
                return if is_set { Ok(reply(&settings.tags)) } else { Err(no_tags()) };
            }
            "PUT" => of_document(document, Tagged::Bucket)?,
            _ => Tags::default(),
        };
        objects.change_bucket_settings(bucket, |settings| settings.tags = tags.clone()).await?;
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }
}

/// The tags that a copy gets. None: those of the source. **Errors**: `InvalidArgument`,
/// `InvalidTag`, `BadRequest`.
pub fn of_copy(request: &AuthedRequest) -> Result<Option<Tags>, S3Error> {
    match request.header(DIRECTIVE) {
        None | Some("COPY") => Ok(None),
        Some("REPLACE") => of_headers(&request.head.headers).map(Some),
        Some(other) => {
            Err(S3Error::invalid("Unknown tagging directive.")
                .with_argument(DIRECTIVE, Some(other)))
        }
    }
}

/// The error for the tags of a bucket that has none.
pub fn no_tags() -> S3Error {
    S3Error::new(StatusCode::NOT_FOUND, "NoSuchTagSet", "The TagSet does not exist.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_header(text: &str) -> Result<Vec<(String, String)>, &'static str> {
        let headers = HeaderMap::from_iter([(TAGGING, text.parse().unwrap())]);
        of_headers(&headers).map(|tags| tags.0.into_iter().collect()).map_err(|error| error.code)
    }

    fn from_document(inner: &str, tagged: Tagged) -> Result<usize, &'static str> {
        let text = format!("<Tagging><TagSet>{inner}</TagSet></Tagging>");
        of_document(text.as_bytes(), tagged).map(|tags| tags.len()).map_err(|error| error.code)
    }

    fn tag(name: &str, value: &str) -> String {
        format!("<Tag><Key>{name}</Key><Value>{value}</Value></Tag>")
    }

    #[test]
    fn the_header_is_a_query() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(from_header("foo=bar&bar"), Ok(vec![pair("bar", ""), pair("foo", "bar")]));
        assert_eq!(from_header("a+b=%C3%BC%3D"), Ok(vec![pair("a b", "ü=")]));
        assert_eq!(from_header(""), Ok(vec![]));
        for (text, code) in [
            ("a=1&a=2", "InvalidArgument"),
            ("a=%FF", "InvalidArgument"),
            ("a%", "InvalidArgument"),
            ("=1", "InvalidArgument"),
            ("=", "InvalidArgument"),
            ("a=!", "InvalidTag"),
            ("aws:x=1", "InvalidTag"),
            ("a&b&c&d&e&f&g&h&i&j&k", "BadRequest"),
        ] {
            assert_eq!(from_header(text), Err(code), "{text}");
        }
    }

    #[test]
    fn a_document_has_complete_tags_within_the_limits() {
        let many = |count: usize| (0..count).map(|at| tag(&format!("k{at}"), "")).collect();
        let (long_name, long_value) = ("ä".repeat(128), "ä".repeat(256));
        let table: [(String, Tagged, Result<usize, &str>); 14] = [
            (String::new(), Tagged::Object, Ok(0)),
            (many(10), Tagged::Object, Ok(10)),
            (many(11), Tagged::Object, Err("BadRequest")),
            (many(50), Tagged::Bucket, Ok(50)),
            (many(51), Tagged::Bucket, Err("BadRequest")),
            (tag(&long_name, &long_value), Tagged::Object, Ok(1)),
            (tag(&(long_name + "a"), ""), Tagged::Object, Err("InvalidTag")),
            (tag("a", &(long_value + "a")), Tagged::Object, Err("InvalidTag")),
            (tag("a", "1") + &tag("a", "2"), Tagged::Object, Err("InvalidTag")),
            (tag("", "1"), Tagged::Object, Err("InvalidTag")),
            (tag("aws:a", "1"), Tagged::Bucket, Err("InvalidTag")),
            ("<Tag><Key>a</Key></Tag>".to_owned(), Tagged::Object, Err("MalformedXML")),
            ("<Tag><Value>a</Value></Tag>".to_owned(), Tagged::Object, Err("MalformedXML")),
            ("<Other/>".to_owned(), Tagged::Object, Err("MalformedXML")),
        ];
        for (inner, tagged, expected) in table {
            assert_eq!(from_document(&inner, tagged), expected, "{inner}");
        }
        for text in ["", "<Tagging/>", "<TagSet/>", "<Tagging><TagSet>"] {
            assert!(of_document(text.as_bytes(), Tagged::Object).is_err(), "{text}");
        }
    }
}
