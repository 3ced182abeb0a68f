//! What a check finds.

use serde::Serialize;

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// A file that an object or part needs is not there, or too short.
    Lost {
        bucket: String,
        key: String,
        /// The part of an upload, or which of an object's files it is, counted from 1.
        part: u64,
        /// The upload; None for an object.
        upload: Option<String>,
        /// How many files the object has.
        parts: Option<u64>,
        file: String,
        needed_bytes: u64,
        /// None: there is no file.
        found_bytes: Option<u64>,
    },
    /// A file that nothing needs.
    LeftOver { file: String, bytes: u64 },
    /// A row of the index that cannot be read.
    Row { table: &'static str, key: String },
    /// The index's count of references to a file differs from the rows that refer to it.
    Count { file: String, counted: u64, rows: u64 },
    /// The index's count of what is needed of a pack differs from the rows that refer to it.
    Pack { file: String, counted_bytes: u64, rows_bytes: u64 },
}

/// What a check has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    pub objects: u64,
    /// Parts of unfinished uploads.
    pub parts: u64,
    /// Files that they consist of.
    pub files: u64,
    /// Findings of each kind.
    pub lost: u64,
    pub left_over: u64,
    pub left_over_bytes: u64,
    pub unreadable_rows: u64,
    pub wrong_counts: u64,
    /// The number of the index's file that was put aside, after a rebuild.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_index: Option<String>,
    /// Whether the rebuilt index was put together from pages of a damaged one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub salvaged: bool,
}

impl CheckReport {
    /// Nothing is lost and the index is in order. Left-over files only take room.
    pub fn is_sound(&self) -> bool {
        self.lost + self.unreadable_rows + self.wrong_counts == 0
    }

    pub(super) fn count(&mut self, finding: &Finding) {
        match finding {
            Finding::Lost { .. } => self.lost += 1,
            Finding::LeftOver { bytes, .. } => {
                self.left_over += 1;
                self.left_over_bytes += bytes;
            }
            Finding::Row { .. } => self.unreadable_rows += 1,
            Finding::Count { .. } | Finding::Pack { .. } => self.wrong_counts += 1,
        }
    }
}
