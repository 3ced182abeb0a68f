//! Which files of a tree count: patterns as in `.gitignore`, of which the last one that matches
//! decides.
//!
//! Guarantees: what lies in an excluded directory is excluded. A key and the file that it is of are
//! decided alike, so that what is not backed up is not restored, verified or deleted either.
//! Source: gitignore(5).

use std::path::PathBuf;
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::client::{Error, Result, attributes::key_of_entry};

/// A pattern of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Exclude(String),
    Include(String),
    /// A file of patterns, as a `.gitignore`.
    ExcludeFrom(PathBuf),
}

/// Excludes files by their names. Without a pattern it excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter(Option<Arc<Gitignore>>);

impl Filter {
    /// **Errors**: `WrongUse` for a pattern that is none, `Io` for a file that cannot be read.
    pub fn new(patterns: &[Pattern]) -> Result<Self> {
        if patterns.is_empty() {
            return Ok(Self::default());
        }
        let mut builder = GitignoreBuilder::new("");
        let mut add = |line: &str| {
            builder.add_line(None, line).map(drop).map_err(|error| {
                Error::WrongUse(format!("{line:?} is not a pattern of .gitignore files: {error}"))
            })
        };
        for pattern in patterns {
            match pattern {
                Pattern::Exclude(text) => add(&without_comment(text))?,
                Pattern::Include(text) => add(&format!("!{text}"))?,
                Pattern::ExcludeFrom(path) => {
                    let lines = std::fs::read_to_string(path);
                    let lines = lines.map_err(Error::io(path, "cannot be read"))?;
                    lines.lines().try_for_each(&mut add)?;
                }
            }
        }
        let built = builder.build();
        let built = built.map_err(|error| Error::WrongUse(format!("the patterns: {error}")))?;
        Ok(Self(Some(Arc::new(built))))
    }

    /// Whether this key below a prefix is excluded, or, for an attribute entry, the key that it
    /// belongs to. **Shape**: the key of a directory ends in `/`.
    pub(super) fn excludes_key(&self, key: &str, prefix: &str) -> bool {
        let Some(patterns) = &self.0 else { return false };
        let owner = key_of_entry(key);
        let key = owner.as_deref().unwrap_or(key);
        let relative = key.strip_prefix(prefix).unwrap_or(key).trim_start_matches('/');
        // From the top: nothing below an excluded directory is looked at.
        let ends = relative.char_indices().filter(|(_, char)| *char == '/').map(|(at, _)| at);
        let is_file = !relative.is_empty() && !relative.ends_with('/');
        let mut parts =
            ends.map(|end| (end, true)).chain(is_file.then_some((relative.len(), false)));
        // The key of an entry does not say whether it is that of a directory.
        let is_excluded = |end, is_dir| patterns.matched(&relative[..end], is_dir).is_ignore();
        parts.any(|(end, is_dir)| {
            is_excluded(end, is_dir) || (!is_dir && owner.is_some() && is_excluded(end, true))
        })
    }
}

/// An argument is a pattern, whatever it begins with.
fn without_comment(text: &str) -> String {
    if text.starts_with('#') { format!("\\{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let exclude = |text: &str| Pattern::Exclude(text.to_owned());
        let include = |text: &str| Pattern::Include(text.to_owned());
        let patterns = [
            exclude("*.tmp"),
            include("keep.tmp"),
            exclude("/cache/"),
            exclude("#odd"),
            exclude("a/b"),
        ];
        let filter = Filter::new(&patterns).unwrap();
        for (key, is_excluded) in [
            ("p/x.tmp", true),
            ("p/deep/x.tmp", true),
            ("p/keep.tmp", false),
            ("p/cache/", true),
            ("p/cache/keep.tmp", true),
            ("p/cache/deep/er", true),
            ("p/cache", false),
            ("p/other/cache/x", false),
            ("p/#odd", true),
            ("p/a/b", true),
            ("p/c/a/b", false),
            ("p/.ratchet-attributes/x.tmp", true),
            ("p/.ratchet-attributes/cache", true),
            ("p/.ratchet-attributes/x", false),
            ("p//x.tmp", true),
            ("p/", false),
        ] {
            assert_eq!(filter.excludes_key(key, "p/"), is_excluded, "{key}");
        }
        assert!(!Filter::default().excludes_key("p/x.tmp", "p/"));
        assert!(Filter::new(&[exclude("{a")]).is_err());
    }
}
