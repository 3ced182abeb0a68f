//! Verifying the signature of a form's POST policy.
//!
//! The signature covers the policy's Base64 text itself.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html>.

use subtle::ConstantTimeEq;

use super::{ALGORITHM, Error, SERVICE, Scope, Secret};
use crate::hex::hex;

/// The fields of a form that carry its signature.
#[derive(Clone, Copy, Debug)]
pub struct PolicySignature<'a> {
    pub algorithm: &'a str,
    pub credential: &'a str,
    pub signature: &'a str,
    /// Base64, as it is in the form.
    pub policy: &'a str,
}

impl<'a> PolicySignature<'a> {
    pub fn access_key_id(&self) -> &'a str {
        self.credential.split('/').next().unwrap_or_default()
    }

    /// **Errors**: `Malformed`, `Mismatch`. The expiry is in the policy and is not checked here.
    pub fn verify(&self, secret: &Secret) -> Result<(), Error> {
        let scope: Vec<&str> = self.credential.split('/').collect();
        let [_, day, region, SERVICE, "aws4_request"] = scope[..] else {
            return Err(Error::Malformed("the scope of the credential"));
        };
        if self.algorithm != ALGORITHM {
            return Err(Error::Malformed("the algorithm is not AWS4-HMAC-SHA256"));
        }
        let scope = Scope { day: day.to_owned(), region: region.to_owned() };
        let expected = hex(&secret.signing_key(&scope).mac(self.policy));
        if bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            Ok(())
        } else {
            Err(Error::Mismatch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of `sigv4-post-example.html`, with its published policy and signature.
    #[test]
    fn the_published_policy_verifies() {
        let policy = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
        let signature = PolicySignature {
            algorithm: "AWS4-HMAC-SHA256",
            credential: "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
            signature: "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
            policy,
        };
        assert_eq!(signature.access_key_id(), "AKIAIOSFODNN7EXAMPLE");
        assert_eq!(
            signature.verify(&Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")),
            Ok(())
        );
        assert_eq!(signature.verify(&Secret::new("other")), Err(Error::Mismatch));
    }
}
