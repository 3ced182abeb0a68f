//! The checksum algorithms of S3, by their names.
//!
//! Guarantees: names are read in any case, as S3 reads them. Pure. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Checksum.html>.

use std::fmt;
use std::str::FromStr;

use crc_fast::CrcAlgorithm;
use http::HeaderName;
use serde::{Deserialize, Serialize};

/// A checksum algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Md5,
    Sha1,
    Sha256,
    Sha512,
    Xxhash128,
    Xxhash3,
    Xxhash64,
}

impl Algorithm {
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Md5,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Xxhash128,
        Self::Xxhash3,
        Self::Xxhash64,
    ];

    /// As in `x-amz-checksum-algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Xxhash128 => "XXHASH128",
            Self::Xxhash3 => "XXHASH3",
            Self::Xxhash64 => "XXHASH64",
        }
    }

    /// The header or trailer that contains the checksum.
    pub fn header(self) -> HeaderName {
        match self {
            Self::Crc32 => const { HeaderName::from_static("x-amz-checksum-crc32") },
            Self::Crc32c => const { HeaderName::from_static("x-amz-checksum-crc32c") },
            Self::Crc64Nvme => const { HeaderName::from_static("x-amz-checksum-crc64nvme") },
            Self::Md5 => const { HeaderName::from_static("x-amz-checksum-md5") },
            Self::Sha1 => const { HeaderName::from_static("x-amz-checksum-sha1") },
            Self::Sha256 => const { HeaderName::from_static("x-amz-checksum-sha256") },
            Self::Sha512 => const { HeaderName::from_static("x-amz-checksum-sha512") },
            Self::Xxhash128 => const { HeaderName::from_static("x-amz-checksum-xxhash128") },
            Self::Xxhash3 => const { HeaderName::from_static("x-amz-checksum-xxhash3") },
            Self::Xxhash64 => const { HeaderName::from_static("x-amz-checksum-xxhash64") },
        }
    }

    /// The length of a checksum in Base64. **Unit**: characters.
    pub fn base64_len(self) -> usize {
        self.bytes().div_ceil(3) * 4
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::Xxhash3 | Self::Xxhash64 => 8,
            Self::Md5 | Self::Xxhash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Whether S3 had the algorithm before 2026, so that most servers know it.
    pub fn is_common(self) -> bool {
        match self {
            Self::Crc32 | Self::Crc32c | Self::Crc64Nvme | Self::Sha1 | Self::Sha256 => true,
            Self::Md5 | Self::Sha512 | Self::Xxhash128 | Self::Xxhash3 | Self::Xxhash64 => false,
        }
    }

    /// Whether the checksum of an object can be combined from those of its parts.
    pub fn combines(self) -> bool {
        self.crc().is_some()
    }

    pub(super) fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Md5
            | Self::Sha1
            | Self::Sha256
            | Self::Sha512
            | Self::Xxhash128
            | Self::Xxhash3
            | Self::Xxhash64 => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is not an algorithm of S3.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Checksum algorithm provided is unsupported. Please try again with any of the valid types: \
     [CRC32, CRC32C, CRC64NVME, MD5, SHA1, SHA256, SHA512, XXHASH128, XXHASH3, XXHASH64]"
)]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found =
            Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(text));
        found.ok_or(UnknownAlgorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_has_one_name_in_headers_documents_and_messages() {
        let mut names = Vec::new();
        for algorithm in Algorithm::ALL {
            let name = algorithm.name();
            assert_eq!(name.to_lowercase().parse(), Ok(algorithm));
            assert_eq!(serde_json::to_string(&algorithm).unwrap(), format!("{name:?}"));
            let header = format!("x-amz-checksum-{}", name.to_lowercase());
            assert_eq!(algorithm.header().as_str(), header);
            names.push(name);
        }
        assert!(UnknownAlgorithm.to_string().ends_with(&format!("[{}]", names.join(", "))));
        assert_eq!("CRC16".parse::<Algorithm>(), Err(UnknownAlgorithm));
    }
}
