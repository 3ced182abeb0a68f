//! Names as types of their own: buckets, keys, accounts and backups cannot be swapped for each
//! other.
//!
//! Guarantees: a clone allocates nothing; each compares, orders and hashes as its text does, so a
//! map with such keys is searched with a `&str`; as JSON each is a plain string. Nothing is
//! validated here: the front that took a name from a client, or the settings that an operator
//! wrote, do that.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, text: &str) -> bool {
                *self.0 == *text
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, text: &&str) -> bool {
                *self.0 == **text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }
    };
}

name! {
    /// The name of a bucket.
    Bucket
}

name! {
    /// The key of an object, decoded. Empty only where a request is about the bucket itself.
    Key
}

name! {
    /// The name of an account, as the settings have it.
    AccountName
}

name! {
    /// The id of a backup: of the chunk API's `backupId`, and the `UploadId` that S3 clients see.
    BackupId
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_map_of_names_is_searched_with_a_text() {
        let map = HashMap::from([(Bucket::from("photos"), 1)]);
        assert_eq!(map.get("photos"), Some(&1));
        assert_eq!(map.get("videos"), None);
    }

    #[test]
    fn a_name_is_a_plain_string_in_json() {
        let json = serde_json::to_string(&BackupId::from("b1")).unwrap();
        assert_eq!(json, r#""b1""#);
        assert_eq!(serde_json::from_str::<BackupId>(&json).unwrap(), "b1");
    }
}
