//! The request target: path segments and query, decoded strictly.
//!
//! Guarantees: a percent sign is followed by two hex digits and what is decoded is UTF-8, or the
//! request is refused; a parameter given twice is refused, so that no two readers pick different
//! ones. It does not know which segments or parameters exist. Source: RFC 3986 §2.1.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::error::Error;

/// The path's segments after the first slash, each decoded on its own: an encoded slash stays
/// within its segment.
pub fn segments(path: &str) -> Result<Vec<String>, Error> {
    path.strip_prefix('/').unwrap_or(path).split('/').map(decode).collect()
}

/// The query's parameters, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// **Errors**: `BadRequest`.
    pub fn parse(query: Option<&str>) -> Result<Self, Error> {
        let mut found = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            if found.insert(name.clone(), decode(&value.replace('+', "%20"))?).is_some() {
                return Err(Error::bad(format!("the query parameter {name:?} is given twice")));
            }
        }
        Ok(Self(found))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names and values, by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first parameter that is none of these, nor part of a presigned URL.
    pub fn unknown(&self, known: &[&str]) -> Option<&str> {
        let signing = |name: &str| name.to_ascii_lowercase().starts_with("x-amz-");
        self.0.keys().map(String::as_str).find(|name| !known.contains(name) && !signing(name))
    }
}

/// The bucket that a host below `domain` names.
pub fn bucket_of_host(headers: &http::HeaderMap, domain: &str) -> Option<String> {
    let host = headers.get(http::header::HOST)?.to_str().ok()?.to_ascii_lowercase();
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(&*host, |(name, _)| name);
    let bucket = name.strip_suffix(domain)?.strip_suffix('.')?;
    (!bucket.is_empty()).then(|| bucket.to_owned())
}

/// Whether S3 lets a bucket have this name.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
pub fn bucket_name_fits(name: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    (3..=63).contains(&name.len())
        && edge(name.bytes().next())
        && edge(name.bytes().last())
        && name.bytes().all(inner)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

/// Whether a key can be taken as it is: it has no NUL, and no `..` between slashes. Some servers
/// and most proxies take that for the directory above, which may lie outside a grant's prefix, or
/// even be another bucket.
pub fn key_fits(key: &str) -> bool {
    !key.contains('\0') && key.split('/').all(|segment| segment != "..")
}

fn decode(text: &str) -> Result<String, Error> {
    let whole = text.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let decoded = whole.then(|| percent_decode_str(text).decode_utf8().ok()).flatten();
    decoded
        .map(String::from)
        .ok_or_else(|| Error::bad(format!("{text:?} is not percent-encoded UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_each_on_its_own() {
        assert_eq!(segments("/a/b%2Fc/%C3%A4").unwrap(), ["a", "b/c", "ä"]);
        assert_eq!(segments("/").unwrap(), [""]);
        assert_eq!(segments("//a").unwrap(), ["", "a"], "a key may begin with a slash");
        for bad in ["/%", "/%4", "/%zz", "/%FF", "/%+4"] {
            assert!(segments(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_query_is_decoded_and_its_strangers_are_found() {
        let query = Query::parse(Some("prefix=a%2Fb&after=x+y&view&X-Amz-Date=1")).unwrap();
        assert_eq!(query.get("prefix"), Some("a/b"));
        assert_eq!(query.get("after"), Some("x y"));
        assert_eq!(query.get("view"), Some(""));
        assert_eq!(query.unknown(&["prefix", "after"]), Some("view"));
        assert_eq!(query.unknown(&["prefix", "after", "view"]), None);
        assert!(Query::parse(Some("a=1&a=2")).is_err());
    }
}
