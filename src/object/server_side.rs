//! Headers that ask a server for more than to keep bytes: storage class, encryption, object lock.
//!
//! Guarantees: what a client asks for with such a header is done, or the request is refused before
//! its body is read. An S3 server that does not know a header answers 200 and forgets it, so each
//! header and value is tried once on an object of the gateway's own, and compared with what the
//! server then says of that object. A lock cannot be tried so; it needs a bucket for which the
//! server says that it has locks. The embedded store keeps the storage class as a label, and has
//! none of the others. Source: docs/architecture.md#headers-for-the-server,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderName, Method};

use crate::header_names::{ENCRYPTION, STORAGE_CLASS};
use crate::names::{Bucket, Key};
use crate::store::{
    Attributes, Body, DeleteOptions, Error, Kind, Level, Operation, Passthrough, PutOptions, Result,
};

use super::Objects;

const LOCK_PREFIX: &str = "x-amz-object-lock-";

/// How many headers with their values are remembered. Key ids and contexts are of clients' choice.
const MAX_REMEMBERED: usize = 256;

/// Whether the server keeps a header with a value.
#[derive(Debug, Default)]
pub struct Kept(Mutex<HashMap<String, bool>>);

impl Kept {
    fn get(&self, asked: &str) -> Option<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(asked).copied()
    }

    fn remember(&self, asked: String, kept: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_REMEMBERED {
            all.clear();
        }
        all.insert(asked, kept);
    }
}

impl Objects {
    /// Checks that the store does what the headers of an object's attributes ask for. Costs nothing
    /// without such a header. **Errors**: `Unsupported`, which names the header; `Invalid` for a
    /// value that the server refuses.
    pub async fn require_server_side(&self, bucket: &Bucket, asked: &Attributes) -> Result<()> {
        if asked.server_side().next().is_none() {
            return Ok(());
        }
        // In a box: in line, every put would be as large as this rare case
        // (docs/decisions/0021-what-a-small-request-costs.md).
        Box::pin(self.require_headers(bucket, asked)).await
    }

    async fn require_headers(&self, bucket: &Bucket, asked: &Attributes) -> Result<()> {
        let headers: Vec<(&HeaderName, &str)> = asked.server_side().collect();
        if !self.store.is_server() {
            let refused = headers.iter().find(|(name, _)| **name != STORAGE_CLASS);
            return refused.map_or(Ok(()), |(name, _)| Err(unsupported(name)));
        }
        let is_lock = |name: &HeaderName| name.as_str().starts_with(LOCK_PREFIX);
        if let Some((lock, _)) = headers.iter().find(|(name, _)| is_lock(name))
            && !self.has_locks(bucket).await?
        {
            return Err(unsupported(lock));
        }
        let tried: Attributes = Attributes {
            headers: headers
                .iter()
                .filter(|(name, _)| !is_lock(name))
                .map(|(name, value)| (name.as_str().to_owned(), (*value).to_owned()))
                .collect(),
            ..Attributes::default()
        };
        if tried.headers.is_empty() { Ok(()) } else { self.try_out(tried).await }
    }

    /// **Errors**: `Unsupported` where the store is no server, and so has no locks.
    pub(super) fn require_locks(&self) -> Result<()> {
        if self.store.is_server() {
            return Ok(());
        }
        Err(unsupported(&HeaderName::from_static("x-amz-bucket-object-lock-enabled")))
    }

    /// Whether the server says that versions of objects in a bucket can be locked.
    async fn has_locks(&self, bucket: &Bucket) -> Result<bool> {
        let Some(operation) = Operation::find(&Method::GET, Level::Bucket, "object-lock") else {
            return Ok(false);
        };
        let request = Passthrough::new(operation, bucket.clone(), Key::default(), Bytes::new());
        let response = self.pass_through(request).await?;
        Ok(response.is_some_and(|response| response.status == 200))
    }

    /// Puts an object with these headers below the state bucket's place for trials, and compares
    /// what the server says of it.
    async fn try_out(&self, asked: Attributes) -> Result<()> {
        let key = format!("{:?}", asked.headers);
        let kept = match self.kept.get(&key) {
            Some(kept) => kept,
            None => {
                let kept = self.keeps(&asked).await?;
                self.kept.remember(key, kept);
                kept
            }
        };
        match asked.server_side().next() {
            Some((name, _)) if !kept => Err(unsupported(name)),
            Some(_) | None => Ok(()),
        }
    }

    async fn keeps(&self, asked: &Attributes) -> Result<bool> {
        let key: Key = format!("v1/probe/{}/headers", self.uploads.random_id()).into();
        let options = PutOptions { attributes: asked.clone(), ..PutOptions::default() };
        self.store.put(&self.state_bucket, &key, Body::empty(), options).await.map_err(refused)?;
        let head = self.store.head(&self.state_bucket, &key).await;
        self.store.delete(&self.state_bucket, &key, &DeleteOptions::default()).await?;
        let said = head?.attributes.headers;
        // The server may complete the id of a key, and does not repeat a context.
        Ok([STORAGE_CLASS, ENCRYPTION].iter().all(|name| {
            asked
                .headers
                .get(name.as_str())
                .is_none_or(|value| said.get(name.as_str()) == Some(value))
        }))
    }
}

/// The server refuses the trial for its headers: the client can change them, and no retry helps.
fn refused(error: Error) -> Error {
    if error.kind() != Kind::Denied {
        return error;
    }
    let what = format!("the store refuses the headers of the object: {error}");
    Error::new(Kind::Invalid, what).because(error)
}

fn unsupported(name: &HeaderName) -> Error {
    Error::new(Kind::Unsupported, format!("the header {name} is not implemented by the store"))
}
