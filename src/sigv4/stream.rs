//! The signatures of the chunks and the trailer of an `aws-chunked` body, each over the one before
//! it.
//!
//! Guarantees: compared in constant time; the signing key is never printed. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html> and
//! `sigv4-streaming-trailers.html`.

use std::fmt;

use sha2::Digest;
use subtle::ConstantTimeEq;

use super::Scope;
use super::hex::hex;
use super::secret::SigningKey;

/// Verifies one body's chunks, in order.
#[derive(Clone)]
pub struct ChunkSigner {
    key: SigningKey,
    scope: Scope,
    time: String,
    previous: String,
}

impl ChunkSigner {
    pub(super) fn new(key: SigningKey, scope: Scope, time: String, seed: String) -> Self {
        Self { key, scope, time, previous: seed }
    }

    /// Whether the next chunk, with this SHA-256, has that signature.
    pub fn verify_chunk(&mut self, sha256: &[u8; 32], signature: &str) -> bool {
        let nothing = hex(&sha2::Sha256::digest(b""));
        self.verify("AWS4-HMAC-SHA256-PAYLOAD", &format!("{nothing}\n{}", hex(sha256)), signature)
    }

    /// Whether the trailer, in its canonical form (`name:value` and a line feed, for each), has
    /// that signature.
    pub fn verify_trailer(&mut self, trailer: &[u8], signature: &str) -> bool {
        self.verify("AWS4-HMAC-SHA256-TRAILER", &hex(&sha2::Sha256::digest(trailer)), signature)
    }

    fn verify(&mut self, algorithm: &str, rest: &str, signature: &str) -> bool {
        let to_sign = [algorithm, &self.time, &self.scope.text(), &self.previous, rest].join("\n");
        let ours = hex(&self.key.mac(&to_sign));
        let same = bool::from(ours.as_bytes().ct_eq(signature.as_bytes()));
        self.previous = ours;
        same
    }
}

impl fmt::Debug for ChunkSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkSigner(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    fn signer(seed: &str) -> ChunkSigner {
        let scope = Scope { day: "20130524".to_owned(), region: "us-east-1".to_owned() };
        let key = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").signing_key(&scope);
        ChunkSigner::new(key, scope, "20130524T000000Z".to_owned(), seed.to_owned())
    }

    fn sha256(bytes: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(bytes).into()
    }

    /// The example of `sigv4-streaming.html`.
    #[test]
    fn the_published_chunks_verify() {
        let mut signer = signer("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
        let a = vec![b'a'; 65_536];
        let table = [
            (a.as_slice(), "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
            (&a[..1024], "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
            (&[], "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        ];
        for (chunk, signature) in table {
            assert!(signer.verify_chunk(&sha256(chunk), signature), "{}", chunk.len());
        }
        assert!(!signer.verify_chunk(
            &sha256(b""),
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
        ));
    }

    /// The example of `sigv4-streaming-trailers.html`.
    #[test]
    fn the_published_trailer_verifies() {
        let mut signer = signer("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");
        let a = vec![b'a'; 65_536];
        let table = [
            (a.as_slice(), "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
            (&a[..1024], "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
            (&[], "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"),
        ];
        for (chunk, signature) in table {
            assert!(signer.verify_chunk(&sha256(chunk), signature), "{}", chunk.len());
        }
        let trailer = b"x-amz-checksum-crc32c:sOO8/Q==\n";
        assert!(signer.verify_trailer(
            trailer,
            "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
        ));
    }
}
