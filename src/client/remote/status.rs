//! Shows how far backups are, and aborts them, by id or by target.

use super::list::backups_of_key;
use crate::api::{Missing, Status};
use crate::client::{Error, Result, Target, Transport, transport::ApiRequest};

/// The body of a response to an abort is empty; this is room for one that is not.
const MAX_ABORT_RESPONSE_BYTES: usize = 1 << 20;

/// What is stored and what is missing of each backup of a target (`s3://…`), or of the backup with
/// this id. **Errors**: `NotDone` if there is none.
pub async fn statuses(transport: &Transport, target_or_id: &str) -> Result<Vec<Missing>> {
    let mut statuses = Vec::new();
    for id in ids(transport, target_or_id, |_| true).await? {
        let request = ApiRequest::get(format!("/backups/{id}?view=missing"));
        statuses.push(transport.send_for_json(&request).await?);
    }
    Ok(statuses)
}

/// Aborts the open backups of a target (`s3://…`), or the backup with this id. Returns their ids.
/// **Errors**: `NotDone` if there is none.
pub async fn abort(transport: &Transport, target_or_id: &str) -> Result<Vec<String>> {
    let is_open = |status| matches!(status, Status::InProgress | Status::Finalizing);
    let ids = ids(transport, target_or_id, is_open).await?;
    for id in &ids {
        let request = ApiRequest::delete(format!("/backups/{id}"));
        transport.send(&request, MAX_ABORT_RESPONSE_BYTES).await?;
    }
    Ok(ids)
}

/// The ids of a target's backups with an accepted status; an id stands for itself.
async fn ids(
    transport: &Transport,
    target_or_id: &str,
    accepts: impl Fn(Status) -> bool,
) -> Result<Vec<String>> {
    if !target_or_id.starts_with("s3://") {
        return Ok(vec![target_or_id.to_owned()]);
    }
    let target = Target::parse(target_or_id)?;
    let backups = backups_of_key(transport, &target).await?.into_iter();
    let ids: Vec<String> =
        backups.filter(|backup| accepts(backup.status)).map(|backup| backup.backup_id).collect();
    if ids.is_empty() {
        Err(Error::NotDone(format!("there is no such backup of {target}")))
    } else {
        Ok(ids)
    }
}
