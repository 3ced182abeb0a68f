//! Finds everything below a directory, and the keys for it.
//!
//! Guarantees: the same directory always gives the same keys; no two names share one. A name that
//! is not UTF-8 gets a key with each of its odd bytes as `‛` and two hex digits, and the name
//! itself is an attribute.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Filter, Sources, TreeReport};
use crate::client::{
    Progress,
    attributes::{MAX_KEY_BYTES, is_reserved, shown},
};
use crate::digest::Sha256;

/// Marks a byte that is not UTF-8, as rclone does (U+201B).
const MARK: char = '\u{201b}';

/// What lies below the root at one path.
pub(super) struct Entry {
    pub path: PathBuf,
    /// The key of a directory ends in `/`.
    pub key: String,
    /// Bytes; 0 for what has none.
    pub size: u64,
    /// The same for all names of one file that has several below the root.
    pub hard_link: Option<String>,
    /// The name, if it is not UTF-8.
    pub name: Option<Vec<u8>>,
}

/// Everything that the sources are, in order of names; a directory comes after what it contains.
pub(super) fn walk(
    sources: &Sources,
    prefix: &str,
    filter: &Filter,
    report: &mut TreeReport,
    progress: &Progress,
) -> Vec<Entry> {
    let (entries, linked) = (Vec::new(), BTreeMap::new());
    let mut walk = Walk { root_prefix: prefix, filter, entries, linked, report, progress };
    progress.begin_count();
    match sources {
        Sources::Below(root) => walk.directory(root, prefix),
        Sources::Each(named) => walk.each(named, prefix),
    }
    progress.end_count();
    for places in walk.linked.values().filter(|places| places.len() > 1) {
        // Not of the inode: its number may be another one after the next start of the machine.
        let group = Sha256::of(walk.entries[places[0]].key.as_bytes()).hex();
        for place in places {
            walk.entries[*place].hard_link = Some(group.clone());
        }
    }
    walk.entries
}

struct Walk<'a> {
    root_prefix: &'a str,
    filter: &'a Filter,
    entries: Vec<Entry>,
    /// Device and inode of files with several names → their places in `entries`.
    linked: BTreeMap<(u64, u64), Vec<usize>>,
    report: &'a mut TreeReport,
    progress: &'a Progress,
}

impl Walk<'_> {
    fn directory(&mut self, dir: &Path, prefix: &str) {
        let children = fs::read_dir(dir).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let children = match children {
            Ok(children) => children,
            Err(error) => {
                let reason = format!("the directory cannot be read: {error}");
                return self.report.failed.push((shown(dir), reason));
            }
        };
        let names = children.into_iter().map(|child| child.file_name()).collect();
        for (name, segment) in segments(names) {
            let path = dir.join(&name);
            match fs::symlink_metadata(&path) {
                Ok(meta) => self.child(path, (name, segment), prefix, &meta),
                Err(error) => {
                    let reason = format!("its attributes cannot be read: {error}");
                    self.report.failed.push((shown(&path), reason));
                }
            }
        }
    }

    fn each(&mut self, named: &BTreeMap<OsString, PathBuf>, prefix: &str) {
        for (name, segment) in segments(named.keys().cloned().collect()) {
            let path = &named[&name];
            // A link that is named is followed, as where it is the only source.
            let found = fs::canonicalize(path);
            match found.and_then(|path| Ok((fs::symlink_metadata(&path)?, path))) {
                Ok((meta, path)) => self.child(path, (name, segment), prefix, &meta),
                Err(error) => self.report.failed.push((shown(path), error.to_string())),
            }
        }
    }

    fn child(
        &mut self,
        path: PathBuf,
        (name, segment): (OsString, String),
        prefix: &str,
        meta: &Metadata,
    ) {
        let mut key = format!("{prefix}{segment}");
        if meta.is_dir() {
            key.push('/');
        }
        if self.filter.excludes_key(&key, self.root_prefix) {
            return;
        }
        if is_reserved(&segment) {
            let reason = "the name is that of the attributes which backups keep";
            return self.report.left_out.push((shown(&path), reason.to_owned()));
        }
        if meta.is_dir() {
            self.directory(&path, &key);
        }
        if key.len() > MAX_KEY_BYTES {
            let reason =
                format!("its key would have {} bytes; S3 allows {MAX_KEY_BYTES}", key.len());
            return self.report.left_out.push((shown(&path), reason));
        }
        if meta.is_file() && meta.nlink() > 1 {
            let places = self.linked.entry((meta.dev(), meta.ino())).or_default();
            places.push(self.entries.len());
        }
        let size = if meta.is_file() { meta.len() } else { 0 };
        let name = name.to_str().is_none().then(|| name.into_vec());
        self.progress.count(size);
        self.entries.push(Entry { path, key, size, hard_link: None, name });
    }
}

/// The names of one directory, sorted, each with the segment that stands for it in keys.
fn segments(mut names: Vec<OsString>) -> Vec<(OsString, String)> {
    names.sort();
    let mut taken: BTreeSet<String> =
        names.iter().filter_map(|name| name.to_str().map(str::to_owned)).collect();
    let segment_of = |name: &OsString| match name.to_str() {
        Some(text) => text.to_owned(),
        None => {
            let mut segment = escaped(name.as_bytes());
            while !taken.insert(segment.clone()) {
                segment.push(MARK);
            }
            segment
        }
    };
    let segments: Vec<String> = names.iter().map(segment_of).collect();
    names.into_iter().zip(segments).collect()
}

fn escaped(name: &[u8]) -> String {
    let mut text = String::new();
    for piece in name.utf8_chunks() {
        text.push_str(piece.valid());
        for byte in piece.invalid() {
            text.push_str(&format!("{MARK}{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_segment_of_its_own() {
        let names: Vec<OsString> =
            [b"caf\xe9".as_slice(), "caf‛E9".as_bytes(), b"plain", b"\xff\xfe"]
                .map(|name| OsString::from_vec(name.to_vec()))
                .into();
        let found: Vec<String> = segments(names).into_iter().map(|(_, segment)| segment).collect();
        assert_eq!(found, ["caf‛E9", "caf‛E9‛", "plain", "‛FF‛FE"]);
    }
}
