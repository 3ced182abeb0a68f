//! A hyper service made of a function, for whoever wires a front to a server.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::service::Service;

use super::reply::Reply;

type Answering = Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

/// Calls its function once for each request. Cheap to clone.
#[derive(Clone)]
pub struct ByRequest(Arc<dyn Fn(http::Request<Incoming>) -> Answering + Send + Sync>);

impl ByRequest {
    pub fn new<F, A>(answer: F) -> Self
    where
        F: Fn(http::Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Reply, Infallible>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(answer(request))))
    }
}

impl Service<http::Request<Incoming>> for ByRequest {
    type Response = Reply;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        (self.0)(request)
    }
}
