//! The query signature of before version 4, which `aws s3 presign` of the CLI's first major version
//! still makes.
//!
//! Guarantees: only in a URL, never in a header; compared in constant time, last; it is good until
//! the second it names; no parameter that it does not cover can make another operation of the
//! request. What is signed joins parameters by `&` without encoding them, so one value could be
//! read as two parameters: such a value is refused. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html>.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use subtle::ConstantTimeEq;

use super::canonical::{decoded, decoded_bytes, pairs};
use super::{Error, Secret};

/// Query parameters that are part of what is signed.
const SIGNED: &[&str] = &[
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

/// Query parameters that may stand beside: the signature's own, and those that choose what of a
/// listing is shown.
const BESIDE: &[&str] = &[
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

/// A signature that was read, not yet verified.
#[derive(Clone, Debug)]
pub struct OldClaim {
    access_key_id: String,
    signature: String,
    /// As it stood in the URL.
    expires: String,
}

impl OldClaim {
    /// None where the URL has no such signature.
    pub fn parse(parts: &Parts) -> Option<Self> {
        let mut query: BTreeMap<&str, String> =
            pairs(parts).map(|(name, value)| (name, decoded(value))).collect();
        Some(Self {
            access_key_id: query.remove("AWSAccessKeyId")?,
            signature: query.remove("Signature")?,
            expires: query.remove("Expires")?,
        })
    }

    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// `bucket`: of the host, where it names one. **Errors**: `Malformed` and `Expired`, then
    /// `Mismatch`.
    pub fn verify(
        &self,
        parts: &Parts,
        bucket: Option<&str>,
        secret: &Secret,
        now: SystemTime,
    ) -> Result<(), Error> {
        if pairs(parts).any(|(name, _)| !SIGNED.contains(&name) && !BESIDE.contains(&name)) {
            return Err(Error::Malformed("a parameter of the URL is not covered by its signature"));
        }
        // A plus is signed as it is, and read as a blank.
        let two_readings = |name: &str, value: &str| SIGNED.contains(&name) && value.contains('+');
        if pairs(parts)
            .any(|(name, value)| two_readings(name, value) || reads_as_more(&decoded_bytes(value)))
        {
            return Err(Error::Malformed("the value of a parameter can be read in two ways"));
        }
        let until: u64 =
            self.expires.parse().map_err(|_| Error::Malformed("Expires is no number"))?;
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if now > until {
            return Err(Error::Expired);
        }
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(&self.to_sign(parts, bucket));
        let ours = STANDARD.encode(mac.finalize().into_bytes());
        if bool::from(ours.as_bytes().ct_eq(self.signature.as_bytes())) {
            Ok(())
        } else {
            Err(Error::Mismatch)
        }
    }

    fn to_sign(&self, parts: &Parts, bucket: Option<&str>) -> Vec<u8> {
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
        let signed = pairs(parts).filter(|(name, _)| SIGNED.contains(name));
        let mut signed: Vec<(&str, Vec<u8>)> =
            signed.map(|(name, value)| (name, decoded_bytes(value))).collect();
        signed.sort_unstable();
        for (at, (name, value)) in signed.iter().enumerate() {
            text.push(if at == 0 { b'?' } else { b'&' });
            text.extend_from_slice(name.as_bytes());
            if !value.is_empty() {
                text.extend_from_slice(&[b"=", value.as_slice()].concat());
            }
        }
        text
    }
}

/// Whether what follows an `&` in the value would, where it is signed, look like a parameter of its
/// own.
fn reads_as_more(value: &[u8]) -> bool {
    let name = |text: &[u8]| {
        text.split(|byte| *byte == b'=')
            .next()
            .is_some_and(|name| SIGNED.iter().any(|signed| signed.as_bytes() == name))
    };
    value.split(|byte| *byte == b'&').skip(1).any(name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The example of `RESTAuthentication.html`, in its first edition: the bucket was renamed there
    /// since, the signature not.
    #[test]
    fn the_published_url_verifies() {
        let url = "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D\
                   &Expires=1175139620";
        let (parts, ()) = http::Request::get(url).body(()).unwrap().into_parts();
        let claim = OldClaim::parse(&parts).unwrap();
        assert_eq!(claim.access_key_id(), "AKIAIOSFODNN7EXAMPLE");
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let verify = |bucket, at| {
            claim.verify(&parts, Some(bucket), &secret, UNIX_EPOCH + Duration::from_secs(at))
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
        for (added, wanted) in
            [("&marker=a", true), ("&legal-hold", false), ("&attributes=", false), ("&x=y", false)]
        {
            let (parts, ()) =
                http::Request::get(format!("{url}{added}")).body(()).unwrap().into_parts();
            let claim = OldClaim::parse(&parts).unwrap();
            let told = claim.verify(
                &parts,
                Some("johnsmith"),
                &secret,
                UNIX_EPOCH + Duration::from_secs(1),
            );
            assert_eq!(told.is_ok(), wanted, "{added}: {told:?}");
        }
    }

    /// The parameters' parts of a signature, made as the documentation says.
    fn signed(query: &str, to_sign: &str) -> (Parts, OldClaim) {
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(b"secret").unwrap();
        mac.update(to_sign.as_bytes());
        let signature = percent_encoding::percent_encode(
            STANDARD.encode(mac.finalize().into_bytes()).as_bytes(),
            percent_encoding::NON_ALPHANUMERIC,
        )
        .to_string();
        let url = format!("/b/k?AWSAccessKeyId=AK&Expires=100&Signature={signature}&{query}");
        let (parts, ()) = http::Request::get(url).body(()).unwrap().into_parts();
        let claim = OldClaim::parse(&parts).unwrap();
        (parts, claim)
    }

    #[test]
    fn a_signature_is_good_for_one_reading_of_the_parameters() {
        let now = UNIX_EPOCH + Duration::from_secs(50);
        let told = |query: &str, to_sign: &str| {
            let (parts, claim) = signed(query, &format!("GET\n\n\n100\n/b/k{to_sign}"));
            claim.verify(&parts, None, &Secret::new("secret"), now)
        };
        let named = "?response-content-disposition=attachment; filename=\"a&b.txt\"";
        assert_eq!(
            told("response-content-disposition=attachment%3B%20filename%3D%22a%26b.txt%22", named),
            Ok(())
        );
        for (query, to_sign) in [
            ("response-content-type=a%26uploads", "?response-content-type=a&uploads"),
            ("response-content-type=a%26acl%3Db", "?response-content-type=a&acl=b"),
            ("response-content-type=a+b", "?response-content-type=a+b"),
        ] {
            assert!(matches!(told(query, to_sign), Err(Error::Malformed(_))), "{query}");
        }
        assert_eq!(
            told("response-content-type=a&uploads", "?response-content-type=a&uploads"),
            Ok(())
        );
        assert_eq!(
            told("versionId=%FF", "?versionId=\u{fffd}"),
            Err(Error::Mismatch),
            "bytes stay what they are"
        );
    }

    #[test]
    fn what_does_not_depend_on_the_secret_is_said_first() {
        let late = UNIX_EPOCH + Duration::from_secs(101);
        let (parts, claim) = signed("marker=a", "of something else");
        assert_eq!(claim.verify(&parts, None, &Secret::new("secret"), late), Err(Error::Expired));
        assert_eq!(claim.verify(&parts, None, &Secret::new("another"), late), Err(Error::Expired));
    }
}
