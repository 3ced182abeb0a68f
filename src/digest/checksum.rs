//! The checksums of S3 clients: values, running checksums, and how those of parts make that of an
//! object.
//!
//! Guarantees: a parsed checksum has the length of its algorithm; a CRC that is combined from parts
//! is that of the whole object. Numbers are big-endian, which is the canonical form of XXHash too.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::Digest;
use xxhash_rust::xxh3::Xxh3;
use xxhash_rust::xxh64::Xxh64;

use super::{Algorithm, Sha256};
use crate::hex::unhex;

/// A checksum of some bytes.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct Checksum {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

/// The JSON of a checksum.
#[derive(Serialize, Deserialize)]
struct Text {
    algorithm: Algorithm,
    value: String,
}

impl From<Checksum> for Text {
    fn from(checksum: Checksum) -> Self {
        Self { algorithm: checksum.algorithm, value: checksum.base64() }
    }
}

impl TryFrom<Text> for Checksum {
    type Error = &'static str;

    fn try_from(text: Text) -> Result<Self, Self::Error> {
        Self::from_base64(text.algorithm, &text.value)
            .ok_or("a checksum does not have the length of its algorithm")
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `crc32:AAAAAA==`.
impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.base64())
    }
}

impl FromStr for Checksum {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (algorithm, value) =
            text.split_once(':').ok_or("a checksum begins with its algorithm")?;
        let algorithm = algorithm.parse().map_err(|_| "a checksum begins with its algorithm")?;
        Self::from_base64(algorithm, value)
            .ok_or("a checksum does not have the length of its algorithm")
    }
}

impl From<Sha256> for Checksum {
    fn from(sha256: Sha256) -> Self {
        Self { algorithm: Algorithm::Sha256, bytes: sha256.0.to_vec() }
    }
}

impl Checksum {
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = ChecksumHasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// None where the algorithm is another one.
    pub fn sha256(&self) -> Option<Sha256> {
        let bytes = <[u8; 32]>::try_from(self.bytes.as_slice()).ok()?;
        (self.algorithm == Algorithm::Sha256).then_some(Sha256(bytes))
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn base64(&self) -> String {
        STANDARD.encode(&self.bytes)
    }

    /// None unless the value has the length of the algorithm.
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == algorithm.bytes())?;
        Some(Self { algorithm, bytes })
    }

    /// An MD5 in the form of an ETag; None for any other text.
    pub fn md5_from_hex(text: &str) -> Option<Self> {
        let bytes = unhex::<16>(text)?;
        Some(Self { algorithm: Algorithm::Md5, bytes: bytes.to_vec() })
    }

    fn of_crc(algorithm: Algorithm, crc: u64) -> Self {
        Self { algorithm, bytes: crc.to_be_bytes()[8 - algorithm.bytes()..].to_vec() }
    }

    fn crc(&self) -> u64 {
        self.bytes.iter().fold(0, |crc, byte| crc << 8 | u64::from(*byte))
    }
}

/// A running checksum.
#[derive(Clone)]
pub struct ChecksumHasher {
    algorithm: Algorithm,
    state: State,
}

#[derive(Clone)]
enum State {
    Crc(Box<crc_fast::Digest>),
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
    Xxhash64(Xxh64),
    /// For 64 and for 128 bits.
    Xxhash3(Box<Xxh3>),
}

impl ChecksumHasher {
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Crc32 | Algorithm::Crc32c | Algorithm::Crc64Nvme => {
                let crc = algorithm.crc().expect("the three algorithms of this arm are CRCs");
                State::Crc(Box::new(crc_fast::Digest::new(crc)))
            }
            Algorithm::Md5 => State::Md5(md5::Md5::new()),
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::default()),
            Algorithm::Xxhash64 => State::Xxhash64(Xxh64::new(0)),
            Algorithm::Xxhash3 | Algorithm::Xxhash128 => State::Xxhash3(Box::new(Xxh3::new())),
        };
        Self { algorithm, state }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc(crc) => crc.update(bytes),
            State::Md5(md5) => md5.update(bytes),
            State::Sha1(sha1) => sha1.update(bytes),
            State::Sha256(sha256) => sha256.update(bytes),
            State::Sha512(sha512) => sha512.update(bytes),
            State::Xxhash64(xxhash) => xxhash.update(bytes),
            State::Xxhash3(xxhash) => xxhash.update(bytes),
        }
    }

    pub fn finish(self) -> Checksum {
        let bytes = match self.state {
            State::Crc(crc) => return Checksum::of_crc(self.algorithm, crc.finalize()),
            State::Md5(md5) => md5.finalize().to_vec(),
            State::Sha1(sha1) => sha1.finalize().to_vec(),
            State::Sha256(sha256) => sha256.finalize().to_vec(),
            State::Sha512(sha512) => sha512.finalize().to_vec(),
            State::Xxhash64(xxhash) => xxhash.digest().to_be_bytes().to_vec(),
            State::Xxhash3(xxhash) if self.algorithm == Algorithm::Xxhash128 => {
                xxhash.digest128().to_be_bytes().to_vec()
            }
            State::Xxhash3(xxhash) => xxhash.digest().to_be_bytes().to_vec(),
        };
        Checksum { algorithm: self.algorithm, bytes }
    }
}

impl fmt::Debug for ChecksumHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChecksumHasher({})", self.algorithm)
    }
}

/// The checksum of a whole object, from those of its parts and their lengths. None unless the
/// algorithm is a CRC, without parts, and for different algorithms.
pub fn combined(parts: impl IntoIterator<Item = (Checksum, u64)>) -> Option<Checksum> {
    let mut parts = parts.into_iter();
    let (first, _) = parts.next()?;
    let crc = first.algorithm.crc()?;
    let mut all = first.crc();
    for (part, len_bytes) in parts {
        if part.algorithm != first.algorithm {
            return None;
        }
        all = crc_fast::checksum_combine(crc, all, part.crc(), len_bytes);
    }
    Some(Checksum::of_crc(first.algorithm, all))
}

/// The checksum over the checksums of the parts; S3 appends `-<parts>` to it. None without parts,
/// and for different algorithms.
pub fn composite<'a>(parts: impl IntoIterator<Item = &'a Checksum>) -> Option<Checksum> {
    let mut parts = parts.into_iter().peekable();
    let algorithm = parts.peek()?.algorithm;
    let mut all = ChecksumHasher::new(algorithm);
    for part in parts {
        if part.algorithm != algorithm {
            return None;
        }
        all.update(&part.bytes);
    }
    Some(all.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn of(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = ChecksumHasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The check values of the CRC catalogue (reveng), those of RFC 1321 and FIPS 180 for "abc", and
    /// what xxhsum 0.8 prints for it.
    #[test]
    fn checksums_have_the_published_values() {
        let crcs = [
            (Algorithm::Crc32, 0xcbf4_3926),
            (Algorithm::Crc32c, 0xe306_9283),
            (Algorithm::Crc64Nvme, 0xae8b_1486_0a79_9888),
        ];
        for (algorithm, crc) in crcs {
            assert_eq!(of(algorithm, b"123456789").crc(), crc, "{algorithm}");
        }
        let hashes = [
            (Algorithm::Md5, "kAFQmDzST7DWlj99KOF/cg=="),
            (Algorithm::Sha1, "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="),
            (Algorithm::Sha256, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
            (
                Algorithm::Sha512,
                "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==",
            ),
            (Algorithm::Xxhash64, "RLws9a13CZk="),
            (Algorithm::Xxhash3, "eK9flIkvOVA="),
            (Algorithm::Xxhash128, "BrBatnM6YYV4r1+UiS85UA=="),
        ];
        for (algorithm, base64) in hashes {
            assert_eq!(of(algorithm, b"abc").base64(), base64, "{algorithm}");
        }
    }

    #[test]
    fn a_value_of_another_length_is_not_a_checksum() {
        assert!(Checksum::from_base64(Algorithm::Crc32, "y/Q5Jg==").is_some());
        for bad in ["", "y/Q5", "y/Q5Jg", "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", "****"] {
            assert!(Checksum::from_base64(Algorithm::Crc32, bad).is_none(), "{bad}");
        }
        let json = serde_json::to_string(&of(Algorithm::Crc64Nvme, b"x")).unwrap();
        assert_eq!(
            serde_json::from_str::<Checksum>(&json).unwrap(),
            of(Algorithm::Crc64Nvme, b"x")
        );
    }

    proptest! {
        #[test]
        fn checksums_of_parts_combine_to_that_of_the_whole(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..8)
        ) {
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let sums = parts.iter().map(|part| (of(algorithm, part), part.len() as u64));
                prop_assert_eq!(combined(sums), Some(of(algorithm, &parts.concat())));
            }
        }
    }
}
