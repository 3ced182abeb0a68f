//! Which characters of a URI are percent-encoded, where it is signed and where it is sent.
//!
//! Guarantees: all characters except the unreserved ones of RFC 3986 §2.3, and in a path the slash.
//! What is sent in this encoding is signed byte for byte. Source: `UriEncode` of
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// Encoded in a segment of a path, and in a name or value of a query.
pub const URI_COMPONENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encoded in a path.
pub const URI_PATH: &AsciiSet = &URI_COMPONENT.remove(b'/');
