//! Access for tests to the vocabulary, one entry per operation and name.

use super::super::route::S3Operation;
use super::{HEADERS, Meaning, Operations, PARAMETERS, meaning};

/// What the gateway does with a name of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As S3 calls it.
    pub operation: String,
    pub is_read: bool,
    pub is_header: bool,
    pub name: &'static str,
    pub meaning: Meaning,
}

/// All entries, by operation.
pub fn entries() -> Vec<Entry> {
    let mut all = Vec::new();
    for operation in S3Operation::ALL {
        for (rows, is_header) in [(HEADERS, true), (PARAMETERS, false)] {
            let mut names: Vec<&'static str> = rows.iter().map(|row| row.name).collect();
            names.dedup();
            all.extend(names.into_iter().filter_map(|name| {
                let meaning = meaning(rows, name, operation)?;
                let is_read = Operations::READS.has(operation);
                let operation = operation.s3_name();
                Some(Entry { operation, is_read, is_header, name, meaning })
            }));
        }
    }
    all
}
