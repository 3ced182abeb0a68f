//! ListObjectsV2 and ListObjects: the request, and the parser of the response.
//!
//! Guarantees: a document that is truncated, malformed, or no listing is an error and never a
//! shorter page; unknown elements are ignored. Names are returned decoded; a server that does not
//! say `url` has not encoded them. A page continues with the server's own token: with `start-after`
//! in its place some servers pass over keys (docs/backends.md#listing-with-start-after). A key
//! outside of the prefix is left out. The SDK is not used, because it takes more than twice the
//! processor time (docs/decisions/0018-listings-without-the-sdk.md). Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>.

use std::time::SystemTime;

use aws_smithy_types::date_time::{DateTime, Format};
use http::Method;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};

use super::super::listing::after;
use super::super::{
    Body, BodyError, Bucket, ETag, Error, Key, ListApi, ListOptions, Listed, Next, Page, Result,
};
use super::signed_client::{SignedClient, StoreRequest, document};
use crate::digest::Sha256;
use crate::sigv4::{Payload, URI_COMPONENT};

/// A page of 1,000 keys of 1,024 bytes, each byte encoded as three, is some 4 MiB.
const MAX_DOCUMENT_BYTES: usize = 16 << 20;
/// The type of a checksum of all bytes of an object. Of the objects that the gateway made of parts
/// the server knows another checksum than the client's.
const FULL_OBJECT: &str = "FULL_OBJECT";
/// More than the elements of any listing are nested.
const MAX_DEPTH: usize = 8;

pub(super) async fn list(
    client: &SignedClient,
    bucket: &Bucket,
    options: &ListOptions,
) -> Result<Page> {
    let request = StoreRequest {
        method: Method::GET,
        bucket,
        key: &Key::from(String::new()),
        query: query(options),
        headers: Vec::new(),
        user: Vec::new(),
        payload: Payload::Sha256(Sha256::of(b"").0),
    };
    let (response, _permit) = client.send(request, Body::empty()).await?;
    let unreadable = |cause: BodyError| {
        Error::unavailable(format!("the listing of {bucket} cannot be read")).because(cause)
    };
    let document = document(response, MAX_DOCUMENT_BYTES).await.map_err(unreadable)?;
    let mut page = page(&document).map_err(unreadable)?;
    let token = page.next.as_ref().and_then(|next| next.token.as_ref());
    if token.is_some() && token == options.token.as_ref() {
        return Err(unreadable("the store's listing does not advance".into()));
    }
    if !options.prefix.is_empty() {
        page.objects.retain(|object| object.key.as_str().starts_with(&options.prefix));
        page.prefixes.retain(|prefix| prefix.starts_with(&options.prefix));
    }
    Ok(page)
}

fn query(options: &ListOptions) -> String {
    let mut query = match options.api {
        ListApi::V2 => "list-type=2&encoding-type=url".to_owned(),
        ListApi::V1 => "encoding-type=url".to_owned(),
    };
    let mut add = |name: &str, value: &str| {
        query.extend(["&", name, "="]);
        query.extend(utf8_percent_encode(value, URI_COMPONENT));
    };
    add("prefix", &options.prefix);
    if options.limit > 0 {
        add("max-keys", &options.limit.to_string());
    }
    if let Some(delimiter) = &options.delimiter {
        add("delimiter", delimiter);
    }
    match (options.api, &options.token) {
        (ListApi::V2, Some(token)) => add("continuation-token", token),
        (ListApi::V2, None) => after(options).iter().for_each(|after| add("start-after", after)),
        // The server knows which markers are rolled-up prefixes.
        (ListApi::V1, _) => options.after.iter().for_each(|after| add("marker", after)),
    }
    query
}

/// The elements of a listing; those that are not read are `Other`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Listing,
    Contents,
    Key,
    LastModified,
    ETag,
    Size,
    StorageClass,
    ChecksumAlgorithm,
    ChecksumType,
    CommonPrefixes,
    Prefix,
    IsTruncated,
    EncodingType,
    NextContinuationToken,
    NextMarker,
    Other,
}

impl From<&str> for Element {
    fn from(name: &str) -> Self {
        match name {
            "ListBucketResult" => Self::Listing,
            "Contents" => Self::Contents,
            "Key" => Self::Key,
            "LastModified" => Self::LastModified,
            "StorageClass" => Self::StorageClass,
            "ChecksumAlgorithm" => Self::ChecksumAlgorithm,
            "ChecksumType" => Self::ChecksumType,
            "ETag" => Self::ETag,
            "Size" => Self::Size,
            "CommonPrefixes" => Self::CommonPrefixes,
            "Prefix" => Self::Prefix,
            "IsTruncated" => Self::IsTruncated,
            "EncodingType" => Self::EncodingType,
            "NextContinuationToken" => Self::NextContinuationToken,
            "NextMarker" => Self::NextMarker,
            _ => Self::Other,
        }
    }
}

/// What was parsed so far.
#[derive(Default)]
struct Parsed {
    page: Page,
    /// Whether the checksum of the last object is one of all its bytes, not of its parts.
    is_full_object: bool,
    encoded: bool,
    more: bool,
    token: Option<String>,
    marker: Option<String>,
}

/// Parses a document. **Errors**: it is no listing, or truncated.
fn page(document: &[u8]) -> std::result::Result<Page, BodyError> {
    let mut reader = Reader::from_str(std::str::from_utf8(document)?);
    let (mut path, mut value) = (Vec::with_capacity(MAX_DEPTH), String::new());
    let mut parsed = Parsed::default();
    loop {
        match reader.read_event()? {
            Event::Start(tag) => {
                let element = Element::from(tag.local_name().as_ref());
                if path.is_empty() && element != Element::Listing || path.len() == MAX_DEPTH {
                    return Err("the store's response is no listing".into());
                }
                path.push(element);
                value.clear();
                if path == [Element::Listing, Element::Contents] {
                    parsed.page.objects.push(empty_entry());
                    parsed.is_full_object = false;
                }
            }
            Event::Text(text) => value.push_str(&text),
            Event::CData(text) => value.push_str(&text),
            Event::GeneralRef(name) => value.push(character(&name)?),
            Event::End(_) => {
                parsed.end_element(&path, &value)?;
                path.pop();
                value.clear();
                if path.is_empty() {
                    return parsed.finish();
                }
            }
            Event::Eof => return Err("the store's listing is truncated".into()),
            Event::DocType(_) => return Err("the store's response is no listing".into()),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

impl Parsed {
    /// Takes the text of an element at its end tag.
    fn end_element(&mut self, path: &[Element], value: &str) -> std::result::Result<(), BodyError> {
        match (path, self.page.objects.last_mut()) {
            ([_, Element::Contents, Element::Key], Some(object)) => object.key = Key::from(value),
            ([_, Element::Contents, Element::Size], Some(object)) => {
                object.size_bytes = value.parse()?
            }
            ([_, Element::Contents, Element::ETag], Some(object)) => {
                object.etag = ETag::from(value.trim_matches('"'))
            }
            ([_, Element::Contents, Element::LastModified], Some(object)) => {
                object.modified =
                    DateTime::from_str(value, Format::DateTimeWithOffset)?.try_into()?;
            }
            ([_, Element::Contents, Element::StorageClass], Some(object)) => {
                object.storage_class = Some(value.to_owned()).filter(|class| !class.is_empty());
            }
            ([_, Element::Contents, Element::ChecksumAlgorithm], Some(object)) => {
                object.checksum = value.parse().ok();
            }
            ([_, Element::Contents, Element::ChecksumType], _) => {
                self.is_full_object = value == FULL_OBJECT;
            }
            ([_, Element::Contents], Some(object)) if !self.is_full_object => {
                object.checksum = None;
            }
            ([_, Element::CommonPrefixes, Element::Prefix], _) => {
                self.page.prefixes.push(value.to_owned())
            }
            ([_, Element::IsTruncated], _) => self.more = value.parse()?,
            ([_, Element::EncodingType], _) => self.encoded = value == "url",
            ([_, Element::NextContinuationToken], _) => self.token = Some(value.to_owned()),
            ([_, Element::NextMarker], _) => self.marker = Some(value.to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> std::result::Result<Page, BodyError> {
        let Self { mut page, encoded, more, token, marker, is_full_object: _ } = self;
        let keys = page.objects.iter().map(|object| object.key.as_str());
        if keys.chain(page.prefixes.iter().map(String::as_str)).any(str::is_empty) {
            return Err("the store's listing has a key without a name".into());
        }
        if encoded {
            let is_encoded = |name: &str| name.contains(['%', '+']);
            for object in page.objects.iter_mut().filter(|object| is_encoded(&object.key)) {
                object.key = decoded(&object.key).into();
            }
            for prefix in page.prefixes.iter_mut().filter(|prefix| is_encoded(prefix)) {
                *prefix = decoded(prefix);
            }
        }
        if more {
            let token = token.filter(|token| !token.is_empty());
            let marker = marker.filter(|marker| !marker.is_empty());
            // SeaweedFS encodes keys, but not the marker: of its two readings, the one that is the
            // last name of the page is the right one
            // (docs/backends.md#the-marker-of-an-encoded-listing).
            let marker = marker.map(|text| {
                let is_last = page.last() == Some(text.as_str());
                if encoded && !is_last { decoded(&text) } else { text }
            });
            let last = marker.or_else(|| page.last().map(str::to_owned));
            // A server may end a page before its first key, if it says how the listing continues.
            let after = last.or_else(|| token.as_ref().map(|_| String::new()));
            let after = after.ok_or("the store's listing continues after an empty page")?;
            page.next = Some(Next { after, token });
        }
        Ok(page)
    }
}

/// An entry whose elements are not parsed yet.
fn empty_entry() -> Listed {
    Listed {
        key: Key::from(String::new()),
        size_bytes: 0,
        etag: ETag::from(""),
        modified: SystemTime::UNIX_EPOCH,
        storage_class: None,
        checksum: None,
    }
}

fn character(name: &BytesRef<'_>) -> std::result::Result<char, BodyError> {
    let predefined = || resolve_predefined_entity(name).and_then(|text| text.chars().next());
    let found = name.resolve_char_ref()?.or_else(predefined);
    found.ok_or_else(|| "the store's listing has an undefined XML entity".into())
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::digest::Algorithm;

    /// As AWS prints its examples, with an owner, whitespace between elements and a prefix of the
    /// page's own.
    fn listing(inside: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n  \
             <Name>bucket</Name>\n  <Prefix>x</Prefix>\n  <StartAfter/>\n  {inside}\n</ListBucketResult>\n"
        )
    }

    #[test]
    fn objects_and_prefixes_are_read() {
        let text = listing(
            "<IsTruncated>true</IsTruncated><Contents>\n<Key>a%2Bb+%C3%A4&amp;</Key>\
             <LastModified>2009-10-12T17:50:30.120Z</LastModified>\
             <ETag>&quot;t&#x61;g&#34;</ETag><Size>434234</Size>\
             <Owner><ID>1</ID><Key>other</Key></Owner>\
             <ChecksumType>FULL_OBJECT</ChecksumType></Contents>\
             <Contents><Key>b</Key><ETag>\"u\"</ETag></Contents>\
             <CommonPrefixes><Prefix>c%2F</Prefix></CommonPrefixes><EncodingType>url</EncodingType>",
        );
        let page = page(text.as_bytes()).unwrap();
        let found: Vec<_> = page
            .objects
            .iter()
            .map(|object| (object.key.as_str(), object.etag.as_str(), object.size_bytes))
            .collect();
        assert_eq!(found, [("a+b ä&", "tag", 434_234), ("b", "u", 0)]);
        assert_eq!(
            page.objects[0].modified,
            SystemTime::UNIX_EPOCH + Duration::from_millis(1_255_369_830_120)
        );
        let next = Next { after: "c/".to_owned(), token: None };
        assert_eq!((page.prefixes, page.next), (vec!["c/".to_owned()], Some(next)));
    }

    #[test]
    fn only_a_checksum_of_all_bytes_is_that_of_the_object() {
        let table = [
            ("<ChecksumAlgorithm>CRC32C</ChecksumAlgorithm>", "FULL_OBJECT", Some("CRC32C")),
            ("<ChecksumAlgorithm>SHA256</ChecksumAlgorithm>", "COMPOSITE", None),
            ("<ChecksumAlgorithm>CRC16</ChecksumAlgorithm>", "FULL_OBJECT", None),
            ("", "FULL_OBJECT", None),
        ];
        for (algorithm, kind, expected) in table {
            let kind = format!("<ChecksumType>{kind}</ChecksumType>");
            for both in [format!("{kind}{algorithm}"), format!("{algorithm}{kind}")] {
                let other = "<Contents><Key>b</Key><ChecksumAlgorithm>SHA1</ChecksumAlgorithm>";
                let text =
                    listing(&format!("<Contents><Key>a</Key>{both}</Contents>{other}</Contents>"));
                let page = page(text.as_bytes()).unwrap();
                let found = page.objects[0].checksum.map(Algorithm::name);
                assert_eq!((found, page.objects[1].checksum), (expected, None), "{text}");
            }
        }
    }

    #[test]
    fn comments_cdata_and_references_in_a_text_are_resolved() {
        let text = listing(
            "<EncodingType>url</EncodingType><Contents><Key>a<!-- no -->b<![CDATA[<c]]>\n</Key><ETag/></Contents>\
             <Contents/>",
        );
        let page = page(text.as_bytes()).unwrap();
        assert_eq!((page.objects.len(), page.objects[0].key.as_str()), (1, "ab<c\n"));
        let prefixed = "<s3:ListBucketResult><s3:Contents><s3:Key>a</s3:Key></s3:Contents></s3:ListBucketResult>";
        assert_eq!(super::page(prefixed.as_bytes()).unwrap().objects[0].key.as_str(), "a");
    }

    #[test]
    fn a_page_continues_as_the_server_says() {
        let next = |inside: &str| {
            let text = listing(&format!("<IsTruncated>true</IsTruncated>{inside}"));
            page(text.as_bytes()).unwrap().next.map(|next| (next.after, next.token))
        };
        let (url, key) = ("<EncodingType>url</EncodingType>", "<Contents><Key>a</Key></Contents>");
        let of =
            |after: &str, token: Option<&str>| Some((after.to_owned(), token.map(str::to_owned)));
        let token = "<NextContinuationToken>a%2F+</NextContinuationToken>";
        // The token is opaque: encoding-type says nothing of it.
        assert_eq!(next(&format!("{url}{key}{token}")), of("a", Some("a%2F+")));
        assert_eq!(next(&format!("{url}{token}")), of("", Some("a%2F+")));
        assert_eq!(next(&format!("{url}{key}<NextMarker>a%2F</NextMarker>")), of("a/", None));
        assert_eq!(next(&format!("{key}<NextMarker>a%2F</NextMarker>")), of("a%2F", None));
        let odd = "<Contents><Key>a%2Bb%2541</Key></Contents>";
        for marker in ["a+b%41", "a%2Bb%2541"] {
            let marker = format!("<NextMarker>{marker}</NextMarker>");
            assert_eq!(next(&format!("{url}{odd}{marker}")), of("a+b%41", None));
        }
        assert_eq!(next(&format!("{key}<NextMarker/><NextContinuationToken/>")), of("a", None));
    }

    #[test]
    fn an_invalid_value_is_an_error() {
        for bad in [
            "<IsTruncated>True</IsTruncated>",
            "<IsTruncated>true</IsTruncated>",
            "<Contents><Size>1</Size></Contents>",
            "<Contents><Key/></Contents>",
            "<Contents><Key>a</Key><Size>x</Size></Contents>",
            "<Contents><Key>a</Key><LastModified>2026-11-26 15:08:01</LastModified></Contents>",
            "<CommonPrefixes><Prefix></Prefix></CommonPrefixes>",
        ] {
            assert!(page(listing(bad).as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_decoded_only_if_the_server_encoded_them() {
        let text =
            listing("<Contents><Key>a%2Bb+</Key></Contents><IsTruncated>false</IsTruncated>");
        let page = page(text.as_bytes()).unwrap();
        assert_eq!((page.objects[0].key.as_str(), page.next), ("a%2Bb+", None));
    }

    #[test]
    fn a_truncated_or_other_document_is_an_error() {
        let whole = listing("<Contents><Key>a</Key></Contents>");
        let cut = whole.find("</ListBucketResult>").unwrap();
        let deep = format!("<ListBucketResult>{}", "<a>".repeat(100_000));
        let bad = [
            "",
            "OK",
            "<html></html>",
            "<ListBucketResult>&a;</ListBucketResult>",
            "\u{1}<",
            &whole[..cut],
            &deep,
        ];
        for text in bad {
            assert!(page(text.as_bytes()).is_err(), "{text}");
        }
        assert!(page(b"<ListBucketResult>\xff</ListBucketResult>").is_err());
        assert!(page(whole.as_bytes()).is_ok());
        assert!(page(b"<ListBucketResult></ListBucketResult>").is_ok());
    }

    #[test]
    fn a_page_begins_after_all_keys_of_a_rolled_up_prefix() {
        let options = |after: &str| ListOptions {
            prefix: "a/".to_owned(),
            delimiter: Some("/".to_owned()),
            after: Some(after.to_owned()),
            limit: 3,
            ..ListOptions::default()
        };
        let common =
            "list-type=2&encoding-type=url&prefix=a%2F&max-keys=3&delimiter=%2F&start-after=a%2F";
        assert_eq!(query(&options("a/b")), format!("{common}b"));
        assert_eq!(query(&options("a/b/")), format!("{common}b%2F%F4%8F%BF%BF"));
        assert_eq!(query(&options("a/")), common);
        let below = common.split("&start-after").next().unwrap();
        assert_eq!(query(&options("a")), below, "the page begins with its prefix");
        assert_eq!(query(&ListOptions::default()), "list-type=2&encoding-type=url&prefix=");
        let mut next = options("a/b");
        next.continue_at(Next { after: "a/b".to_owned(), token: Some("t/".to_owned()) });
        assert_eq!(query(&next), format!("{below}&continuation-token=t%2F"));
        let v1 = ListOptions { api: ListApi::V1, after: Some("a/b/".to_owned()), ..next };
        let expected = "encoding-type=url&prefix=a%2F&max-keys=3&delimiter=%2F&marker=a%2Fb%2F";
        assert_eq!(query(&v1), expected);
    }
}
