//! Headers that stand in the query of a presigned URL.
//!
//! SDKs move headers that begin with `x-amz-` into the query of a URL that they sign: metadata, the
//! source of a copy, tags, encryption. Guarantees: such a parameter counts as the header of that
//! name, for every operation and both versions of the signature; a header and a parameter of one
//! name must agree. Called only once the signature, which covers the query, is verified. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>,
//! docs/clients.md#headers-in-presigned-urls.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::super::error::S3Error;
use super::is_header_in_query;
use crate::digest::{Algorithm, ChecksumHasher};
use crate::web::Query;

/// The parameter that only a URL with a signature of version 2 has. Its signature covers these
/// headers too, and boto3 moves them into the query.
const SIGNATURE_V2: &str = "Signature";
const HEADERS_OF_V2: [&str; 2] = ["content-md5", "content-type"];

/// Which algorithm the SDK chose; without a checksum it says nothing.
const SDK_ALGORITHM: &str = "x-amz-sdk-checksum-algorithm";

/// Adds the headers in the query to the others. **Errors**: `InvalidArgument` for a value that no
/// header can have, and for a parameter that differs from the header of its name.
pub fn hoist(query: &Query, headers: &mut HeaderMap) -> Result<(), S3Error> {
    for (name, text) in headers_in(query) {
        let invalid = |_| S3Error::invalid(format!("{name} is not a valid header"));
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| S3Error::invalid(format!("{name} is not a valid header")))?;
        let value = HeaderValue::from_bytes(text.as_bytes()).map_err(invalid)?;
        if is_of_no_bytes(&header, text) || header.as_str() == SDK_ALGORITHM {
            continue;
        }
        match headers.get(&header) {
            Some(other) if *other != value => {
                let message = format!("the query and the header {header} have different values");
                return Err(S3Error::invalid(message));
            }
            Some(_) => {}
            None => {
                headers.insert(header, value);
            }
        }
    }
    Ok(())
}

fn headers_in(query: &Query) -> impl Iterator<Item = (&str, &str)> {
    let is_v2 = query.get(SIGNATURE_V2).is_some();
    query.pairs().filter(move |(name, _)| {
        is_header_in_query(name)
            || is_v2 && HEADERS_OF_V2.iter().any(|known| known.eq_ignore_ascii_case(name))
    })
}

/// Whether this is the checksum of a body without bytes. The JavaScript SDK signs it into every URL
/// for a PUT, because it has no body yet when it signs: it says nothing about the body that comes.
fn is_of_no_bytes(name: &HeaderName, text: &str) -> bool {
    Algorithm::ALL.into_iter().any(|algorithm| {
        *name == algorithm.header() && ChecksumHasher::new(algorithm).finish().base64() == text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hoisted(query: &str, headers: &[(&'static str, &str)]) -> Result<HeaderMap, S3Error> {
        let mut all: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        hoist(&Query::parse(Some(query)).unwrap(), &mut all).map(|()| all)
    }

    #[test]
    fn headers_in_the_query_count_as_headers() {
        let found = hoisted(
            "x-amz-meta-A=1&X-Amz-Copy-Source=%2Fb%2Fk&X-Amz-Signature=0&X-Amz-Date=0&v=2\
             &content-type=t&x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-checksum-crc32c=yZRlqg%3D%3D\
             &x-amz-sdk-checksum-algorithm=CRC32",
            &[],
        )
        .unwrap();
        let names: Vec<&str> = found.keys().map(HeaderName::as_str).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(found["x-amz-meta-a"], "1");
        assert_eq!(found["x-amz-copy-source"], "/b/k");
        assert_eq!(found["x-amz-checksum-crc32c"], "yZRlqg==");
        let v2 = hoisted("Signature=s&Content-Type=text%2Fplain", &[]).unwrap();
        assert_eq!(v2["content-type"], "text/plain");
    }

    #[test]
    fn a_header_and_a_parameter_must_agree() {
        assert!(hoisted("x-amz-acl=private", &[("x-amz-acl", "private")]).is_ok());
        let error = hoisted("x-amz-acl=private", &[("x-amz-acl", "public-read")]).unwrap_err();
        assert_eq!(error.code, "InvalidArgument");
        assert!(hoisted("x-amz-meta-a=%0A", &[]).is_err());
    }
}
