//! The chunk API: resumable backups over HTTP (DESIGN §10).
//!
//! Guarantees: every answer carries the request id; every failure is a problem document; no
//! operation but the description, the probes and the figures happens for a request that is not
//! signed by an account that may do it; a foreign backup looks absent. It decides nothing about
//! sessions: `upload` does. `problem` is the only place that knows which failure is which status.

mod chunks;
mod create;
mod end;
mod json;
mod problem;
mod public;
mod read;
mod route;
mod validate;
mod view;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, header};
use http_body::Body;
use tokio::sync::Mutex;

use crate::accounts::{Access, Accounts, Identity};
use crate::clock::Clock;
use crate::metric_names;
use crate::object::Objects;
use crate::upload::{Session, Uploads};
use crate::web::{self, AccessLog, BoxError, Metrics, PayloadSignature, Reply, RequestBody};

use problem::Problem;
use route::Op;

type HandlerResult = Result<Reply, Problem>;

/// The chunk API of one gateway, and when the store was last found ready. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ChunkApi(Arc<Parts>, Arc<Mutex<Option<Duration>>>);

/// What the chunk API is put together from.
#[derive(Debug)]
pub struct Parts {
    pub uploads: Uploads,
    pub objects: Objects,
    pub accounts: Accounts,
    pub clock: Clock,
    pub metrics: Metrics,
    pub admission: web::Admission,
    pub settings: web::Settings,
}

/// A request that was routed and whose sender is known.
struct AuthedRequest {
    head: http::request::Parts,
    query: web::Query,
    body: RequestBody,
    identity: Identity,
    payload: PayloadSignature,
}

impl ChunkApi {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts), Arc::default())
    }

    /// Answers one request. **Cancel**: safe at any point; what was acknowledged stays.
    pub async fn answer<B>(&self, request: Request<B>) -> Reply
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let body = RequestBody::new(body, self.0.clock.clone(), &self.0.settings);
        let mut record = AccessLog::new(&self.0.clock, &self.0.metrics, body.progress());
        let one_reading = web::refuse_smuggling(&head);
        // Where the next request begins is as uncertain.
        let closes = one_reading.is_err();
        let answer = match one_reading {
            Ok(()) => self.routed(head, body, &mut record).await,
            Err(error) => Err(error.into()),
        };
        let mut reply = answer.unwrap_or_else(|problem| problem.reply(&record.id));
        let id = HeaderValue::from_str(&record.id).expect("an id is made of hex digits");
        reply.headers_mut().insert(metric_names::REQUEST_ID, id);
        if closes || !record.body.ended() {
            // What is left of the body stands in the way of another request, and a silent close
            // confuses clients.
            reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        record.attach(reply)
    }

    async fn routed(
        &self,
        head: http::request::Parts,
        body: RequestBody,
        record: &mut AccessLog,
    ) -> HandlerResult {
        let op = route::route(&head.method, head.uri.path())?;
        record.op = op.name();
        if let Some(public) = op.public() {
            return self.public(public).await;
        }
        let query = web::Query::parse(head.uri.query())?;
        if let Some(stranger) = query.unknown(op.parameters()) {
            return Err(Problem::bad(format!(
                "the query parameter {stranger:?} is not known here"
            )));
        }
        let parts = &self.0;
        let (identity, payload) =
            web::authenticate(&head, &parts.accounts, parts.clock.wall(), &parts.settings)?;
        payload.require_unframed()?;
        record.account = Some(identity.account_name().to_owned());
        let place = parts.admission.acquire(identity.account_name()).await?;
        let body = body.throttled(&place, &parts.clock);
        record.permit = Some(place);
        self.serve(op, AuthedRequest { head, query, body, identity, payload }).await
    }

    /// What serves the operation, in a box of its size: in line, each request would be as large as
    /// the largest of them, and is moved more than once before it begins.
    fn serve(&self, op: Op, asked: AuthedRequest) -> BoxFuture<'_, HandlerResult> {
        match op {
            Op::Create => Box::pin(self.create(asked)),
            Op::CreateAs(id) => Box::pin(async move { self.create_as(asked, &id).await }),
            Op::List => Box::pin(self.list(asked)),
            Op::Get(id) => Box::pin(async move { self.get(asked, &id).await }),
            Op::PutChunk(id, index) => {
                Box::pin(async move { self.put_chunk(asked, &id, index).await })
            }
            Op::GetChunk(id, index) => {
                Box::pin(async move { self.get_chunk(asked, &id, index).await })
            }
            Op::Finalize(id) => Box::pin(async move { self.finalize(asked, &id).await }),
            Op::Abort(id) => Box::pin(async move { self.abort(asked, &id).await }),
            Op::Public(public) => Box::pin(self.public(public)),
        }
    }

    /// The caller's session, if its grants cover the target. What they do not even let it see looks
    /// absent.
    async fn session(
        &self,
        identity: &Identity,
        id: &str,
        access: Access,
    ) -> Result<Session, Problem> {
        validate::backup_id(id)?;
        let session = self.0.uploads.open(identity.account_name(), id).await?;
        let root = session.root();
        if identity.allows(access, &root.bucket, &root.key) {
            return Ok(session);
        }
        if identity.allows(Access::Read, &root.bucket, &root.key) {
            return Err(Problem::forbidden(access, &root.bucket));
        }
        Err(crate::upload::Error::NoSuchBackup(id.to_owned()).into())
    }
}
