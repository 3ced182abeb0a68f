//! Makes plain objects of those that are kept in blobs.

use serde::Serialize;

use super::remote::objects_below;
use super::transport::ApiRequest;
use super::{Error, Progress, Result, Target, Transport};
use crate::api::{Materialized, ObjectName};

/// What became of the objects.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MaterializeReport {
    /// Keys of objects that were kept in blobs.
    pub made: Vec<String>,
    /// How many were plain already.
    pub plain: u64,
}

/// Makes the object that the target names a plain one, or each one below it if it is a prefix.
/// **Errors**: `NotDone` if there is nothing.
pub async fn materialize(
    transport: &Transport,
    target: &Target,
    progress: &Progress,
) -> Result<MaterializeReport> {
    let keys = if target.is_prefix() {
        let objects = objects_below(transport, target).await?;
        objects.into_iter().map(|object| object.key).collect()
    } else {
        vec![target.key.clone()]
    };
    if keys.is_empty() {
        return Err(Error::NotDone(format!("there is no object below {target}")));
    }
    let mut report = MaterializeReport::default();
    for key in keys {
        let name = ObjectName { bucket: target.bucket.clone(), key: key.clone() };
        let request = ApiRequest::post("/materialize", &name);
        let Materialized { was_content } = transport.send_for_json(&request).await?;
        if was_content {
            progress.name(&format!("s3://{}/{key}: plain now", target.bucket));
            report.made.push(key);
        } else {
            report.plain += 1;
        }
    }
    Ok(report)
}
