//! The request target: path segments and query, decoded strictly.
//!
//! Guarantees: a percent sign is followed by two hex digits and the decoded bytes are UTF-8, or the
//! request is refused; a parameter that is given twice is refused, because two programs could pick
//! different ones. It does not know which segments or parameters exist. Source: RFC 3986 §2.1.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::error::Error;

/// The segments of a path after its first slash, each decoded separately: an encoded slash is part
/// of its segment.
pub fn segments(path: &str) -> Result<Vec<String>, Error> {
    path.strip_prefix('/').unwrap_or(path).split('/').map(decode).collect()
}

/// The decoded parameters of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// **Errors**: `BadRequest`.
    pub fn parse(query: Option<&str>) -> Result<Self, Error> {
        let mut parameters = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            if parameters.insert(name.clone(), decode(&value.replace('+', "%20"))?).is_some() {
                return Err(Error::bad(format!("the query parameter {name:?} is given twice")));
            }
        }
        Ok(Self(parameters))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether a parameter has the name of this header, in any case.
    pub fn has_header(&self, name: &str) -> bool {
        self.0.keys().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Names and values, sorted by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first parameter that is neither known nor part of a presigned URL.
    pub fn unknown(&self, known: &[&str]) -> Option<&str> {
        let is_signing = |name: &str| name.to_ascii_lowercase().starts_with("x-amz-");
        self.0.keys().map(String::as_str).find(|name| !known.contains(name) && !is_signing(name))
    }
}

/// The bucket that the host of a virtual-hosted request names: `<bucket>.<domain>`.
pub fn bucket_of_host(headers: &http::HeaderMap, domain: &str) -> Option<String> {
    let host = headers.get(http::header::HOST)?.to_str().ok()?.to_ascii_lowercase();
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(&*host, |(name, _)| name);
    let bucket = name.strip_suffix(domain)?.strip_suffix('.')?;
    (!bucket.is_empty()).then(|| bucket.to_owned())
}

/// Whether S3 allows this name for a bucket.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
pub fn bucket_name_fits(name: &str) -> bool {
    let is_edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    (3..=63).contains(&name.len())
        && is_edge(name.bytes().next())
        && is_edge(name.bytes().last())
        && name.bytes().all(is_inner)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

/// Whether a key is accepted: it has no NUL, and no `..` segment, which some servers and most
/// proxies take for the directory above; that may lie outside the prefix of a grant, or be another
/// bucket.
pub fn key_fits(key: &str) -> bool {
    !key.contains('\0') && key.split('/').all(|segment| segment != "..")
}

fn decode(text: &str) -> Result<String, Error> {
    percent_decoded(text)
        .ok_or_else(|| Error::bad(format!("{text:?} is not percent-encoded UTF-8")))
}

/// The text that is percent-encoded; None for what is malformed, or no UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let is_well_formed = text.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    is_well_formed.then(|| percent_decode_str(text).decode_utf8().ok()).flatten().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_separately() {
        assert_eq!(segments("/a/b%2Fc/%C3%A4").unwrap(), ["a", "b/c", "ä"]);
        assert_eq!(segments("/").unwrap(), [""]);
        assert_eq!(segments("//a").unwrap(), ["", "a"], "a key may begin with a slash");
        for bad in ["/%", "/%4", "/%zz", "/%FF", "/%+4"] {
            assert!(segments(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_query_is_decoded_and_unknown_parameters_are_found() {
        let query = Query::parse(Some("prefix=a%2Fb&after=x+y&view&X-Amz-Date=1")).unwrap();
        assert_eq!(query.get("prefix"), Some("a/b"));
        assert_eq!(query.get("after"), Some("x y"));
        assert_eq!(query.get("view"), Some(""));
        assert_eq!(query.unknown(&["prefix", "after"]), Some("view"));
        assert_eq!(query.unknown(&["prefix", "after", "view"]), None);
        assert!(Query::parse(Some("a=1&a=2")).is_err());
    }
}
