//! Creating a backup, or finding the existing one.
//!
//! Guarantees: a missing bucket is created only for a sender with `admin` on the whole bucket; the
//! state bucket looks absent, and a name that the store reserves is refused. It does not decide
//! whether two backups are the same: `upload` does.

use http::{HeaderValue, StatusCode, header};

use crate::accounts::Access;
use crate::api;
use crate::names::{AccountName, BackupId, Bucket, Key};
use crate::upload::{self, Created, NewBackup, Session};
use crate::web::{Reply, RequestBody};

use super::problem::Problem;
use super::{AuthedRequest, ChunkApi, HandlerResult, json, validate, view};

impl ChunkApi {
    /// `id`: the id that the client chose, if it did.
    pub(super) async fn create(
        &self,
        request: AuthedRequest,
        body: RequestBody,
        id: Option<BackupId>,
    ) -> HandlerResult {
        let (identity, id) = (&request.identity, id.as_ref());
        id.map_or(Ok(()), |id| validate::backup_id(id))?;
        let new = validate::create(json::read::<api::CreateBackup>(body, &request.payload).await?)?;
        self.require_target(&request, (&new.bucket, &new.key))?;
        let bucket = new.bucket.clone();
        let made = match self.create_once(identity.account_name(), id, new.clone()).await {
            // Created for a sender who may create it.
            Err(error)
                if error.kind() == upload::Kind::NoSuchBucket
                    && identity.allows(Access::Admin, &bucket, "") =>
            {
                self.shared.uploads.make_bucket(&bucket).await?;
                self.create_once(identity.account_name(), id, new).await
            }
            made => made,
        };
        let (created, session) = made?;
        Ok(reply(identity.account_name(), created, &session))
    }

    /// **Errors**: the target is not one that a client may use, or not one of this sender's.
    pub(super) fn require_target(
        &self,
        request: &AuthedRequest,
        (bucket, key): (&Bucket, &Key),
    ) -> Result<(), Problem> {
        request.subject.is(bucket, key);
        if self.shared.objects.reserves(bucket) {
            return Err(Problem::reserved_bucket(bucket));
        }
        if self.shared.uploads.is_state_bucket(bucket) {
            return Err(upload::Error::NoSuchBucket(bucket.clone()).into());
        }
        if !request.identity.allows(Access::Write, bucket, key) {
            return Err(Problem::forbidden(Access::Write, bucket));
        }
        Ok(())
    }

    async fn create_once(
        &self,
        account: &AccountName,
        id: Option<&BackupId>,
        new: NewBackup,
    ) -> upload::Result<(Created, Session)> {
        match id {
            Some(id) => self.shared.uploads.create_as(account, id, new).await,
            None => self.shared.uploads.create(account, new).await,
        }
    }
}

pub(super) fn reply(owner: &AccountName, created: Created, session: &Session) -> Reply {
    let root = session.root();
    let status = match created {
        Created::New => StatusCode::CREATED,
        Created::Existing => StatusCode::OK,
    };
    let mut reply = json::reply(status, &view::summary(owner, &root));
    let location = format!("{}/backups/{}", api::ROOT, root.backup_id);
    let location =
        HeaderValue::from_str(&location).expect("a backupId has only letters, digits, - and _");
    reply.headers_mut().insert(header::LOCATION, location);
    reply
}
