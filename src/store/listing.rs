//! One page of a listing over any ordered source of keys.
//!
//! Guarantees: byte order; at most `limit` keys and prefixes together; a rolled-up prefix costs one
//! seek, however many keys it covers. It asks the source for one row at a time and keeps no other
//! state.

use std::ops::Bound;

use super::{ListOptions, Listed, Next, Page, Result};

/// The largest page of S3, and the default.
const MAX_ENTRIES: usize = 1000;

/// Builds a page. `next` returns the first row from a lower bound on; after the first call an
/// excluded bound is the key of the row that it returned last.
pub(super) fn page_of(
    options: &ListOptions,
    mut next: impl FnMut(Bound<&str>) -> Result<Option<Listed>>,
) -> Result<Page> {
    let limit = if options.limit == 0 { MAX_ENTRIES } else { options.limit.min(MAX_ENTRIES) };
    let mut page = Page::default();
    let (mut from, mut inclusive) = start(options);
    loop {
        let row = next(if inclusive { Bound::Included(&from) } else { Bound::Excluded(&from) })?;
        let Some(row) = row.filter(|row| row.key.as_str().starts_with(&options.prefix)) else {
            return Ok(page);
        };
        if page.objects.len() + page.prefixes.len() == limit {
            page.next = page.last().map(|last| Next { after: last.to_owned(), token: None });
            return Ok(page);
        }
        match rolled_up(row.key.as_str(), options) {
            Some(prefix) => {
                (from, inclusive) = (after_all(&prefix), true);
                page.prefixes.push(prefix);
            }
            None => {
                row.key.as_str().clone_into(&mut from);
                inclusive = false;
                page.objects.push(row);
            }
        }
    }
}

fn start(options: &ListOptions) -> (String, bool) {
    match after(options) {
        Some(after) => (after, false),
        None => (options.prefix.clone(), true),
    }
}

/// The text after which a page begins; None: at the first key of its prefix. After a page that
/// ended with a rolled-up prefix, the next one begins after all keys of that prefix.
pub(super) fn after(options: &ListOptions) -> Option<String> {
    let after = options.after.as_deref().filter(|after| **after >= *options.prefix)?;
    let within = after.strip_prefix(&options.prefix).unwrap_or_default();
    let delimiter = options.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
    let rolled_up = delimiter.is_some_and(|delimiter| within.ends_with(delimiter));
    Some(if rolled_up { after_all(after) } else { after.to_owned() })
}

fn rolled_up(key: &str, options: &ListOptions) -> Option<String> {
    let delimiter = options.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
    let rest = &key[options.prefix.len()..];
    let at = rest.find(delimiter)?;
    Some(key[..options.prefix.len() + at + delimiter.len()].to_owned())
}

/// A text that sorts after all keys with this prefix, and before all keys that sort after those.
fn after_all(prefix: &str) -> String {
    // No key contains U+10FFFF: it is a noncharacter, and S3 refuses it.
    format!("{prefix}\u{10FFFF}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::UNIX_EPOCH;

    use super::super::{ETag, Key};
    use super::*;

    /// All keys and prefixes of a listing, read page by page.
    fn names(
        keys: &[&str],
        prefix: &str,
        delimiter: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<String> {
        let keys: BTreeSet<&str> = keys.iter().copied().collect();
        let mut options = ListOptions {
            prefix: prefix.to_owned(),
            delimiter: Some(delimiter.to_owned()),
            after: after.map(str::to_owned),
            limit,
            ..ListOptions::default()
        };
        let mut all = Vec::new();
        loop {
            let page = page_of(&options, |from| {
                let key = keys.range::<str, _>((from, Bound::Unbounded)).next();
                let listed = |key: &&str| Listed {
                    key: Key::from(*key),
                    size_bytes: 0,
                    etag: ETag::from(""),
                    modified: UNIX_EPOCH,
                    storage_class: None,
                    checksum: None,
                };
                Ok(key.map(listed))
            })
            .unwrap();
            let mut names: Vec<String> =
                page.objects.into_iter().map(|object| object.key.to_string()).collect();
            names.extend(page.prefixes);
            names.sort();
            assert!(
                names.len() <= limit && (!names.is_empty() || page.next.is_none()),
                "{names:?}"
            );
            all.extend(names);
            let Some(next) = page.next else { return all };
            options.continue_at(next);
        }
    }

    #[test]
    fn pages_contain_each_key_and_prefix_once() {
        let keys = [
            "a/x",
            "a/y",
            "b",
            "c",
            "d/x",
            "e",
            "f",
            "photos/2025/a",
            "photos/2026-a",
            "photos/2026/b",
        ];
        for limit in 1..=9 {
            assert_eq!(
                names(&keys, "", "/", None, limit),
                ["a/", "b", "c", "d/", "e", "f", "photos/"],
                "{limit}"
            );
            assert_eq!(names(&keys, "a/", "/", None, limit), ["a/x", "a/y"]);
            assert_eq!(names(&keys, "a/", "/", Some("a/x"), limit), ["a/y"]);
            assert_eq!(names(&keys, "", "/", Some("bb"), limit), ["c", "d/", "e", "f", "photos/"]);
            let within = ["photos/2026-a", "photos/2026/"];
            assert_eq!(
                names(&keys, "photos/2026", "/", Some("photos/"), limit),
                within,
                "`after` is shorter than the prefix"
            );
            assert_eq!(
                names(&["aa", "aab", "ab"], "a", "aa", None, limit),
                ["aa", "aab", "ab"],
                "no key has the delimiter after the prefix"
            );
        }
    }
}
