//! The chunk API: resumable backups over HTTP.
//!
//! Guarantees: every failure is a problem document; nothing but the API description, the probes
//! and the metrics is served for a request that is not signed by an account with the rights; a
//! backup whose target the account may not read looks absent, and one of another account cannot
//! be changed. It decides nothing about sessions: `upload` does. `problem` is the only file of
//! this front that maps failures to statuses. Source: docs/api.md#calls.

mod chunks;
mod claims;
mod create;
mod end;
mod json;
mod materialize;
mod problem;
mod public;
mod read;
mod route;
mod usage;
mod validate;
mod view;
mod whole;

use std::borrow::Cow;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::request;
use tokio::sync::Mutex;

use crate::accounts::Access;
use crate::api;
use crate::front::envelope::{self, FailedRequest, Front, Route, Shared};
use crate::names::{AccountName, BackupId};
use crate::upload::{Root, Session};
use crate::web::{AccessLog, Query, Reply, RequestBody};

use problem::Problem;
use route::{ChunkOperation, PublicOperation};

type AuthedRequest = envelope::AuthedRequest<()>;
type HandlerResult = Result<Reply, Problem>;

/// The chunk API of one gateway.
#[derive(Debug)]
pub struct ChunkApi {
    shared: Shared,
    /// When the store was last found ready.
    ready_at: Mutex<Option<Duration>>,
}

impl Front for ChunkApi {
    type Operation = ChunkOperation;
    type Target = ();
    type OpenOperation = PublicOperation;
    type Error = Problem;

    const TAKES_AWS_CHUNKED: bool = false;

    /// Whatever is under the root of the API, and unsigned probes at the root of the server: signed
    /// requests there are for buckets.
    fn owns(&self, head: &request::Parts) -> bool {
        let path = head.uri.path();
        let signed = head.headers.contains_key(http::header::AUTHORIZATION);
        path.starts_with(api::ROOT)
            || !signed && ["/healthz", "/readyz", "/metrics"].contains(&path)
            || route::is_minio_probe(head)
    }

    fn route(&self, head: &request::Parts, log: &mut AccessLog) -> Result<Route<Self>, Problem> {
        let operation = route::route(&head.method, head.uri.path())?;
        log.op = operation.name();
        if let ChunkOperation::Public(operation) = operation {
            return Ok(Route::Open(operation));
        }
        let query = Query::parse(head.uri.query())?;
        if let Some(unknown) = query.unknown(operation.parameters()) {
            return Err(Problem::bad(format!("the query parameter {unknown:?} is not known here")));
        }
        Ok(Route::Signed { operation, target: (), query })
    }

    fn run_open(
        &self,
        operation: PublicOperation,
        _: request::Parts,
        _: RequestBody,
        _: &mut AccessLog,
    ) -> BoxFuture<'_, HandlerResult> {
        Box::pin(self.public(operation))
    }

    fn run(
        &self,
        operation: ChunkOperation,
        request: AuthedRequest,
        body: RequestBody,
    ) -> BoxFuture<'_, HandlerResult> {
        match operation {
            ChunkOperation::Create => Box::pin(self.create(request, body, None)),
            ChunkOperation::CreateAs(id) => Box::pin(self.create(request, body, Some(id))),
            ChunkOperation::List => Box::pin(self.list(request)),
            ChunkOperation::Usage => Box::pin(self.usage(request)),
            ChunkOperation::Materialize => Box::pin(self.materialize(request, body)),
            ChunkOperation::Get(id) => Box::pin(self.get(request, id)),
            ChunkOperation::PutWhole(id) => Box::pin(self.put_whole(request, body, id)),
            ChunkOperation::PutChunk(id, index) => {
                Box::pin(self.put_chunk(request, body, id, index))
            }
            ChunkOperation::GetChunk(id, index) => Box::pin(self.get_chunk(request, id, index)),
            ChunkOperation::Claim(id) => Box::pin(self.claim_chunks(request, body, id)),
            ChunkOperation::Finalize(id) => Box::pin(self.finalize(request, body, id)),
            ChunkOperation::Abort(id) => Box::pin(self.abort(request, id)),
            ChunkOperation::Public(operation) => Box::pin(self.public(operation)),
        }
    }

    fn code(error: &Problem) -> Cow<'static, str> {
        Cow::Owned(error.word())
    }

    fn error_reply(&self, error: Problem, request: &FailedRequest<'_>) -> Reply {
        error.reply(request.id)
    }
}

impl ChunkApi {
    pub fn new(shared: Shared) -> Self {
        Self { shared, ready_at: Mutex::default() }
    }

    /// The sender's own session, if their grants cover its target. One that they may not even read
    /// looks absent; one of another account that they may read is forbidden.
    async fn session_to_write(
        &self,
        request: &AuthedRequest,
        id: &BackupId,
    ) -> Result<Session, Problem> {
        let identity = &request.identity;
        let (owner, session) = self.session_to_read(request, id, None).await?;
        let root = session.root();
        if owner != *identity.account_name() {
            return Err(Problem::of_another_account(&owner));
        }
        if !identity.allows(Access::Write, &root.bucket, &root.key) {
            return Err(Problem::forbidden(Access::Write, &root.bucket));
        }
        Ok(session)
    }

    /// A session whose target the sender may read, with the account that it belongs to: one of
    /// `account`; else the sender's own one, or that of any account. Any other one looks absent.
    async fn session_to_read(
        &self,
        request: &AuthedRequest,
        id: &BackupId,
        account: Option<&str>,
    ) -> Result<(AccountName, Session), Problem> {
        let identity = &request.identity;
        validate::backup_id(id)?;
        let sees = |root: &Root| identity.allows(Access::Read, &root.bucket, &root.key);
        let uploads = &self.shared.uploads;
        let (owner, session) = match account {
            Some(account) => {
                validate::account_name(account)?;
                let account = AccountName::from(account);
                let session = uploads.open(&account, id).await?;
                (account, session)
            }
            None => uploads.open_shared(identity.account_name(), id, sees).await?,
        };
        let root = session.root();
        request.subject.is(&root.bucket, &root.key);
        if sees(&root) {
            return Ok((owner, session));
        }
        Err(crate::upload::Error::NoSuchBackup(id.to_owned()).into())
    }
}
