//! Verifying AWS Signature Version 2 in URLs, which `aws s3 presign` of AWS CLI version 1 still
//! creates.
//!
//! Guarantees: accepted in a URL only, never in a header; compared last and in constant time; valid
//! until the second that it names, inclusive; a query parameter that the signature does not cover
//! cannot turn the request into another operation. The string to sign joins parameters by `&`
//! without encoding them, so that one value could be read as two parameters; such a value is
//! refused. Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html>.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use subtle::ConstantTimeEq;

use super::canonical::{decoded, decoded_bytes, query_pairs};
use super::{Error, Secret};

/// Query parameters that the signature covers.
const SIGNED_PARAMETERS: &[&str] = &[
    "acl",
    "cors",
    "delete",
    "lifecycle",
    "location",
    "logging",
    "notification",
    "partNumber",
    "policy",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
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
    "x-amz-security-token",
];

/// A signature that was parsed and is not yet verified.
#[derive(Clone, Debug)]
pub struct V2Signature {
    access_key_id: String,
    signature: String,
    /// The text of the URL's parameter.
    expires: String,
}

impl V2Signature {
    /// The signature in the URL, if there is one.
    pub fn parse(parts: &Parts) -> Option<Self> {
        let mut query: BTreeMap<&str, String> =
            query_pairs(parts).map(|(name, value)| (name, decoded(value))).collect();
        Some(Self {
            access_key_id: query.remove("AWSAccessKeyId")?,
            signature: query.remove("Signature")?,
            expires: query.remove("Expires")?,
        })
    }

    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// Verifies the request. `bucket` is the bucket that the host names, if any. **Errors**:
    /// `Malformed` and `Expired`, which do not depend on the secret; then `Mismatch`.
    pub fn verify(
        &self,
        parts: &Parts,
        bucket: Option<&str>,
        secret: &Secret,
        now: SystemTime,
    ) -> Result<(), Error> {
        if query_pairs(parts).any(|(name, _)| {
            !SIGNED_PARAMETERS.contains(&name) && !UNSIGNED_PARAMETERS.contains(&name)
        }) {
            return Err(Error::Malformed("a parameter of the URL is not covered by its signature"));
        }
        // A plus is signed as a plus and parsed as a space.
        let ambiguous_plus =
            |name: &str, value: &str| SIGNED_PARAMETERS.contains(&name) && value.contains('+');
        if query_pairs(parts).any(|(name, value)| {
            ambiguous_plus(name, value) || contains_parameter(&decoded_bytes(value))
        }) {
            return Err(Error::Malformed("the value of a parameter can be read in two ways"));
        }
        let expires_at: u64 =
            self.expires.parse().map_err(|_| Error::Malformed("Expires is not a number"))?;
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if now > expires_at {
            return Err(Error::Expired);
        }
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(&self.string_to_sign(parts, bucket));
        let expected = STANDARD.encode(mac.finalize().into_bytes());
        if bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            Ok(())
        } else {
            Err(Error::Mismatch)
        }
    }

    fn string_to_sign(&self, parts: &Parts, bucket: Option<&str>) -> Vec<u8> {
        let header =
            |name: &str| parts.headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        let lines =
            [parts.method.as_str().as_bytes(), header("content-md5"), header("content-type")];
        let mut text = lines.join(&b'\n');
        text.extend_from_slice(format!("\n{}\n", self.expires).as_bytes());
        let mut amz: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
        for (name, value) in
            parts.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-"))
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
        text
    }
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
    use std::time::Duration;

    use super::*;

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
            signature.verify(&parts, Some(bucket), &secret, UNIX_EPOCH + Duration::from_secs(at))
        };
        assert_eq!(verify("johnsmith", 1_175_139_620), Ok(()));
        assert_eq!(verify("johnsmith", 1_175_139_621), Err(Error::Expired));
        assert_eq!(verify("another", 1_175_139_620), Err(Error::Mismatch));
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
            signature.verify(&parts, None, &Secret::new("secret"), now)
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
            assert!(matches!(verify(query, signed_query), Err(Error::Malformed(_))), "{query}");
        }
        assert_eq!(
            verify("response-content-type=a&uploads", "?response-content-type=a&uploads"),
            Ok(())
        );
        assert_eq!(
            verify("versionId=%FF", "?versionId=\u{fffd}"),
            Err(Error::Mismatch),
            "bytes that are not UTF-8 are compared unchanged"
        );
    }

    #[test]
    fn expiry_is_reported_whatever_the_secret() {
        let late = UNIX_EPOCH + Duration::from_secs(101);
        let (parts, signature) = signed("marker=a", "another string to sign");
        assert_eq!(
            signature.verify(&parts, None, &Secret::new("secret"), late),
            Err(Error::Expired)
        );
        assert_eq!(
            signature.verify(&parts, None, &Secret::new("another"), late),
            Err(Error::Expired)
        );
    }
}
