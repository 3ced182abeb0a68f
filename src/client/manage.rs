//! Looking at backups and ending them, by id or by target.

use http::Method;

use super::restore::of_key;
use super::transport::Call;
use super::{Error, Result, Target, Transport};
use crate::api::{Missing, Status};
use crate::digest::Sha256;

const MAX_ANSWER: usize = 1 << 20;

/// How far each backup of a target is, or the one with that id. **Errors**: `NotDone` where there
/// is none.
pub async fn statuses(transport: &Transport, backup: &str) -> Result<Vec<Missing>> {
    let mut found = Vec::new();
    for id in ids(transport, backup, false).await? {
        found.push(transport.ask(&Call::get(format!("/backups/{id}?view=missing"))).await?);
    }
    Ok(found)
}

/// Ends the open backups of a target, or the one with that id; their ids.
pub async fn abort(transport: &Transport, backup: &str) -> Result<Vec<String>> {
    let ids = ids(transport, backup, true).await?;
    for id in &ids {
        let mut call = Call::get(format!("/backups/{id}"));
        (call.method, call.sha256) = (Method::DELETE, Sha256::of(b""));
        transport.send(&call, MAX_ANSWER).await?;
    }
    Ok(ids)
}

async fn ids(transport: &Transport, backup: &str, open_only: bool) -> Result<Vec<String>> {
    if !backup.starts_with("s3://") {
        return Ok(vec![backup.to_owned()]);
    }
    let target = Target::parse(backup)?;
    let all = of_key(transport, &target, None).await?;
    let open = |status| matches!(status, Status::InProgress | Status::Finalizing);
    let ids: Vec<String> = all
        .into_iter()
        .filter(|found| !open_only || open(found.0.status))
        .map(|found| found.0.backup_id)
        .collect();
    if ids.is_empty() {
        Err(Error::NotDone(format!("there is no such backup of {target}")))
    } else {
        Ok(ids)
    }
}
