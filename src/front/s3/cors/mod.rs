//! Pages of other origins (CORS): the configuration of a bucket, the rules of the settings,
//! preflights, and the headers that let a page read a response.
//!
//! Guarantees: a request without `Origin` costs nothing; a preflight needs no signature and tells
//! nothing of a bucket but its rules and whether it exists; the gateway keeps the rules itself, in
//! front of an S3 server too, since it is the gateway that answers browsers. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html>,
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>, docs/architecture.md#settings-of-buckets.

mod configuration;
mod preflight;
mod settings;

use http::StatusCode;

use super::error::S3Error;
use super::{AuthedRequest, HandlerResult, S3Api, empty_reply, xml_reply};
use crate::accounts::Access;
use crate::web::RequestBody;

pub use preflight::Preflight;
pub use settings::CorsSettings;

/// As in S3.
const MAX_DOCUMENT_BYTES: usize = 64 << 10;

impl S3Api {
    pub(super) async fn bucket_cors(&self, request: AuthedRequest) -> HandlerResult {
        request.require(Access::Admin)?;
        let bucket = &request.target.bucket;
        self.shared.objects.find_bucket(bucket).await?;
        let settings = self.shared.objects.bucket_settings(bucket).await?;
        if settings.cors.is_empty() {
            let message = "The CORS configuration does not exist";
            return Err(S3Error::new(StatusCode::NOT_FOUND, "NoSuchCORSConfiguration", message));
        }
        Ok(xml_reply(configuration::write(&settings.cors)))
    }

    pub(super) async fn put_bucket_cors(
        &self,
        request: AuthedRequest,
        body: RequestBody,
    ) -> HandlerResult {
        request.require(Access::Admin)?;
        let rules = configuration::read(&request.read_document(body, MAX_DOCUMENT_BYTES).await?)?;
        let bucket = &request.target.bucket;
        self.shared.objects.find_bucket(bucket).await?;
        let change =
            |settings: &mut crate::object::BucketSettings| settings.cors.clone_from(&rules);
        self.shared.objects.change_bucket_settings(bucket, change).await?;
        Ok(empty_reply(StatusCode::OK))
    }

    pub(super) async fn delete_bucket_cors(&self, request: AuthedRequest) -> HandlerResult {
        request.require(Access::Admin)?;
        let bucket = &request.target.bucket;
        self.shared.objects.find_bucket(bucket).await?;
        self.shared
            .objects
            .change_bucket_settings(bucket, |settings| settings.cors.clear())
            .await?;
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }
}
