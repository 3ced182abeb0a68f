//! Where the bytes of an object that is made of parts are kept.
//!
//! Guarantees: pure. It names layouts and chooses one; `store` and `content` do what they mean.
//! Source: docs/architecture.md#layout-content.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{Bucket, Key};

/// How the bytes of an object lie in an S3 store. In the embedded store both are the same: objects
/// share the files of their parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectLayout {
    /// A plain object, made by a multipart upload of the store.
    #[default]
    Multipart,
    /// A recipe of blobs, which other objects of the account share.
    Content,
}

impl ObjectLayout {
    pub fn name(self) -> &'static str {
        match self {
            Self::Multipart => "multipart",
            Self::Content => "content",
        }
    }

    /// Whether it is the one that a document does not state.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for ObjectLayout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Multipart, Self::Content];
        let named = all.into_iter().find(|layout| layout.name() == text);
        named.ok_or_else(|| format!("{text:?} is no layout; it must be multipart or content"))
    }
}

/// Stands for every bucket.
const ALL_BUCKETS: &str = "*";

/// The targets whose uploads have the layout `content`: buckets, or prefixes of keys in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentTargets(Vec<(Bucket, String)>);

impl ContentTargets {
    /// The layout of an object for which none is asked for.
    pub fn layout_of(&self, bucket: &Bucket, key: &Key) -> ObjectLayout {
        let is_meant = |(of, prefix): &(Bucket, String)| {
            (of == bucket || *of == ALL_BUCKETS) && key.starts_with(prefix)
        };
        if self.0.iter().any(is_meant) { ObjectLayout::Content } else { ObjectLayout::Multipart }
    }
}

/// `BUCKET` or `BUCKET/PREFIX`, with commas between them; `*` is any bucket.
impl FromStr for ContentTargets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.split(',').map(str::trim).filter(|target| !target.is_empty());
        let targets = named.map(|target| {
            let (bucket, prefix) = target.split_once('/').unwrap_or((target, ""));
            let fits =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
            let is_name = (3..=63).contains(&bucket.len()) && bucket.bytes().all(fits);
            if !is_name && bucket != ALL_BUCKETS {
                return Err(format!(
                    "{target:?} must be BUCKET or BUCKET/PREFIX (BUCKET can be *, for all), with \
                     commas between several"
                ));
            }
            Ok((bucket.into(), prefix.to_owned()))
        });
        targets.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for ContentTargets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (bucket, prefix)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let slash = if prefix.is_empty() { "" } else { "/" };
            write!(f, "{comma}{bucket}{slash}{prefix}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_bucket_or_a_prefix_in_it() {
        let targets: ContentTargets = "images, photos/raw/".parse().unwrap();
        assert_eq!(targets.to_string(), "images,photos/raw/");
        for (bucket, key, layout) in [
            ("images", "a", ObjectLayout::Content),
            ("images2", "a", ObjectLayout::Multipart),
            ("photos", "raw/1", ObjectLayout::Content),
            ("photos", "raw", ObjectLayout::Multipart),
        ] {
            assert_eq!(targets.layout_of(&bucket.into(), &key.into()), layout, "{bucket}/{key}");
        }
        assert_eq!("".parse(), Ok(ContentTargets::default()));
        let all: ContentTargets = "*/raw/".parse().unwrap();
        assert_eq!(all.layout_of(&"any".into(), &"raw/1".into()), ObjectLayout::Content);
        assert_eq!(all.layout_of(&"any".into(), &"other".into()), ObjectLayout::Multipart);
        for wrong in ["Images", "a/b", "/raw"] {
            assert!(wrong.parse::<ContentTargets>().is_err(), "{wrong}");
        }
    }
}
