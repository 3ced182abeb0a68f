//! Parsing the XML documents of CompleteMultipartUpload, CreateBucket, DeleteObjects and
//! RestoreObject.
//!
//! Guarantees: no entity is expanded and a document type is refused, so no document grows while it
//! is parsed; depth is bounded here and length by the caller; unknown elements are ignored, as S3
//! does. Pure.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::conditions::{tag_condition, time, unquoted};
use super::error::S3Error;
use super::tagging;
use crate::digest::{Algorithm, Checksum};
use crate::names::Key;
use crate::object::{DeleteOptions, PartNumber, Tags};
use crate::upload::ChosenEntry;

/// No document of S3 is nested deeper.
const MAX_DEPTH: usize = 8;

/// A key to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    pub key: Key,
    pub options: DeleteOptions,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletions {
    pub keys: Vec<Deletion>,
    /// Whether the response lists only failures.
    pub quiet: bool,
}

/// **Errors**: `MalformedXML`, `NotImplemented` for a list of ETags.
pub fn deletions(bytes: &[u8]) -> Result<Deletions, S3Error> {
    let mut deletions = Deletions::default();
    let mut failure = None;
    walk(bytes, "Delete", |path, text| match path {
        ["Object"] => deletions.keys.push(Deletion::default()),
        ["Object", "Key"] => {
            if let Some(last) = deletions.keys.last_mut() {
                last.key = text.into();
            }
        }
        ["Object", name] => {
            if let Some(last) = deletions.keys.last_mut().filter(|_| !text.trim().is_empty()) {
                failure = failure.take().or(set_option(&mut last.options, name, text).err());
            }
        }
        ["Quiet"] => deletions.quiet = text == "true",
        _ => {}
    })?;
    failure.map_or(Ok(deletions), Err)
}

/// Takes the element of a key to delete that names its version or a condition.
fn set_option(options: &mut DeleteOptions, name: &str, text: &str) -> Result<(), S3Error> {
    let conditions = &mut options.conditions;
    match name {
        "VersionId" => options.version = Some(text.to_owned()),
        "ETag" => conditions.if_match = Some(tag_condition(text)?),
        "LastModifiedTime" => {
            conditions.modified = Some(time(text).ok_or_else(S3Error::malformed_xml)?);
        }
        "Size" => {
            let size = text.trim().parse().map_err(|_| S3Error::malformed_xml())?;
            conditions.size_bytes = Some(size);
        }
        _ => {}
    }
    Ok(())
}

/// A part as the document of a CompleteMultipartUpload states it.
#[derive(Default)]
struct StatedPart {
    number: Option<String>,
    etag: Option<String>,
    checksums: Vec<(Algorithm, String)>,
}

/// The parts of a CompleteMultipartUpload, in the order of the document. **Errors**:
/// `MalformedXML`, `InvalidPartOrder`, `InvalidArgument`.
pub fn chosen_parts(bytes: &[u8]) -> Result<Vec<ChosenEntry>, S3Error> {
    let mut parts: Vec<StatedPart> = Vec::new();
    walk(bytes, "CompleteMultipartUpload", |path, text| match path {
        ["Part"] => parts.push(StatedPart::default()),
        ["Part", "PartNumber"] => {
            if let Some(last) = parts.last_mut() {
                last.number = Some(text.to_owned());
            }
        }
        ["Part", "ETag"] => {
            if let Some(last) = parts.last_mut() {
                last.etag = Some(text.to_owned());
            }
        }
        ["Part", name] => {
            let algorithm = name.strip_prefix("Checksum").and_then(|name| name.parse().ok());
            if let Some((last, algorithm)) = parts.last_mut().zip(algorithm) {
                last.checksums.push((algorithm, text.to_owned()));
            }
        }
        _ => {}
    })?;
    if parts.is_empty() {
        return Err(S3Error::malformed_xml());
    }
    let entry = |part: StatedPart| {
        let (number, etag) = part.number.zip(part.etag).ok_or_else(S3Error::malformed_xml)?;
        Ok(ChosenEntry {
            number: part_number(&number)?,
            etag: unquoted(&etag),
            checksum: part_checksum(&part.checksums)?,
        })
    };
    let parts: Vec<ChosenEntry> = parts.into_iter().map(entry).collect::<Result<_, S3Error>>()?;
    if parts.windows(2).any(|pair| pair[0].number >= pair[1].number) {
        let message = "the parts must be listed in ascending order";
        return Err(S3Error::new(http::StatusCode::BAD_REQUEST, "InvalidPartOrder", message));
    }
    Ok(parts)
}

/// **Errors**: `MalformedXML` for what is no number, `InvalidArgument` for one out of range.
fn part_number(text: &str) -> Result<PartNumber, S3Error> {
    let number: i64 = text.trim().parse().map_err(|_| S3Error::malformed_xml())?;
    u32::try_from(number).ok().and_then(PartNumber::new).ok_or_else(|| {
        let bound = if number < 1 { ">= 1" } else { "<= 10000" };
        S3Error::invalid(format!("PartNumber must be {bound}"))
            .with_argument("PartNumber", Some(text))
    })
}

/// What the document of CreateBucket asks for.
#[derive(Debug, Default)]
pub struct BucketConfiguration {
    pub location: Option<String>,
    pub tags: Tags,
}

/// The document of CreateBucket, which may be absent. **Errors**: `MalformedXML`, `InvalidTag`,
/// `BadRequest`; `NotImplemented` for what asks for another kind of bucket.
pub fn bucket_configuration(bytes: &[u8]) -> Result<BucketConfiguration, S3Error> {
    let mut asked = BucketConfiguration::default();
    if bytes.is_empty() {
        return Ok(asked);
    }
    let (mut name, mut value, mut pairs) = (None, None, Vec::new());
    for (path, text) in elements(bytes, "CreateBucketConfiguration")? {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path[..] {
            ["LocationConstraint"] if asked.location.is_none() => {
                asked.location = Some(text.trim().to_owned());
            }
            ["Tags", "Tag", "Key"] if name.is_none() => name = Some(text),
            ["Tags", "Tag", "Value"] if value.is_none() => value = Some(text),
            ["Tags", "Tag"] => {
                let pair = name.take().zip(value.take());
                pairs.push(pair.ok_or_else(S3Error::malformed_xml)?);
            }
            ["Tags"] => {}
            ["LocationConstraint" | "Tags", ..] => return Err(S3Error::malformed_xml()),
            _ => {
                let what = format!("{} of a new bucket", path.join("/"));
                return Err(S3Error::not_implemented(&what));
            }
        }
    }
    asked.tags = tagging::of_bucket(pairs)?;
    Ok(asked)
}

/// The checksum that the document states of a part. **Errors**: `InvalidArgument`.
fn part_checksum(stated: &[(Algorithm, String)]) -> Result<Option<Checksum>, S3Error> {
    let invalid = || S3Error::invalid("Invalid Base64 or multiple checksums present in request");
    match stated {
        [] => Ok(None),
        [(algorithm, text)] => {
            Checksum::from_base64(*algorithm, text.trim()).map(Some).ok_or_else(invalid)
        }
        [_, _, ..] => Err(invalid()),
    }
}

/// All elements below the root, in the order in which they close: the path without the root, and
/// the text. **Errors**: `MalformedXML`.
pub fn elements(bytes: &[u8], root: &str) -> Result<Vec<(Vec<String>, String)>, S3Error> {
    let mut all = Vec::new();
    read(bytes, root, |tag, path, text| {
        if tag != Tag::Start {
            all.push((path.iter().map(|name| (*name).to_owned()).collect(), text.to_owned()));
        }
    })?;
    Ok(all)
}

/// Calls `visit` with path and text: for each child of the root when it opens, with an empty text;
/// for each element below the root when it closes, unless it is a child of the root without text.
/// The path is without the root.
fn walk(bytes: &[u8], root: &str, mut visit: impl FnMut(&[&str], &str)) -> Result<(), S3Error> {
    read(bytes, root, |tag, path, text| match tag {
        Tag::Start if path.len() == 1 => visit(path, ""),
        Tag::End if path.len() > 1 || !text.trim().is_empty() => visit(path, text),
        Tag::Start | Tag::End | Tag::Empty => {}
    })
}

/// Which tag of an element was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Start,
    End,
    /// `<Name/>`.
    Empty,
}

fn read(
    bytes: &[u8],
    root: &str,
    mut visit: impl FnMut(Tag, &[&str], &str),
) -> Result<(), S3Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| S3Error::malformed_xml())?;
    let mut reader = Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut value = String::new();
    let mut complete = false;
    loop {
        match reader.read_event().map_err(|_| S3Error::malformed_xml())? {
            Event::Start(tag) => {
                let name = tag.local_name();
                let name: &str = name.as_ref();
                if path.is_empty() && (name != root || complete) || path.len() == MAX_DEPTH {
                    return Err(S3Error::malformed_xml());
                }
                path.push(name.to_owned());
                value.clear();
                if path.len() > 1 {
                    visit(Tag::Start, &below_root(&path), "");
                }
            }
            Event::Empty(tag) if path.is_empty() => {
                let name = tag.local_name();
                let name: &str = name.as_ref();
                complete = name == root;
            }
            Event::Empty(tag) => {
                let name = tag.local_name();
                let mut path = below_root(&path);
                path.push(name.as_ref());
                visit(Tag::Empty, &path, "");
            }
            Event::Text(text) => {
                let text: &str = text.as_ref();
                value.push_str(text);
            }
            Event::CData(text) => {
                let text: &str = text.as_ref();
                value.push_str(text);
            }
            Event::GeneralRef(name) => {
                let name: &str = name.as_ref();
                value.push(reference(name).ok_or_else(S3Error::malformed_xml)?);
            }
            Event::End(_) => {
                if path.len() > 1 {
                    visit(Tag::End, &below_root(&path), &value);
                }
                path.pop();
                value.clear();
                complete = path.is_empty();
            }
            Event::DocType(_) => return Err(S3Error::malformed_xml()),
            Event::Eof if complete => return Ok(()),
            Event::Eof => return Err(S3Error::malformed_xml()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

/// The path without the root.
fn below_root(path: &[String]) -> Vec<&str> {
    path.iter().skip(1).map(String::as_str).collect()
}

/// The character of a predefined entity or a character reference.
fn reference(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        other => {
            let digits = other.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;
    use crate::object::{DeleteConditions, TagCondition};

    #[test]
    fn deletions_are_parsed() {
        let text = "<?xml version=\"1.0\"?><Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n  <Quiet>true</Quiet>\
                    <Object><Key>a&amp;b &#x41;/</Key></Object><Object><Key>c</Key><VersionId>v</VersionId></Object></Delete>";
        let parsed = deletions(text.as_bytes()).unwrap();
        let keys: Vec<(&str, Option<&str>)> = parsed
            .keys
            .iter()
            .map(|entry| (entry.key.as_str(), entry.options.version.as_deref()))
            .collect();
        assert_eq!((parsed.quiet, keys), (true, vec![("a&b A/", None), ("c", Some("v"))]));
        let object = |inner: &str| {
            let text = format!("<Delete><Object><Key>k</Key>{inner}</Object></Delete>");
            deletions(text.as_bytes()).map(|parsed| parsed.keys[0].options.clone())
        };
        let found = object(
            "<VersionId>null</VersionId><ETag>&quot;e&quot;</ETag><Size>5</Size>\
             <LastModifiedTime>Thu, 01 Jan 1970 00:00:09 GMT</LastModifiedTime>",
        )
        .unwrap();
        let nine = std::time::UNIX_EPOCH + std::time::Duration::from_secs(9);
        let conditions = DeleteConditions {
            if_match: Some(TagCondition::Tag("e".into())),
            modified: Some(nine),
            size_bytes: Some(5),
        };
        let version = Some("null".to_owned());
        assert_eq!(found, DeleteOptions { version, conditions, ..DeleteOptions::default() });
        for (inner, code) in [
            ("<Size>x</Size>", "MalformedXML"),
            ("<LastModifiedTime>now</LastModifiedTime>", "MalformedXML"),
            ("<ETag>a,b</ETag>", "NotImplemented"),
        ] {
            assert_eq!(object(inner).unwrap_err().code, code, "{inner}");
        }
    }

    #[test]
    fn chosen_parts_are_parsed_and_checked() {
        let part = |number: &str, etag: &str| {
            format!("<Part><ETag>{etag}</ETag><PartNumber>{number}</PartNumber></Part>")
        };
        let document = |parts: &[String]| {
            format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.concat())
        };
        let found =
            chosen_parts(document(&[part("1", "&quot;a&quot;"), part("3", "b")]).as_bytes())
                .unwrap();
        let found: Vec<(u16, &str)> =
            found.iter().map(|part| (part.number.get(), part.etag.as_str())).collect();
        assert_eq!(found, [(1, "a"), (3, "b")]);
        let code = |text: String| chosen_parts(text.as_bytes()).unwrap_err().code;
        assert_eq!(code(document(&[part("2", "a"), part("1", "b")])), "InvalidPartOrder");
        assert_eq!(code(document(&[part("1", "a"), part("1", "b")])), "InvalidPartOrder");
        for (number, expected) in [
            ("0", "InvalidArgument"),
            ("-4", "InvalidArgument"),
            ("10001", "InvalidArgument"),
            ("x", "MalformedXML"),
        ] {
            assert_eq!(code(document(&[part(number, "a")])), expected, "{number}");
        }
        for incomplete in ["<PartNumber>1</PartNumber>", "<ETag>a</ETag>"] {
            let text = document(&[format!("<Part>{incomplete}</Part>")]);
            assert_eq!(code(text), "MalformedXML", "{incomplete}");
        }
        let summed = |sums: &str| document(&[part("1", "a").replacen("<ETag>", sums, 1)]);
        let one = "<ChecksumXXHASH64>RLws9a13CZk=</ChecksumXXHASH64><ETag>";
        let found = chosen_parts(summed(one).as_bytes()).unwrap();
        assert_eq!(
            found[0].checksum,
            Checksum::from_base64(Algorithm::Xxhash64, "RLws9a13CZk="),
            "{found:?}"
        );
        for bad in [
            "<ChecksumCRC32>RLws9a13CZk=</ChecksumCRC32><ETag>",
            "<ChecksumCRC32></ChecksumCRC32><ETag>",
            &format!("<ChecksumCRC32>AAAAAA==</ChecksumCRC32>{one}"),
        ] {
            assert_eq!(code(summed(bad)), "InvalidArgument", "{bad}");
        }
        for bad in [
            "",
            "<A/>",
            "<CompleteMultipartUpload>",
            "<CompleteMultipartUpload/>",
            "x",
            "<Delete></Delete>",
        ] {
            assert_eq!(code(bad.to_owned()), "MalformedXML", "{bad}");
        }
    }

    #[test]
    fn entity_expansion_and_deep_nesting_are_refused() {
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><Delete><Object><Key>&b;</Key></Object></Delete>";
        assert!(deletions(bomb.as_bytes()).is_err());
        assert!(deletions("<Delete><Object><Key>&b;</Key></Object></Delete>".as_bytes()).is_err());
        let deep = format!("<Delete>{}", "<Object>".repeat(100_000));
        assert!(deletions(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "[<>/&;a-zA-Z \"=!#?\\[\\]-]{0,200}") {
            deletions(text.as_bytes()).ok();
            chosen_parts(format!("<CompleteMultipartUpload>{text}</CompleteMultipartUpload>").as_bytes()).ok();
        }
    }
}
