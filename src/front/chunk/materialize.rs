//! Makes a plain object of one that is kept in blobs.
//!
//! Guarantees: the object has the same bytes, attributes and tags afterwards; one that is plain
//! stays as it is. Source: docs/api.md#make-a-plain-object.

use http::StatusCode;

use crate::accounts::Access;
use crate::api;
use crate::names::{Bucket, Key};
use crate::object::StoreKind;
use crate::upload;
use crate::web::RequestBody;

use super::problem::Problem;
use super::{AuthedRequest, ChunkApi, HandlerResult, json, validate};

impl ChunkApi {
    pub(super) async fn materialize(
        &self,
        request: AuthedRequest,
        body: RequestBody,
    ) -> HandlerResult {
        let document: api::ObjectName = json::read(body, &request.payload).await?;
        validate::bucket(&document.bucket)?;
        validate::key(&document.key)?;
        let (bucket, key) = (Bucket::from(document.bucket), Key::from(document.key));
        self.require_target(&request, (&bucket, &key))?;
        if !request.identity.allows(Access::Read, &bucket, &key) {
            return Err(Problem::forbidden(Access::Read, &bucket));
        }
        let made = self.shared.objects.make_plain(&bucket, &key).await;
        let made = made.map_err(|error| {
            if error.kind() == StoreKind::NoSuchBucket {
                return upload::Error::NoSuchBucket(bucket.clone()).into();
            }
            if error.kind() == StoreKind::NotFound {
                return Problem::no_such_object(&bucket, &key);
            }
            if error.kind() == StoreKind::Precondition {
                return Problem::replaced_meanwhile(&bucket, &key);
            }
            Problem::from(upload::Error::own("making a plain object", error))
        })?;
        let answer = api::Materialized { was_content: made.is_some() };
        Ok(json::reply(StatusCode::OK, &answer))
    }
}
