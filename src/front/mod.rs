//! The protocols that clients speak, each a thin translation to `upload` and `object`.
//!
//! Guarantees: each request is served by exactly one front, inside the envelope that all fronts
//! share. The list of fronts is in [`Fronts::new`].

pub mod chunk;
mod envelope;
pub mod s3;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;

use crate::clock::Clock;
use crate::web::{BoxError, Reply, RequestBody, Settings};

pub use self::envelope::Shared;

use self::chunk::ChunkApi;
use self::envelope::{Endpoint, Front, Serve};
use self::s3::S3Api;

/// All fronts of one gateway, as the service of an HTTP server. Cheap to clone.
#[derive(Clone)]
pub struct Fronts(Arc<Inner>);

struct Inner {
    clock: Clock,
    settings: Settings,
    /// The first one that owns a request serves it; the last one owns every request.
    fronts: Vec<Arc<dyn Serve>>,
}

impl Fronts {
    /// `keeps_aborted_uploads`: whether an upload that its client aborts is kept for a successor.
    pub fn new(shared: Shared, s3: s3::Settings, keeps_aborted_uploads: bool) -> Self {
        let s3 = S3Api::new(shared.clone(), s3, keeps_aborted_uploads);
        let chunk = ChunkApi::new(shared.clone());
        let fronts = vec![endpoint(&shared, chunk), endpoint(&shared, s3)];
        let (clock, settings) = (shared.clock, shared.http);
        Self(Arc::new(Inner { clock, settings, fronts }))
    }

    /// Serves one request. **Cancel**: safe at any point; what was acknowledged stays.
    pub fn respond<B>(&self, request: Request<B>) -> BoxFuture<'static, Result<Reply, Infallible>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let Inner { clock, settings, fronts } = &*self.0;
        let body = RequestBody::new(body, clock.clone(), settings);
        let owner = fronts.iter().find(|front| front.owns(&head));
        Arc::clone(owner.expect("the S3 front owns every request")).serve(head, body)
    }
}

fn endpoint<F: Front>(shared: &Shared, front: F) -> Arc<dyn Serve> {
    Arc::new(Endpoint::new(shared.clone(), front))
}

impl Service<Request<Incoming>> for Fronts {
    type Response = Reply;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Reply, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.respond(request)
    }
}

impl fmt::Debug for Fronts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fronts").finish_non_exhaustive()
    }
}
