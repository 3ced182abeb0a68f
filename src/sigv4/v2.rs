//! The query signature of before version 4, which `aws s3 presign` of the CLI's first major version still makes.
//!
//! Guarantees: only in a URL, never in a header; compared in constant time; it is good until the second it names; no
//! parameter that it does not cover can make another operation of the request.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html>.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use subtle::ConstantTimeEq;

use super::canonical::{decoded, pairs};
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

/// Query parameters that may stand beside: the signature's own, and those that choose what of a listing is shown.
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
        let mut query: BTreeMap<&str, String> = pairs(parts).map(|(name, value)| (name, decoded(value))).collect();
        Some(Self {
            access_key_id: query.remove("AWSAccessKeyId")?,
            signature: query.remove("Signature")?,
            expires: query.remove("Expires")?,
        })
    }

    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// `bucket`: of the host, where it names one. **Errors**: `Mismatch`, then `Malformed` and `Expired`.
    pub fn verify(&self, parts: &Parts, bucket: Option<&str>, secret: &Secret, now: SystemTime) -> Result<(), Error> {
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(self.to_sign(parts, bucket).as_bytes());
        let ours = STANDARD.encode(mac.finalize().into_bytes());
        if !bool::from(ours.as_bytes().ct_eq(self.signature.as_bytes())) {
            return Err(Error::Mismatch);
        }
        if pairs(parts).any(|(name, _)| !SIGNED.contains(&name) && !BESIDE.contains(&name)) {
            return Err(Error::Malformed("a parameter of the URL is not covered by its signature"));
        }
        let until: u64 = self.expires.parse().map_err(|_| Error::Malformed("Expires is no number"))?;
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if now > until { Err(Error::Expired) } else { Ok(()) }
    }

    fn to_sign(&self, parts: &Parts, bucket: Option<&str>) -> String {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut amz: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in &parts.headers {
            if name.as_str().starts_with("x-amz-") {
                amz.entry(name.as_str()).or_default().push(value.to_str().unwrap_or_default().trim());
            }
        }
        let amz: String = amz.iter().map(|(name, values)| format!("{name}:{}\n", values.join(","))).collect();
        let mut signed: Vec<(&str, String)> = pairs(parts)
            .filter(|(name, _)| SIGNED.contains(name))
            .map(|(name, value)| (name, decoded(value)))
            .collect();
        signed.sort_unstable();
        let query: Vec<String> = signed
            .into_iter()
            .map(|(name, value)| if value.is_empty() { name.to_owned() } else { format!("{name}={value}") })
            .collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let bucket = bucket.map_or_else(String::new, |bucket| format!("/{bucket}"));
        let (md5, kind, expires) = (text("content-md5"), text("content-type"), &self.expires);
        format!("{}\n{md5}\n{kind}\n{expires}\n{amz}{bucket}{}{query}", parts.method, parts.uri.path())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The example of `RESTAuthentication.html`, in its first edition: the bucket was renamed there since, the signature not.
    #[test]
    fn the_published_url_verifies() {
        let url = "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D\
                   &Expires=1175139620";
        let (parts, ()) = http::Request::get(url).body(()).unwrap().into_parts();
        let claim = OldClaim::parse(&parts).unwrap();
        assert_eq!(claim.access_key_id(), "AKIAIOSFODNN7EXAMPLE");
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let verify = |bucket, at| claim.verify(&parts, Some(bucket), &secret, UNIX_EPOCH + Duration::from_secs(at));
        assert_eq!(verify("johnsmith", 1_175_139_620), Ok(()));
        assert_eq!(verify("johnsmith", 1_175_139_621), Err(Error::Expired));
        assert_eq!(verify("another", 1_175_139_620), Err(Error::Mismatch));
    }

    #[test]
    fn a_parameter_that_is_not_covered_is_refused() {
        let url = "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D\
                   &Expires=1175139620";
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        for (added, wanted) in [("&marker=a", true), ("&legal-hold", false), ("&attributes=", false), ("&x=y", false)] {
            let (parts, ()) = http::Request::get(format!("{url}{added}")).body(()).unwrap().into_parts();
            let claim = OldClaim::parse(&parts).unwrap();
            let told = claim.verify(&parts, Some("johnsmith"), &secret, UNIX_EPOCH + Duration::from_secs(1));
            assert_eq!(told.is_ok(), wanted, "{added}: {told:?}");
        }
    }
}
