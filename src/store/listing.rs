//! One page of a listing over any ordered source of keys.
//!
//! Guarantees: byte order; at most `limit` keys and prefixes together; a rolled-up prefix costs one seek, however many
//! keys are under it. It asks the source for one key at a time and keeps nothing else.

use std::ops::Bound;

use super::{ListOptions, Listed, Page, Result};

/// S3's largest page, and the default.
const MOST: usize = 1000;

/// Builds a page. `next` finds the first row from a place on; after the first call an excluded place is the key of the
/// row that it found last.
pub(super) fn page_of(
    options: &ListOptions,
    mut next: impl FnMut(Bound<&str>) -> Result<Option<Listed>>,
) -> Result<Page> {
    let limit = if options.limit == 0 { MOST } else { options.limit.min(MOST) };
    let mut page = Page::default();
    let (mut from, mut inclusive) = start(options);
    loop {
        let row = next(if inclusive { Bound::Included(&from) } else { Bound::Excluded(&from) })?;
        let Some(row) = row.filter(|row| row.key.as_str().starts_with(&options.prefix)) else { return Ok(page) };
        if page.objects.len() + page.prefixes.len() == limit {
            page.next = page.last().map(str::to_owned);
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
    let after = options.after.as_deref().filter(|after| **after >= *options.prefix);
    let Some(after) = after else { return (options.prefix.clone(), true) };
    // A page that ended with a rolled-up prefix goes on behind all of its keys.
    match &options.delimiter {
        Some(delimiter) if !delimiter.is_empty() && after.ends_with(delimiter) && after != options.prefix => {
            (after_all(after), true)
        }
        Some(_) | None => (after.to_owned(), false),
    }
}

fn rolled_up(key: &str, options: &ListOptions) -> Option<String> {
    let delimiter = options.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
    let rest = &key[options.prefix.len()..];
    let at = rest.find(delimiter)?;
    Some(key[..options.prefix.len() + at + delimiter.len()].to_owned())
}

/// A text that sorts behind every key with this prefix and before all that sort behind the prefix's keys.
fn after_all(prefix: &str) -> String {
    // No key holds U+10FFFF: it is no character, and S3 refuses it.
    format!("{prefix}\u{10FFFF}")
}
