//! Public operations: the API description, the probes and the metrics. None names a bucket, key or
//! account.
//!
//! Guarantees: `/healthz` uses nothing but this process; `/readyz` sends requests to the store at
//! most once a second, because anyone can call it.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};

use crate::upload::ListQuery;
use crate::web::{Reply, full};

use super::problem::Problem;
use super::route::PublicOperation;
use super::{ChunkApi, HandlerResult};

/// How long a successful `/readyz` is remembered.
const READY_FOR: Duration = Duration::from_secs(1);

/// The OpenAPI document; tests compare its paths and problem types with the code.
pub const OPENAPI: &str = include_str!("openapi.json");

impl ChunkApi {
    pub(super) async fn public(&self, operation: PublicOperation) -> HandlerResult {
        Ok(match operation {
            PublicOperation::OpenApi => text("application/json", OPENAPI.to_owned()),
            PublicOperation::Health => text("text/plain", "alive\n".to_owned()),
            PublicOperation::Ready => {
                self.require_ready().await?;
                text("text/plain", "ready\n".to_owned())
            }
            PublicOperation::Metrics => {
                text("text/plain; version=0.0.4", self.shared.metrics.render())
            }
        })
    }

    /// Checks that the store works. **Errors**: the store's.
    async fn require_ready(&self) -> Result<(), Problem> {
        // Locked during the request to the store, so that concurrent calls wait for its result.
        let mut ready_at = self.ready_at.lock().await;
        let now = self.shared.clock.monotonic();
        if ready_at.is_some_and(|at| now.saturating_sub(at) < READY_FOR) {
            return Ok(());
        }
        // A listing of any account reads the state bucket and changes nothing.
        self.shared
            .uploads
            .list(&"readyz".into(), &ListQuery { limit: 1, ..ListQuery::default() })
            .await?;
        *ready_at = Some(now);
        Ok(())
    }
}

fn text(content_type: &'static str, body: String) -> Reply {
    let mut reply = Response::new(full(body));
    *reply.status_mut() = StatusCode::OK;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}
