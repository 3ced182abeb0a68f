//! Tags of objects and buckets: names with values, which a client sets and reads.
//!
//! Guarantees: a name occurs once. Whether S3 allows a name or a value is the front's business.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>.

use std::collections::BTreeMap;

use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};

use crate::sigv4::URI_COMPONENT;

/// Tags by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(pub BTreeMap<String, String>);

impl Tags {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// As the header `x-amz-tagging` has them: the form of a query.
    pub fn to_query(&self) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, URI_COMPONENT).to_string();
        let pairs =
            self.0.iter().map(|(name, value)| [&*encoded(name), &*encoded(value)].join("="));
        pairs.collect::<Vec<_>>().join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_encoded_as_in_a_query() {
        let pairs = [("a b", "ü"), ("k&", "x=+/"), ("empty", "")];
        let tags = Tags(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(tags.to_query(), "a%20b=%C3%BC&empty=&k%26=x%3D%2B%2F");
        assert_eq!(Tags::default().to_query(), "");
    }
}
