//! Verifying AWS Signature Version 2: in URLs, which boto3 and AWS CLI version 1 create by default,
//! and in the `Authorization` header, which a caller accepts only where a setting says so.
//!
//! Guarantees: compared last and in constant time; a URL is valid until the second that it names,
//! inclusive; a query parameter that the signature does not cover cannot turn the request into
//! another operation. The string to sign joins parameters by `&` without encoding them, so that one
//! value could be read as two parameters; such a value is refused. Parameters of a URL that stand
//! for headers (`content-type`, `content-md5`, `x-amz-*`) are signed as those headers, and a header
//! with another value is refused. It signs no body. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html>.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{AUTHORIZATION, DATE as HTTP_DATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use subtle::ConstantTimeEq;

use super::canonical::{decoded, decoded_bytes, query_pairs};
use super::error::{Compared, Error, Expiry, NO_DATE};
use super::{DATE, Secret, date};

/// Query parameters that the signature covers.
const SIGNED_PARAMETERS: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// Query parameters that are allowed although the signature does not cover them: its own, and those
/// that select what a listing shows.
const UNSIGNED_PARAMETERS: &[&str] = &[
    "AWSAccessKeyId",
    "Expires",
    "Signature",
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "marker",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "prefix",
    "start-after",
    "upload-id-marker",
];

/// Query parameters that are signed as the header of their name, besides `x-amz-*`.
const STANDARD_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("content-md5"), HeaderName::from_static("content-type")];

/// A signature that was parsed and is not yet verified.
#[derive(Clone, Debug)]
pub struct V2Signature {
    access_key_id: String,
    signature: String,
    time: Time,
}

/// The time that a signature names.
#[derive(Clone, Debug)]
enum Time {
    /// The text of the URL's parameter `Expires`.
    Expires(String),
    /// Seconds since 1970, in a header.
    SignedAt(u64),
}

impl V2Signature {
    /// Whether the URL has the signature.
    pub(super) fn is_in_url(parts: &Parts) -> bool {
        query_pairs(parts).any(|(name, _)| name == "AWSAccessKeyId")
    }

    /// The signature in the URL, if there is one.
    pub fn parse(parts: &Parts) -> Option<Self> {
        let mut query: BTreeMap<&str, String> =
            query_pairs(parts).map(|(name, value)| (name, decoded(value))).collect();
        Some(Self {
            access_key_id: query.remove("AWSAccessKeyId")?,
            signature: query.remove("Signature")?,
            time: Time::Expires(query.remove("Expires")?),
        })
    }

    /// The signature in the `Authorization` header. None: the header has another form. **Errors**:
    /// `InvalidArgument`, and `Denied` without a date.
    pub fn parse_header(parts: &Parts) -> Result<Option<Self>, Error> {
        let mut lines = parts.headers.get_all(AUTHORIZATION).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return Ok(None) };
        let Some(line) = line.to_str().ok().and_then(|line| line.strip_prefix("AWS ")) else {
            return Ok(None);
        };
        let (key, signature) = line.trim().split_once(':').ok_or_else(|| {
            let what = "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature";
            Error::argument("Authorization", &format!("AWS {line}"), what)
        })?;
        let text = parts.headers.get(DATE).or_else(|| parts.headers.get(HTTP_DATE));
        let text = text.and_then(|value| value.to_str().ok()).ok_or(NO_DATE)?;
        let signed_at = date::parse(text).or_else(|| date::parse_http(text)).ok_or(NO_DATE)?;
        Ok(Some(Self {
            access_key_id: key.to_owned(),
            signature: signature.to_owned(),
            time: Time::SignedAt(signed_at),
        }))
    }

    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The headers that the parameters of a signed URL stand for. **Errors**: `Denied` for a value
    /// that is no header's, or where the request has the header with another value.
    pub fn headers_in_url(&self, parts: &Parts) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
        let mut found = Vec::new();
        if matches!(self.time, Time::SignedAt(_)) {
            return Ok(found);
        }
        for (name, value) in query_pairs(parts) {
            let Some(name) = header_of_parameter(name) else { continue };
            let value = HeaderValue::from_bytes(&decoded_bytes(&value.replace('+', "%20")));
            let value =
                value.map_err(|_| Error::Denied("a parameter of the URL is no valid header"))?;
            let same = |header: &HeaderValue| {
                header.as_bytes().trim_ascii() == value.as_bytes().trim_ascii()
            };
            if !parts.headers.get_all(&name).iter().all(same)
                || found.iter().any(|(other, _)| *other == name)
            {
                return Err(Error::Denied("a header differs from the parameter in the signed URL"));
            }
            found.push((name, value));
        }
        Ok(found)
    }

    /// Checks everything but the signature itself, which needs the secret. **Errors**: `Denied`,
    /// `Expired`, `Skewed`.
    pub fn check(&self, parts: &Parts, now: SystemTime, skew: Duration) -> Result<(), Error> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        match &self.time {
            Time::Expires(expires) => {
                require_covered(parts)?;
                let expires_at: u64 = expires
                    .parse()
                    .map_err(|_| Error::Denied("Expires is not a number of seconds since 1970"))?;
                if now > expires_at {
                    let expiry = Expiry { validity: None, until: expires_at, now };
                    return Err(Error::Expired(expiry));
                }
                self.headers_in_url(parts).map(drop)
            }
            Time::SignedAt(at) if now.abs_diff(*at) > skew.as_secs() => Err(Error::Skewed),
            Time::SignedAt(_) => {
                let is_known = |name: &str| {
                    SIGNED_PARAMETERS.contains(&name) || UNSIGNED_PARAMETERS.contains(&name)
                };
                require_parameters(parts, is_known)
            }
        }
    }

    /// Verifies the request. `bucket` is the bucket that the host names, if any. **Errors**: those
    /// of `check`; then `Mismatch`.
    pub fn verify(
        &self,
        parts: &Parts,
        bucket: Option<&str>,
        secret: &Secret,
        now: SystemTime,
        skew: Duration,
    ) -> Result<(), Error> {
        self.check(parts, now, skew)?;
        let matches = |end: &str| {
            let mut mac = Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes())
                .expect("HMAC takes a key of any length");
            mac.update(&self.string_to_sign(parts, bucket, end)?);
            let expected = STANDARD.encode(mac.finalize().into_bytes());
            Ok(bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())))
        };
        // botocore signs a bucket with a slash at its end, and requests it without.
        let is_bucket = bucket.is_none() && parts.uri.path().rfind('/') == Some(0);
        let is_valid = matches("")? || (is_bucket && matches("/")?);
        if is_valid {
            return Ok(());
        }
        Err(Error::Mismatch(Box::new(Compared {
            access_key_id: self.access_key_id.clone(),
            signature: self.signature.clone(),
            string_to_sign: self.string_to_sign(parts, bucket, "")?,
            canonical_request: None,
        })))
    }

    /// `end`: what follows the path of the request.
    fn string_to_sign(
        &self,
        parts: &Parts,
        bucket: Option<&str>,
        end: &str,
    ) -> Result<Vec<u8>, Error> {
        let mut headers = parts.headers.clone();
        for (name, value) in self.headers_in_url(parts)? {
            headers.insert(name, value);
        }
        let header = |name: &HeaderName| headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
        let time = match &self.time {
            Time::Expires(expires) => expires.as_bytes(),
            // With `x-amz-date`, the line of the date is empty.
            Time::SignedAt(_) if headers.contains_key(DATE) => b"",
            Time::SignedAt(_) => header(&HTTP_DATE),
        };
        let [md5, content_type] = &STANDARD_HEADERS;
        let lines =
            [parts.method.as_str().as_bytes(), header(md5), header(content_type), time, b""];
        let mut text = lines.join(&b'\n');
        let mut amz: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
        for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-"))
        {
            amz.entry(name.as_str()).or_default().push(value.as_bytes().trim_ascii());
        }
        for (name, values) in amz {
            text.extend_from_slice(&[name.as_bytes(), b":", &values.join(&b','), b"\n"].concat());
        }
        if let Some(bucket) = bucket {
            text.extend_from_slice(&[b"/", bucket.as_bytes()].concat());
        }
        text.extend_from_slice(parts.uri.path().as_bytes());
        text.extend_from_slice(end.as_bytes());
        let signed = query_pairs(parts).filter(|(name, _)| SIGNED_PARAMETERS.contains(name));
        let mut signed: Vec<(&str, Vec<u8>)> =
            signed.map(|(name, value)| (name, decoded_bytes(value))).collect();
        signed.sort_unstable();
        for (index, (name, value)) in signed.iter().enumerate() {
            text.push(if index == 0 { b'?' } else { b'&' });
            text.extend_from_slice(name.as_bytes());
            if !value.is_empty() {
                text.extend_from_slice(&[b"=", value.as_slice()].concat());
            }
        }
        Ok(text)
    }
}

/// The header that a parameter of a signed URL stands for.
fn header_of_parameter(name: &str) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    (name.as_str().starts_with("x-amz-") || STANDARD_HEADERS.contains(&name)).then_some(name)
}

/// **Errors**: `Denied` for a parameter of a URL that its signature does not cover.
fn require_covered(parts: &Parts) -> Result<(), Error> {
    require_parameters(parts, |name| {
        SIGNED_PARAMETERS.contains(&name)
            || UNSIGNED_PARAMETERS.contains(&name)
            || header_of_parameter(name).is_some()
    })
}

/// **Errors**: `Denied` for a parameter that is not known, or that can be read in two ways.
fn require_parameters(parts: &Parts, is_known: impl Fn(&str) -> bool) -> Result<(), Error> {
    if query_pairs(parts).any(|(name, _)| !is_known(name)) {
        return Err(Error::Denied("a parameter of the URL is not covered by its signature"));
    }
    // A plus is signed as a plus and parsed as a space.
    let ambiguous_plus =
        |name: &str, value: &str| SIGNED_PARAMETERS.contains(&name) && value.contains('+');
    if query_pairs(parts).any(|(name, value)| {
        ambiguous_plus(name, value) || contains_parameter(&decoded_bytes(value))
    }) {
        return Err(Error::Denied("the value of a parameter can be read in two ways"));
    }
    Ok(())
}

/// Whether the text after an `&` in the value looks like a signed parameter in the string to sign.
fn contains_parameter(value: &[u8]) -> bool {
    let starts_parameter = |text: &[u8]| {
        text.split(|byte| *byte == b'=')
            .next()
            .is_some_and(|name| SIGNED_PARAMETERS.iter().any(|signed| signed.as_bytes() == name))
    };
    value.split(|byte| *byte == b'&').skip(1).any(starts_parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKEW: Duration = Duration::from_secs(900);

    /// The example of `RESTAuthentication.html` in its first edition. The page renamed the bucket
    /// later but did not change the signature.
    #[test]
    fn the_published_url_verifies() {
        let url = "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D\
                   &Expires=1175139620";
        let (parts, ()) = http::Request::get(url).body(()).unwrap().into_parts();
        let signature = V2Signature::parse(&parts).unwrap();
        assert_eq!(signature.access_key_id(), "AKIAIOSFODNN7EXAMPLE");
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let verify = |bucket, at| {
            let now = UNIX_EPOCH + Duration::from_secs(at);
            signature.verify(&parts, Some(bucket), &secret, now, SKEW)
        };
        assert_eq!(verify("johnsmith", 1_175_139_620), Ok(()));
        assert!(matches!(verify("johnsmith", 1_175_139_621), Err(Error::Expired(_))));
        assert!(matches!(verify("another", 1_175_139_620), Err(Error::Mismatch(_))));
    }

    #[test]
    fn a_parameter_that_is_not_covered_is_refused() {
        let url = "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D\
                   &Expires=1175139620";
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        for (added, accepted) in
            [("&marker=a", true), ("&legal-hold", false), ("&attributes=", false), ("&x=y", false)]
        {
            let (parts, ()) =
                http::Request::get(format!("{url}{added}")).body(()).unwrap().into_parts();
            let signature = V2Signature::parse(&parts).unwrap();
            let result = signature.verify(
                &parts,
                Some("johnsmith"),
                &secret,
                UNIX_EPOCH + Duration::from_secs(1),
                SKEW,
            );
            assert_eq!(result.is_ok(), accepted, "{added}: {result:?}");
        }
    }

    /// A URL with this query and the signature of `string_to_sign`.
    fn signed(query: &str, string_to_sign: &str) -> (Parts, V2Signature) {
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(b"secret").unwrap();
        mac.update(string_to_sign.as_bytes());
        let signature = percent_encoding::percent_encode(
            STANDARD.encode(mac.finalize().into_bytes()).as_bytes(),
            percent_encoding::NON_ALPHANUMERIC,
        )
        .to_string();
        let url = format!("/b/k?AWSAccessKeyId=AK&Expires=100&Signature={signature}&{query}");
        let (parts, ()) = http::Request::get(url).body(()).unwrap().into_parts();
        let signature = V2Signature::parse(&parts).unwrap();
        (parts, signature)
    }

    #[test]
    fn parameters_that_can_be_read_in_two_ways_are_refused() {
        let now = UNIX_EPOCH + Duration::from_secs(50);
        let verify = |query: &str, signed_query: &str| {
            let (parts, signature) = signed(query, &format!("GET\n\n\n100\n/b/k{signed_query}"));
            signature.verify(&parts, None, &Secret::new("secret"), now, SKEW)
        };
        let file_name = "?response-content-disposition=attachment; filename=\"a&b.txt\"";
        assert_eq!(
            verify(
                "response-content-disposition=attachment%3B%20filename%3D%22a%26b.txt%22",
                file_name
            ),
            Ok(())
        );
        for (query, signed_query) in [
            ("response-content-type=a%26uploads", "?response-content-type=a&uploads"),
            ("response-content-type=a%26acl%3Db", "?response-content-type=a&acl=b"),
            ("response-content-type=a+b", "?response-content-type=a+b"),
        ] {
            assert!(matches!(verify(query, signed_query), Err(Error::Denied(_))), "{query}");
        }
        assert_eq!(
            verify("response-content-type=a&uploads", "?response-content-type=a&uploads"),
            Ok(())
        );
        assert!(
            matches!(verify("versionId=%FF", "?versionId=\u{fffd}"), Err(Error::Mismatch(_))),
            "bytes that are not UTF-8 are compared unchanged"
        );
    }

    #[test]
    fn expiry_is_reported_whatever_the_secret() {
        let late = UNIX_EPOCH + Duration::from_secs(101);
        let (parts, signature) = signed("marker=a", "another string to sign");
        let expiry = Expiry { validity: None, until: 100, now: 101 };
        assert_eq!(
            signature.verify(&parts, None, &Secret::new("secret"), late, SKEW),
            Err(Error::Expired(expiry))
        );
        assert_eq!(
            signature.verify(&parts, None, &Secret::new("another"), late, SKEW),
            Err(Error::Expired(expiry))
        );
    }

    #[test]
    fn parameters_that_stand_for_headers_are_signed_as_headers() {
        let query = "x-amz-meta-a=b%20c&content-type=text%2Fplain&x-amz-acl=private";
        let to_sign = "GET\n\ntext/plain\n100\nx-amz-acl:private\nx-amz-meta-a:b c\n/b/k";
        let now = UNIX_EPOCH + Duration::from_secs(50);
        let (parts, signature) = signed(query, to_sign);
        let verify_with = |signature: &V2Signature, parts: &Parts| {
            signature.verify(parts, None, &Secret::new("secret"), now, SKEW)
        };
        let verify = |parts: &Parts| verify_with(&signature, parts);
        assert_eq!(verify(&parts), Ok(()));
        assert_eq!(signature.headers_in_url(&parts).unwrap().len(), 3);
        for (name, value, expected) in [
            ("content-type", "text/plain", Ok(())),
            ("content-type", "text/html", Err("a header differs")),
            ("x-amz-meta-a", "other", Err("a header differs")),
            ("x-amz-meta-b", "added", Err("does not match")),
        ] {
            let mut with_header = parts.clone();
            with_header.headers.insert(HeaderName::from_static(name), value.parse().unwrap());
            let found = verify(&with_header).map_err(|error| error.to_string());
            match expected {
                Ok(()) => assert_eq!(found, Ok(()), "{name}: {value}"),
                Err(what) => assert!(found.unwrap_err().contains(what), "{name}: {value}"),
            }
        }
        let (mut parts, signature) = signed("list-type=2", "GET\n\n\n100\n/b/");
        parts.uri = parts.uri.to_string().replace("/b/k?", "/b?").parse().unwrap();
        assert_eq!(verify_with(&signature, &parts), Ok(()), "a bucket, as botocore signs it");
        let (parts, signature) = signed("x-amz-meta-a=b%0Ax-amz-meta-c:d", "");
        let found = verify_with(&signature, &parts);
        assert!(matches!(found, Err(Error::Denied(_))), "{found:?}");
    }

    /// The examples *Object GET* and *Object PUT* of `RESTAuthentication.html`.
    #[test]
    fn the_published_headers_verify() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        for (method, date, content_type, signature) in [
            ("GET", "Tue, 27 Mar 2007 19:36:42 +0000", None, "bWq2s1WEIj+Ydj0vQ697zp+IXMU="),
            (
                "PUT",
                "Tue, 27 Mar 2007 21:15:45 +0000",
                Some("image/jpeg"),
                "MyyxeRY7whkBe+bq8fHCL/2kKUg=",
            ),
        ] {
            let mut request = http::Request::builder()
                .method(method)
                .uri("/photos/puppy.jpg")
                .header("date", date)
                .header("authorization", format!("AWS AKIAIOSFODNN7EXAMPLE:{signature}"));
            if let Some(content_type) = content_type {
                request = request.header("content-type", content_type);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            let claim = V2Signature::parse_header(&parts).unwrap().unwrap();
            assert_eq!(claim.access_key_id(), "AKIAIOSFODNN7EXAMPLE");
            let at = UNIX_EPOCH + Duration::from_secs(date::parse_http(date).unwrap());
            let verify =
                |parts: &Parts, bucket, at| claim.verify(parts, Some(bucket), &secret, at, SKEW);
            // The page renamed its bucket, but not in what it signed.
            assert_eq!(verify(&parts, "johnsmith", at), Ok(()), "{method}");
            assert!(matches!(verify(&parts, "another", at), Err(Error::Mismatch(_))));
            assert_eq!(verify(&parts, "johnsmith", at + 2 * SKEW), Err(Error::Skewed));
            parts.uri = "/photos/puppy.jpg?x-id=a".parse().unwrap();
            assert!(matches!(verify(&parts, "johnsmith", at), Err(Error::Denied(_))));
        }
        let mut without_date = http::Request::get("/").header("authorization", "AWS a:b");
        let (parts, ()) = without_date.body(()).unwrap().into_parts();
        assert!(matches!(V2Signature::parse_header(&parts), Err(Error::Denied(_))));
        without_date = http::Request::get("/").header("authorization", "AWS HAHAHA");
        let (parts, ()) = without_date.body(()).unwrap().into_parts();
        assert!(matches!(V2Signature::parse_header(&parts), Err(Error::InvalidArgument(_))));
    }
}
