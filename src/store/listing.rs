//! One page of a listing over any ordered source of keys.
//!
//! Guarantees: byte order; at most `limit` keys and prefixes together; a rolled-up prefix costs one seek, however many
//! keys are under it. It asks the source for one key at a time and keeps nothing else.

use super::{ListOptions, Listed, Page, Result};

/// S3's largest page, and the default.
const MOST: usize = 1000;

/// A key of the source.
pub(super) struct Row {
    pub key: String,
    pub listed: Listed,
}

/// Where the source is to look: at the first key at, or after, this one.
pub(super) struct From<'a> {
    pub key: &'a str,
    pub inclusive: bool,
}

/// Builds a page; `next` finds the first row from a place on.
pub(super) fn page_of(options: &ListOptions, mut next: impl FnMut(From<'_>) -> Result<Option<Row>>) -> Result<Page> {
    let limit = if options.limit == 0 { MOST } else { options.limit.min(MOST) };
    let mut page = Page::default();
    let mut last: Option<String> = None;
    let (mut from, mut inclusive) = start(options);
    loop {
        let row = next(From { key: &from, inclusive })?;
        let Some(row) = row.filter(|row| row.key.starts_with(&options.prefix)) else { return Ok(page) };
        if page.objects.len() + page.prefixes.len() == limit {
            page.next = last;
            return Ok(page);
        }
        match rolled_up(&row.key, options) {
            Some(prefix) => {
                (from, inclusive) = (after_all(&prefix), true);
                last = Some(prefix.clone());
                page.prefixes.push(prefix);
            }
            None => {
                (from, inclusive) = (row.key.clone(), false);
                last = Some(row.key);
                page.objects.push(row.listed);
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
