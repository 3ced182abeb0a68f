//! The checksum of a whole object that is made of parts, in an algorithm of S3 clients.
//!
//! Guarantees: it is what S3 computes of the same parts. Pure. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>.

use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Checksum, combined, composite};

/// The checksum of a whole object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectChecksum {
    pub algorithm: Algorithm,
    /// Base64; a composite checksum ends in `-<number of parts>`.
    pub value: String,
    pub kind: ChecksumKind,
}

impl ObjectChecksum {
    /// The checksum of an object that is made of parts with these checksums and lengths. None
    /// without parts, and where their algorithm has no such checksum.
    pub fn of_parts(kind: ChecksumKind, parts: &[(Checksum, u64)]) -> Option<Self> {
        let value = match kind {
            ChecksumKind::FullObject => combined(parts.iter().cloned())?.base64(),
            ChecksumKind::Composite => {
                let all = composite(parts.iter().map(|(checksum, _)| checksum))?;
                format!("{}-{}", all.base64(), parts.len())
            }
        };
        Some(Self { algorithm: parts.first()?.0.algorithm(), value, kind })
    }
}

/// How the checksum of a whole object is computed. The words are S3's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChecksumKind {
    #[serde(rename = "FULL_OBJECT")]
    FullObject,
    #[serde(rename = "COMPOSITE")]
    Composite,
}

impl ChecksumKind {
    /// As in `x-amz-checksum-type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    /// In any case, as S3 reads it. None for any other text.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::FullObject, Self::Composite];
        all.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Whether checksums of this kind exist in an algorithm: only CRCs can be combined to that of
    /// the object, and S3 makes no composite CRC64NVME.
    pub fn exists_in(self, algorithm: Algorithm) -> bool {
        match self {
            Self::FullObject => algorithm.combines(),
            Self::Composite => algorithm != Algorithm::Crc64Nvme,
        }
    }
}
