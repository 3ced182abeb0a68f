//! Arguments of the command line: targets (`s3://bucket/key`) and sizes.

use super::{Error, Result};

/// The bucket and key of a backup. A key that is empty or ends in `/` is a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub bucket: String,
    pub key: String,
}

impl Target {
    /// Parses `s3://bucket` or `s3://bucket/key`. **Errors**: `WrongUse`.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || Error::WrongUse(format!("{text:?} is not of the form s3://bucket/key"));
        let rest = text.strip_prefix("s3://").ok_or_else(invalid)?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(invalid());
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// The same bucket with another key.
    pub fn with_key(&self, key: String) -> Self {
        Self { bucket: self.bucket.clone(), key }
    }

    pub fn is_prefix(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// Parses a number of bytes: `8388608`, `8MiB`, `8M`, `20MB`. K, M, G, T and KiB, MiB, GiB, TiB are
/// powers of 1,024; KB, MB, GB, TB are powers of 1,000.
pub fn parse_size(text: &str) -> std::result::Result<u64, String> {
    let invalid = || {
        format!(
            "{text:?} is not a size; write a whole number of bytes, or a number with KiB, MiB, GiB \
             or TiB"
        )
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| invalid())?;
    let unit = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(invalid()),
    };
    number.checked_mul(unit).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_a_bucket() {
        let target = Target::parse("s3://b/a/c.txt").unwrap();
        assert_eq!(
            (target.bucket.as_str(), target.key.as_str(), target.is_prefix()),
            ("b", "a/c.txt", false)
        );
        assert!(Target::parse("s3://b").unwrap().is_prefix());
        assert!(Target::parse("s3://b/dir/").unwrap().is_prefix());
        for invalid in ["", "b/k", "s3://", "s3:///k", "http://b/k"] {
            assert!(Target::parse(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("12", 12),
            ("4KiB", 4096),
            ("8M", 8 << 20),
            ("2gib", 2 << 30),
            ("5MB", 5_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for invalid in ["", "M", "1.5M", "-1", "9XB", "99999999TiB"] {
            assert!(parse_size(invalid).is_err(), "{invalid}");
        }
    }
}
