//! What there is below a target: objects, whoever put them, and backups, whatever became of them.
//!
//! Guarantees: without the history there is one row for each key; a backup is shown as complete
//! only if the object is the one that it made.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::attributes::lies_in_entries;
use super::remote::{
    ListedObject, backups_below, backups_of_key, current_object, newest_first, objects_below,
};
use super::{Result, Target, Transport};
use crate::api::{Status, Summary};
use crate::clock::timestamp;

/// What there is of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A backup, whose object is there.
    Complete,
    /// An object that no backup made.
    Object,
    InProgress,
    Finalizing,
    /// A backup whose object another one has replaced.
    Replaced,
    /// A backup whose object was removed.
    Removed,
    /// A backup that was aborted, or carried on by another one.
    Aborted,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Complete => "complete",
            Self::Object => "object",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
            Self::Aborted => "aborted",
        })
    }
}

/// An object, or a backup without one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub bucket: String,
    pub key: String,
    pub state: State,
    /// Bytes; None if it is not known yet.
    pub size: Option<u64>,
    /// When it was last changed, in the form `2009-10-12T17:50:30.000Z`.
    pub modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The backup that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Summary>,
    /// How many backups of the key are not complete yet, this one included.
    pub open: usize,
}

impl Row {
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::InProgress | State::Finalizing)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// One row for each key.
    Newest,
    /// A row for each backup, and for what only the client itself reads.
    All,
}

/// What there is below the target, by key. **Errors**: also if there is no such bucket.
pub async fn list(transport: &Transport, target: &Target, history: History) -> Result<Vec<Row>> {
    let objects = objects_below(transport, target).await?;
    let backups = backups_below(transport, target).await?;
    let mut rows = rows(&target.bucket, objects, backups, history);
    rows.retain(|row| history == History::All || !lies_in_entries(&row.key));
    Ok(rows)
}

/// All there is of exactly the target's key.
pub(super) async fn list_key(transport: &Transport, target: &Target) -> Result<Vec<Row>> {
    let object = current_object(transport, target).await?;
    let backups = backups_of_key(transport, target).await?;
    Ok(rows(&target.bucket, object.into_iter().collect(), backups, History::All))
}

#[derive(Default)]
struct OfKey {
    object: Option<ListedObject>,
    backups: Vec<Summary>,
}

fn rows(
    bucket: &str,
    objects: Vec<ListedObject>,
    backups: Vec<Summary>,
    history: History,
) -> Vec<Row> {
    let mut by_key = BTreeMap::<String, OfKey>::new();
    for object in objects {
        let key = object.key.clone();
        by_key.entry(key).or_default().object = Some(object);
    }
    for backup in backups {
        let key = backup.key.clone();
        by_key.entry(key).or_default().backups.push(backup);
    }
    let rows = by_key.into_iter().flat_map(|(key, of_key)| {
        let mut rows = rows_of_key((bucket, &key), of_key);
        if history == History::Newest {
            rows.truncate(1);
        }
        rows
    });
    rows.collect()
}

/// The rows of one key, the one first that says most.
fn rows_of_key((bucket, key): (&str, &str), OfKey { object, mut backups }: OfKey) -> Vec<Row> {
    newest_first(&mut backups);
    backups.sort_by_key(|backup| std::cmp::Reverse((is_open(backup), time_of(backup))));
    let open = backups.iter().filter(|backup| is_open(backup)).count();
    let mut rows = Vec::new();
    for backup in backups {
        let state = state_of(&backup, object.as_ref());
        rows.push(Row {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            state,
            size: backup.object.as_ref().map(|object| object.size).or(backup.size),
            modified: timestamp(UNIX_EPOCH + Duration::from_secs(time_of(&backup))),
            etag: backup.object.as_ref().map(|object| object.etag.clone()),
            backup: Some(backup),
            open,
        });
    }
    if let Some(object) = object {
        let made = rows.iter().position(|row| row.state == State::Complete);
        let row = match made {
            Some(index) => Row { modified: object.modified, ..rows.remove(index) },
            None => Row {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                state: State::Object,
                size: Some(object.size),
                modified: object.modified,
                etag: Some(object.etag),
                backup: None,
                open,
            },
        };
        rows.insert(0, row);
    }
    rows
}

fn is_open(backup: &Summary) -> bool {
    matches!(backup.status, Status::InProgress | Status::Finalizing)
}

fn time_of(backup: &Summary) -> u64 {
    backup.completed_at.unwrap_or(backup.created_at)
}

/// The state of a backup whose key names this object now.
pub(super) fn state_of(backup: &Summary, object: Option<&ListedObject>) -> State {
    match (backup.status, object, &backup.object) {
        (Status::InProgress, ..) => State::InProgress,
        (Status::Finalizing, ..) => State::Finalizing,
        (Status::Aborted | Status::Superseded, ..) => State::Aborted,
        (Status::Complete, None, _) => State::Removed,
        (Status::Complete, Some(found), Some(made))
            if found.etag == made.etag && found.size == made.size =>
        {
            State::Complete
        }
        (Status::Complete, Some(_), _) => State::Replaced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Finalized;

    fn object(key: &str, etag: &str) -> ListedObject {
        let modified = "2026-01-01T00:00:00.000Z".to_owned();
        ListedObject { key: key.to_owned(), etag: etag.to_owned(), size: 5, modified }
    }

    fn backup(id: &str, key: &str, completed: Option<(u64, &str)>) -> Summary {
        let object = completed.map(|(_, etag)| Finalized {
            etag: etag.to_owned(),
            size: 5,
            sent_bytes: None,
            digests: BTreeMap::new(),
        });
        let status = if completed.is_some() { Status::Complete } else { Status::InProgress };
        Summary {
            backup_id: id.to_owned(),
            account: None,
            file_id: String::new(),
            bucket: "b".to_owned(),
            key: key.to_owned(),
            chunk_size: 1,
            size: Some(7),
            status,
            digest: None,
            created_at: 1,
            completed_at: completed.map(|(time, _)| time),
            object,
            reason: None,
            metadata: BTreeMap::new(),
            content_type: None,
            layout: None,
        }
    }

    fn shown(history: History, objects: &[ListedObject], backups: &[Summary]) -> Vec<String> {
        let rows = rows("b", objects.to_vec(), backups.to_vec(), history);
        let shown = rows.iter().map(|row| {
            let id = row.backup.as_ref().map_or("-", |backup| &backup.backup_id);
            format!("{} {} {id} {}", row.key, row.state, row.open)
        });
        shown.collect()
    }

    #[test]
    fn each_key_has_one_row_and_the_history_has_the_others() {
        let objects = [object("current", "e2"), object("plain", "e"), object("put-over", "e9")];
        let backups = [
            backup("1", "current", Some((1, "e1"))),
            backup("2", "current", Some((2, "e2"))),
            backup("3", "current", None),
            backup("4", "gone", Some((1, "e1"))),
            backup("5", "put-over", Some((1, "e1"))),
            backup("6", "new", None),
        ];
        assert_eq!(
            shown(History::Newest, &objects, &backups),
            [
                "current complete 2 1",
                "gone removed 4 0",
                "new in_progress 6 1",
                "plain object - 0",
                "put-over object - 0",
            ]
        );
        assert_eq!(
            shown(History::All, &objects, &backups),
            [
                "current complete 2 1",
                "current in_progress 3 1",
                "current replaced 1 1",
                "gone removed 4 0",
                "new in_progress 6 1",
                "plain object - 0",
                "put-over object - 0",
                "put-over replaced 5 0",
            ]
        );
    }
}
