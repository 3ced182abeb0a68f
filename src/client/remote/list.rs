//! Lists the backups of a target.

use std::cmp::Reverse;

use crate::api::{BackupList, Status, Summary};
use crate::client::{
    Error, Result, Target, Transport,
    transport::{ApiRequest, encoded},
};

/// The most backups of one page.
const MAX_LIMIT: usize = 1000;

/// Which backups the gateway lists.
struct Query<'a> {
    bucket: &'a str,
    keys: Keys<'a>,
    file_id: Option<&'a str>,
    complete_only: bool,
}

enum Keys<'a> {
    WithPrefix(&'a str),
    Exactly(&'a str),
}

impl<'a> Query<'a> {
    /// All backups whose key begins with the target's.
    fn below(target: &'a Target) -> Self {
        let keys = Keys::WithPrefix(&target.key);
        Self { bucket: &target.bucket, keys, file_id: None, complete_only: false }
    }

    /// All backups of exactly the target's key.
    fn of_key(target: &'a Target) -> Self {
        Self { keys: Keys::Exactly(&target.key), ..Self::below(target) }
    }

    /// Path and query of the first page.
    fn path(&self) -> String {
        let mut path = format!("/backups?bucket={}", encoded(self.bucket));
        let (parameter, key) = match self.keys {
            Keys::WithPrefix(prefix) => ("prefix", prefix),
            Keys::Exactly(key) => ("key", key),
        };
        path.push_str(&format!("&{parameter}={}", encoded(key)));
        if let Some(file_id) = self.file_id {
            path.push_str(&format!("&fileId={}", encoded(file_id)));
        }
        if self.complete_only {
            path.push_str("&status=complete");
        }
        path
    }

    async fn all_pages(&self, transport: &Transport) -> Result<Vec<Summary>> {
        let mut backups = Vec::new();
        self.for_each(transport, |backup| backups.push(backup)).await?;
        Ok(backups)
    }

    async fn for_each(&self, transport: &Transport, mut each: impl FnMut(Summary)) -> Result<()> {
        let first_page = format!("{}&limit={MAX_LIMIT}", self.path());
        let mut page = first_page.clone();
        loop {
            let list: BackupList = transport.send_for_json(&ApiRequest::get(page)).await?;
            list.backups.into_iter().for_each(&mut each);
            let Some(next) = list.next else { return Ok(()) };
            page = format!("{first_page}&after={}", encoded(&next));
        }
    }
}

/// All backups whose key begins with the target's, the open ones first.
pub(in crate::client) async fn backups_below(
    transport: &Transport,
    target: &Target,
) -> Result<Vec<Summary>> {
    Query::below(target).all_pages(transport).await
}

/// As `backups_below`, without keeping them.
pub(in crate::client) async fn for_each_backup_below(
    transport: &Transport,
    target: &Target,
    each: impl FnMut(Summary),
) -> Result<()> {
    Query::below(target).for_each(transport, each).await
}

/// The complete backups whose key begins with the target's.
pub(in crate::client) async fn complete_backups_below(
    transport: &Transport,
    target: &Target,
) -> Result<Vec<Summary>> {
    let query = Query { complete_only: true, ..Query::below(target) };
    query.all_pages(transport).await
}

/// All backups of exactly the target's key.
pub(in crate::client) async fn backups_of_key(
    transport: &Transport,
    target: &Target,
) -> Result<Vec<Summary>> {
    Query::of_key(target).all_pages(transport).await
}

/// The complete backups of exactly the target's key, the newest first.
pub(in crate::client) async fn complete_backups(
    transport: &Transport,
    target: &Target,
) -> Result<Vec<Summary>> {
    let query = Query { complete_only: true, ..Query::of_key(target) };
    let mut backups = query.all_pages(transport).await?;
    newest_first(&mut backups);
    Ok(backups)
}

/// Sorts backups of one key. Of the same second those with bytes come first: reading them shows
/// whether they are current.
pub(in crate::client) fn newest_first(backups: &mut [Summary]) {
    let is_empty = |backup: &Summary| backup.object.as_ref().is_some_and(|object| object.size == 0);
    backups.sort_by_key(|backup| (Reverse(backup.completed_at), is_empty(backup)));
}

/// The newest of these backups of one key, the newest first, if no other one was completed in the
/// same second.
pub(in crate::client) fn single_newest(backups: &[Summary]) -> Option<&Summary> {
    match backups {
        [newest] => Some(newest),
        [newest, second, ..] if newest.completed_at > second.completed_at => Some(newest),
        _ => None,
    }
}

/// The complete backups of exactly the target's key with this file id; only the first page.
pub(in crate::client) async fn complete_backups_of_file(
    transport: &Transport,
    target: &Target,
    file_id: &str,
) -> Result<Vec<Summary>> {
    let query = Query { complete_only: true, file_id: Some(file_id), ..Query::of_key(target) };
    let list: BackupList = transport.send_for_json(&ApiRequest::get(query.path())).await?;
    Ok(list.backups)
}

/// The error for a target that names no object.
pub(in crate::client) async fn no_object(transport: &Transport, target: &Target) -> Error {
    let backups = match backups_of_key(transport, target).await {
        Ok(backups) => backups,
        Err(error) => return error,
    };
    let has = |wanted: fn(Status) -> bool| backups.iter().any(|backup| wanted(backup.status));
    let what = if has(|status| status == Status::Complete) {
        "its object was removed since it was backed up"
    } else if has(|status| matches!(status, Status::InProgress | Status::Finalizing)) {
        "its backup is not complete yet; run `ratchet backup` again to finish it"
    } else {
        "there is no such object; see what `ratchet ls` lists"
    };
    Error::NotDone(format!("{target}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_bucket_keys_file_and_status() {
        let target = Target { bucket: "b".to_owned(), key: "a/ü&1".to_owned() };
        assert_eq!(Query::below(&target).path(), "/backups?bucket=b&prefix=a%2F%C3%BC%261");
        let query = Query { complete_only: true, file_id: Some("i d"), ..Query::of_key(&target) };
        assert_eq!(
            query.path(),
            "/backups?bucket=b&key=a%2F%C3%BC%261&fileId=i%20d&status=complete"
        );
    }
}
