//! Shows how far backups are, and aborts them, by id or by target.

use super::list::backups_of_key;
use super::{ListedObject, RemoteBackup, current_object, path_of};
use crate::api::{Missing, ProblemType, Status, Summary};
use crate::client::{
    Error, Result, Target, Transport,
    listing::{Row, State, list_key, state_of},
    transport::ApiRequest,
};

/// The body of a response to an abort is empty; this is room for one that is not.
const MAX_ABORT_RESPONSE_BYTES: usize = 1 << 20;

/// How far a backup is, and what became of its object; or an object that no backup made.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    #[serde(flatten)]
    pub missing: Option<Missing>,
    pub state: State,
    pub bucket: String,
    pub key: String,
    /// Bytes; None if it is not known yet.
    pub size: Option<u64>,
}

/// The object of a target (`s3://…`) and each of its backups, or the backup with this id.
/// **Errors**: `NotDone` if there is none.
pub async fn statuses(transport: &Transport, target_or_id: &str) -> Result<Vec<BackupStatus>> {
    if !target_or_id.starts_with("s3://") {
        let backup = RemoteBackup::load_by_id(transport, target_or_id).await?.summary;
        let target = Target { bucket: backup.bucket.clone(), key: backup.key.clone() };
        let object = current_object(transport, &target).await?;
        return Ok(vec![status_of(transport, &backup, object.as_ref()).await?]);
    }
    let target = Target::parse(target_or_id)?;
    let mut statuses = Vec::new();
    for Row { bucket, key, state, size, backup, .. } in list_key(transport, &target).await? {
        let missing = match &backup {
            Some(backup) => Some(missing_of(transport, backup).await?),
            None => None,
        };
        statuses.push(BackupStatus { missing, state, bucket, key, size });
    }
    if statuses.is_empty() { Err(no_such_backup(&target)) } else { Ok(statuses) }
}

async fn status_of(
    transport: &Transport,
    backup: &Summary,
    object: Option<&ListedObject>,
) -> Result<BackupStatus> {
    Ok(BackupStatus {
        missing: Some(missing_of(transport, backup).await?),
        state: state_of(backup, object),
        bucket: backup.bucket.clone(),
        key: backup.key.clone(),
        size: backup.object.as_ref().map(|object| object.size).or(backup.size),
    })
}

async fn missing_of(transport: &Transport, backup: &Summary) -> Result<Missing> {
    let path = path_of(backup, "");
    let separator = if path.contains('?') { '&' } else { '?' };
    let request = ApiRequest::get(format!("{path}{separator}view=missing"));
    transport.send_for_json(&request).await
}

/// Aborts the open backups of a target (`s3://…`), or the backup with this id. Returns their ids.
/// **Errors**: `NotDone` if there is none.
pub async fn abort(transport: &Transport, target_or_id: &str) -> Result<Vec<String>> {
    let ids = if target_or_id.starts_with("s3://") {
        let target = Target::parse(target_or_id)?;
        let backups = backups_of_key(transport, &target).await?.into_iter();
        let is_open =
            |backup: &Summary| matches!(backup.status, Status::InProgress | Status::Finalizing);
        let ids: Vec<String> = backups.filter(is_open).map(|backup| backup.backup_id).collect();
        if ids.is_empty() {
            return Err(no_such_backup(&target));
        }
        ids
    } else {
        vec![target_or_id.to_owned()]
    };
    let (mut aborted, mut refused) = (Vec::new(), None);
    for id in ids {
        let request = ApiRequest::delete(format!("/backups/{id}"));
        match transport.send(&request, MAX_ABORT_RESPONSE_BYTES).await {
            Ok(_) => aborted.push(id),
            // It belongs to another account.
            Err(error) if error.is_problem(ProblemType::Forbidden) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    match refused {
        Some(error) if aborted.is_empty() => Err(error),
        _ => Ok(aborted),
    }
}

fn no_such_backup(target: &Target) -> Error {
    Error::NotDone(format!("there is no such backup of {target}"))
}
