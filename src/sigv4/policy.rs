//! Verifying the signature of a form's POST policy, of version 4 or of version 2.
//!
//! The signature covers the policy's Base64 text itself. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/HTTPPOSTForms.html>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use subtle::ConstantTimeEq;

use super::{ALGORITHM, Compared, Error, Scope, Secret, date};
use crate::hex::hex;

/// The fields of a form that carry its signature.
#[derive(Clone, Copy, Debug)]
pub struct PolicySignature<'a> {
    pub version: PolicyVersion<'a>,
    pub signature: &'a str,
    /// Base64, as it is in the form.
    pub policy: &'a str,
}

/// What the versions of a signature do not share.
#[derive(Clone, Copy, Debug)]
pub enum PolicyVersion<'a> {
    V4 { algorithm: &'a str, credential: &'a str, date: &'a str },
    V2 { access_key_id: &'a str },
}

impl<'a> PolicySignature<'a> {
    pub fn access_key_id(&self) -> &'a str {
        match self.version {
            PolicyVersion::V4 { credential, .. } => {
                credential.split('/').next().unwrap_or_default()
            }
            PolicyVersion::V2 { access_key_id } => access_key_id,
        }
    }

    /// The credential; None: version 2 has none.
    pub fn credential(&self) -> Option<&'a str> {
        match self.version {
            PolicyVersion::V4 { credential, .. } => Some(credential),
            PolicyVersion::V2 { .. } => None,
        }
    }

    /// The region of the credential. **Errors**: `InvalidArgument`.
    pub fn region(&self) -> Result<Option<String>, Error> {
        Ok(self.scope()?.map(|scope| scope.region))
    }

    /// **Errors**: `InvalidArgument`, `Mismatch`. The expiry is in the policy and is not checked
    /// here.
    pub fn verify(&self, secret: &Secret) -> Result<(), Error> {
        let expected = match self.scope()? {
            Some(scope) => hex(&secret.signing_key(&scope).mac(self.policy)),
            None => {
                let mut mac = Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes())
                    .expect("HMAC takes a key of any length");
                mac.update(self.policy.as_bytes());
                STANDARD.encode(mac.finalize().into_bytes())
            }
        };
        if bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            Ok(())
        } else {
            Err(Error::Mismatch(Box::new(Compared {
                access_key_id: self.access_key_id().to_owned(),
                signature: self.signature.to_owned(),
                string_to_sign: self.policy.as_bytes().to_owned(),
                canonical_request: None,
            })))
        }
    }

    /// None: version 2 has none.
    fn scope(&self) -> Result<Option<Scope>, Error> {
        let PolicyVersion::V4 { algorithm, credential, date } = self.version else {
            return Ok(None);
        };
        if algorithm != ALGORITHM {
            let what = "Only AWS4-HMAC-SHA256 is supported";
            return Err(Error::argument("X-Amz-Algorithm", algorithm, what));
        }
        if date::parse(date).is_none() {
            let what = "X-Amz-Date must be formated via ISO8601 Long format";
            return Err(Error::argument("X-Amz-Date", date, what));
        }
        let (_, scope) = Scope::of_credential(credential)
            .map_err(|what| Error::argument("x-amz-credential", credential, what))?;
        Ok(Some(scope))
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
            version: PolicyVersion::V4 {
                algorithm: "AWS4-HMAC-SHA256",
                credential: "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
                date: "20151229T000000Z",
            },
            signature: "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
            policy,
        };
        assert_eq!(signature.access_key_id(), "AKIAIOSFODNN7EXAMPLE");
        assert_eq!(
            signature.verify(&Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")),
            Ok(())
        );
        let other = signature.verify(&Secret::new("other"));
        assert!(matches!(other, Err(Error::Mismatch(_))));
    }
}
