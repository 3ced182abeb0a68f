//! Removes an object, or everything below a prefix.
//!
//! Guarantees: an object goes together with its attribute entry; what a prefix holds is listed
//! before anything is removed.

use super::attributes::{entry_key, lies_in_entries};
use super::remote::{current_etag, delete_objects, no_object, objects_below};
use super::{Error, Progress, Result, Target, Transport};
use crate::escape::error_chain;

/// Whether something is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Change,
    /// What would be changed is found out and shown.
    Show,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovalReport {
    pub dry_run: bool,
    /// Keys, without those of attribute entries.
    pub removed: Vec<String>,
    /// Keys and reasons.
    pub failed: Vec<(String, String)>,
}

/// Removes the object that the target names, or everything below it if it is a prefix.
/// **Errors**: `NotDone` if there is nothing.
pub async fn remove(
    transport: &Transport,
    target: &Target,
    mode: Mode,
    progress: &Progress,
) -> Result<RemovalReport> {
    let mut keys = Vec::new();
    if target.is_prefix() {
        let objects = objects_below(transport, target).await?;
        keys.extend(objects.into_iter().map(|object| object.key));
        if keys.is_empty() {
            return Err(Error::NotDone(format!("there is no object below {target}")));
        }
    } else if current_etag(transport, target).await?.is_some() {
        keys.push(target.key.clone());
    } else {
        return Err(no_object(transport, target).await);
    }
    if !target.key.is_empty() {
        let entry = target.with_key(entry_key(&target.key));
        // Whoever may not ask for the entry has none to remove.
        if let Ok(Some(_)) = current_etag(transport, &entry).await {
            keys.push(entry.key);
        }
    }
    let mut report = RemovalReport { dry_run: mode == Mode::Show, ..RemovalReport::default() };
    if mode == Mode::Show {
        report.removed = keys.into_iter().filter(|key| !lies_in_entries(key)).collect();
        return Ok(report);
    }
    let bucket = &target.bucket;
    let outcome = delete_objects(transport, bucket, &keys, |key, failure| match failure {
        Some(reason) => report.failed.push((key.to_owned(), reason)),
        None if lies_in_entries(key) => {}
        None => {
            progress.name(&format!("s3://{bucket}/{key}: removed"));
            report.removed.push(key.to_owned());
        }
    });
    if let Err(error) = outcome.await {
        if report.removed.is_empty() {
            return Err(error);
        }
        report.failed.push((target.to_string(), error_chain(&error)));
    }
    Ok(report)
}
