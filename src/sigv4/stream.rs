//! Verifying the signatures of the chunks and the trailer of an `aws-chunked` body.
//!
//! Each signature covers the one before it. Guarantees: signatures are compared in constant time;
//! the signing key is never printed. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html> and
//! `sigv4-streaming-trailers.html`.

use std::fmt;

use sha2::Digest;
use subtle::ConstantTimeEq;

use super::Scope;
use super::secret::SigningKey;
use crate::hex::hex;

/// Verifies the chunks of one body, in order.
#[derive(Clone)]
pub struct ChunkVerifier {
    key: SigningKey,
    scope: Scope,
    time: String,
    previous_signature: String,
}

impl ChunkVerifier {
    pub(super) fn new(key: SigningKey, scope: Scope, time: String, seed: String) -> Self {
        Self { key, scope, time, previous_signature: seed }
    }

    /// Whether this is the signature of the next chunk, which has this SHA-256.
    pub fn verify_chunk(&mut self, sha256: &[u8; 32], signature: &str) -> bool {
        let empty_hash = hex(&sha2::Sha256::digest(b""));
        self.verify(
            "AWS4-HMAC-SHA256-PAYLOAD",
            &format!("{empty_hash}\n{}", hex(sha256)),
            signature,
        )
    }

    /// Whether this is the signature of the trailer. `trailer` is its canonical form: for each
    /// field `name:value` and a line feed.
    pub fn verify_trailer(&mut self, trailer: &[u8], signature: &str) -> bool {
        self.verify("AWS4-HMAC-SHA256-TRAILER", &hex(&sha2::Sha256::digest(trailer)), signature)
    }

    fn verify(&mut self, algorithm: &str, content: &str, signature: &str) -> bool {
        let string_to_sign =
            [algorithm, &self.time, &self.scope.text(), &self.previous_signature, content]
                .join("\n");
        let expected = hex(&self.key.mac(&string_to_sign));
        let matches = bool::from(expected.as_bytes().ct_eq(signature.as_bytes()));
        self.previous_signature = expected;
        matches
    }
}

impl fmt::Debug for ChunkVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkVerifier(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    fn verifier(seed: &str) -> ChunkVerifier {
        let scope = Scope { day: "20130524".to_owned(), region: "us-east-1".to_owned() };
        let key = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").signing_key(&scope);
        ChunkVerifier::new(key, scope, "20130524T000000Z".to_owned(), seed.to_owned())
    }

    fn sha256(bytes: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(bytes).into()
    }

    /// The example of `sigv4-streaming.html`.
    #[test]
    fn the_published_chunks_verify() {
        let mut verifier =
            verifier("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
        let a = vec![b'a'; 65_536];
        let table = [
            (a.as_slice(), "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
            (&a[..1024], "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
            (&[], "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        ];
        for (chunk, signature) in table {
            assert!(verifier.verify_chunk(&sha256(chunk), signature), "{}", chunk.len());
        }
        assert!(!verifier.verify_chunk(
            &sha256(b""),
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
        ));
    }

    /// The example of `sigv4-streaming-trailers.html`.
    #[test]
    fn the_published_trailer_verifies() {
        let mut verifier =
            verifier("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");
        let a = vec![b'a'; 65_536];
        let table = [
            (a.as_slice(), "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
            (&a[..1024], "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
            (&[], "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"),
        ];
        for (chunk, signature) in table {
            assert!(verifier.verify_chunk(&sha256(chunk), signature), "{}", chunk.len());
        }
        let trailer = b"x-amz-checksum-crc32c:sOO8/Q==\n";
        assert!(verifier.verify_trailer(
            trailer,
            "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
        ));
    }
}
