//! What is to be restored where: the objects below a prefix, each with its path.
//!
//! Guarantees: a path lies below the root, whatever the keys and the recorded names are, and a key
//! names exactly one path.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::TreeReport;
use crate::client::{attributes::Attributes, remote::Current};

/// The object of one key, and where it is restored to.
pub(super) struct Found {
    pub key: String,
    pub path: PathBuf,
    pub current: Current,
}

/// Gives each object a path. What has none below the root is reported.
pub(super) fn plan(
    prefix: &str,
    root: &Path,
    objects: Vec<Current>,
    report: &mut TreeReport,
) -> Vec<Found> {
    let names = Names::of(&objects);
    let mut found = Vec::new();
    for current in &objects {
        let key = &current.target.key;
        let relative = key.strip_prefix(prefix).unwrap_or(key);
        match names.path_below(root, prefix, relative) {
            Some(path) => found.push(Found { key: key.clone(), path, current: current.clone() }),
            // What S3 tools make for the directory itself.
            None if relative.is_empty() && current.size == 0 => {}
            None => {
                let reason = "its key does not name a path below the directory";
                report.failed.push((key.clone(), reason.to_owned()));
            }
        }
    }
    found
}

/// Key → the name that its last segment stands for.
struct Names<'a>(HashMap<&'a str, Vec<u8>>);

impl<'a> Names<'a> {
    fn of(objects: &'a [Current]) -> Self {
        let named = objects.iter().filter_map(|current| {
            let key = &current.target.key;
            let attributes = Attributes::from_metadata(&current.backup.as_ref()?.metadata, key);
            Some((key.as_str(), attributes.name?))
        });
        Self(named.collect())
    }

    /// The path of a key below `root`; None if the key does not name exactly one path there.
    fn path_below(&self, root: &Path, prefix: &str, relative: &str) -> Option<PathBuf> {
        if relative.is_empty() && prefix.ends_with('/') {
            // The prefix is a directory that was backed up: it is the root.
            return Some(root.to_owned());
        }
        let (mut path, mut key) = (root.to_owned(), prefix.to_owned());
        let mut segments = relative.strip_suffix('/').unwrap_or(relative).split('/').peekable();
        while let Some(segment) = segments.next() {
            key.push_str(segment);
            if segments.peek().is_some() || relative.ends_with('/') {
                key.push('/');
            }
            // Empty and dotted segments would name a path that another key names too.
            let name = self.0.get(key.as_str()).map_or(segment.as_bytes(), Vec::as_slice);
            let is_name = |name: &[u8]| {
                !matches!(name, b"" | b"." | b"..") && !name.contains(&0) && !name.contains(&b'/')
            };
            if !is_name(name) || !is_name(segment.as_bytes()) {
                return None;
            }
            path.push(OsStr::from_bytes(name));
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_lead_out_of_the_directory_are_refused() {
        let (root, names) = (Path::new("/r"), Names(HashMap::new()));
        let path = |key| names.path_below(root, "p/", key);
        assert_eq!(path("a/b"), Some(PathBuf::from("/r/a/b")));
        assert_eq!(path("a/"), Some(PathBuf::from("/r/a")));
        assert_eq!(path(""), Some(PathBuf::from("/r")));
        for refused in ["../a", "a/../../b", "/etc/passwd", "a//b", "./a", "a/./b", "/", "a//"] {
            assert_eq!(path(refused), None, "{refused}");
        }
    }

    #[test]
    fn recorded_names_stand_for_their_segment_only() {
        let names = [("p/d‛E9/", b"d\xe9".to_vec()), ("p/up", b"..".to_vec())];
        let names = Names(names.into_iter().chain([("p/deep", b"a/b".to_vec())]).collect());
        let path = |key| names.path_below(Path::new("/r"), "p/", key);
        let expected = Path::new("/r").join(OsStr::from_bytes(b"d\xe9")).join("f");
        assert_eq!(path("d‛E9/f"), Some(expected));
        assert_eq!((path("up"), path("deep")), (None, None));
    }
}
