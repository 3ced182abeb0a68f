//! The object itself, asked of the gateway's S3 front.

use http::header::ETAG;
use percent_encoding::utf8_percent_encode;

use crate::client::{Error, Result, Target, Transport, transport::ApiRequest};
use crate::sigv4::URI_PATH;

/// The ETag of the object that the target names now, without quotes; None if there is none.
pub(in crate::client) async fn current_etag(
    transport: &Transport,
    target: &Target,
) -> Result<Option<String>> {
    let key = utf8_percent_encode(&target.key, URI_PATH);
    let request = ApiRequest::head_object(format!("/{}/{key}", target.bucket));
    match transport.send_for_head(&request).await {
        Ok(head) => {
            let etag = head.get(ETAG).and_then(|etag| etag.to_str().ok());
            Ok(etag.map(|etag| etag.trim_matches('"').to_owned()))
        }
        Err(Error::NotChunkApi { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
