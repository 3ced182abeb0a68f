//! What is stored with an object beside its bytes.
//!
//! Guarantees: a header's bytes are kept whatever they are; the framing of a transfer is no
//! attribute of the object. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName};

use super::tags::Tags;
use crate::header_names::{
    AWS_CHUNKED, SERVER_SIDE, SERVER_STATE, SYSTEM_METADATA, WEBSITE_REDIRECT,
};

/// Metadata of an object. Names in `user` are lower case, without `x-amz-meta-`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub content_type: Option<String>,
    /// Those of `SYSTEM_METADATA` and `SERVER_SIDE`, and `WEBSITE_REDIRECT`, as the client sent
    /// them; of an object that was read, those of `SERVER_STATE` too.
    pub headers: BTreeMap<String, String>,
    pub user: BTreeMap<String, String>,
    /// For a put or an upload. In a [`Head`] only where the store reads them with the object.
    pub tags: Tags,
}

impl Attributes {
    /// The headers of a request that belong into `headers`, if they are text.
    pub fn headers_in(head: &HeaderMap) -> BTreeMap<String, String> {
        kept(head, SYSTEM_METADATA.iter().chain(&SERVER_SIDE).chain([&WEBSITE_REDIRECT]))
    }

    /// As `headers_in`, for the response of a server.
    pub fn headers_of_response(head: &HeaderMap) -> BTreeMap<String, String> {
        kept(head, SYSTEM_METADATA.iter().chain(&SERVER_SIDE).chain(&SERVER_STATE))
    }

    /// The attributes of a copy that keeps the metadata of these: S3 copies the metadata; storage
    /// class, encryption, lock and redirect are those that the request states.
    pub fn copied_with(mut self, stated: &Self) -> Self {
        let is_metadata = |name: &String| SYSTEM_METADATA.iter().any(|kept| kept == name.as_str());
        self.headers.retain(|name, _| is_metadata(name));
        let stated = stated.headers.iter().filter(|(name, _)| !is_metadata(name));
        self.headers.extend(stated.map(|(name, value)| (name.clone(), value.clone())));
        self
    }

    /// The headers that only an S3 server can act on.
    pub fn server_side(&self) -> impl Iterator<Item = (&HeaderName, &str)> {
        SERVER_SIDE
            .iter()
            .filter_map(|name| Some((name, self.headers.get(name.as_str())?.as_str())))
    }

    /// A header's value as text, from which [`Self::bytes_of`] makes the same bytes. What is not
    /// UTF-8 (clients also send Latin-1) is kept byte by byte, in characters for private use.
    pub fn text_of(bytes: &[u8]) -> String {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.is_ascii() || !text.chars().any(is_raw_byte) => text.to_owned(),
            Ok(_) | Err(_) => bytes.iter().copied().map(raw_byte).collect(),
        }
    }

    /// The bytes that a header with this value has.
    pub fn bytes_of(text: &str) -> Cow<'_, [u8]> {
        if text.is_ascii() || !text.chars().any(is_raw_byte) {
            return Cow::Borrowed(text.as_bytes());
        }
        let mut bytes = Vec::with_capacity(text.len());
        for char in text.chars() {
            match u8::try_from(u32::from(char).wrapping_sub(RAW_BYTES)) {
                Ok(byte) if is_raw_byte(char) => bytes.push(byte),
                Ok(_) | Err(_) => {
                    bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        Cow::Owned(bytes)
    }
}

fn kept<'a>(
    head: &HeaderMap,
    names: impl Iterator<Item = &'a HeaderName>,
) -> BTreeMap<String, String> {
    let kept = names.filter_map(|name| {
        let value = Attributes::text_of(head.get(name)?.as_bytes());
        let value = if *name == CONTENT_ENCODING { without_framing(&value) } else { value };
        (!value.is_empty()).then(|| (name.as_str().to_owned(), value))
    });
    kept.collect()
}

/// The first of 256 characters for private use that stand for single bytes; only those of bytes
/// that are not ASCII are used, U+EF80 to U+EFFF. Source: MirBSD, which has the same ones for it
/// (OPTU-8).
const RAW_BYTES: u32 = 0xEF00;

fn is_raw_byte(char: char) -> bool {
    (RAW_BYTES + 0x80..=RAW_BYTES + 0xFF).contains(&u32::from(char))
}

fn raw_byte(byte: u8) -> char {
    if byte.is_ascii() {
        return char::from(byte);
    }
    char::from_u32(RAW_BYTES + u32::from(byte)).expect("U+EF80 to U+EFFF are characters")
}

/// Prefixes and suffixes of the names of user metadata that make some server do more than store it.
/// MinIO, RustFS and AWS's Snowball unpack a body that is an archive, to keys of the bucket that
/// the archive names (`snowball-…`); older RustFS uses `x-rustfs-…` and `x-minio-…` for its own
/// records; CloudServer puts the object elsewhere, or takes its size from the metadata (`scal-…`,
/// `mdonly`); versitygw on Azure stores locks and expiry this way. Sources: MinIO
/// `cmd/api-router.go` and `internal/http/headers.go`; RustFS `app/object/extract.rs` and
/// `storage/options.rs`; CloudServer `constants.js` and
/// `lib/api/apiUtils/object/createAndStoreObject.js`; versitygw `backend/azure/azure.go`.
const ACTED_ON_PREFIXES: [&str; 10] = [
    "snowball-",
    "minio-snowball-",
    "rustfs-snowball-",
    "x-minio-",
    "x-rustfs-",
    "scal-",
    "mdonly",
    "objectlegalhold",
    "objectretention",
    "vgwexpires",
];
const ACTED_ON_SUFFIXES: [&str; 3] =
    ["snowball-prefix", "snowball-ignore-dirs", "snowball-ignore-errors"];

/// Whether a server behind the gateway might do more with user metadata of this name, in lower
/// case, than store it.
pub fn acts_on_metadata(name: &str) -> bool {
    ACTED_ON_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || ACTED_ON_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// A content encoding without `aws-chunked`, which describes the transfer of a body and not the
/// object. Needed for servers too: SeaweedFS stores the `aws-chunked` of a put with a trailer as
/// the object's own encoding.
fn without_framing(value: &str) -> String {
    value
        .split(',')
        .map(str::trim)
        .filter(|word| *word != AWS_CHUNKED)
        .collect::<Vec<_>>()
        .join(",")
}
