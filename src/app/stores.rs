//! Opens and probes the store that the settings choose.
//!
//! Guarantees: an opened embedded store is used by this process only; an opened S3 store has
//! credentials. Whether an S3 store responds is found out when the documents are prepared.

use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::content::Content;
use crate::settings::{Settings, StoreChoice, StoreSettings};
use crate::store::{
    self, Store,
    aws::{self, Aws},
    dir::{Dir, OpenError},
    probe::{self, Check},
};

use super::Error;

/// How a directory is opened.
type OpenDir = fn(&Path, Clock) -> Result<Dir, OpenError>;

/// Opens the store, and creates an embedded one that is not there. **Errors**: `Store`.
pub async fn open(settings: &StoreSettings, clock: &Clock) -> Result<Arc<dyn Store>, Error> {
    open_by(settings, clock, Dir::open).await
}

/// As `open`, but creates nothing. **Errors**: `Directory` if there is no embedded store.
pub async fn open_existing(
    settings: &StoreSettings,
    clock: &Clock,
) -> Result<Arc<dyn Store>, Error> {
    open_by(settings, clock, Dir::open_existing).await
}

async fn open_by(
    settings: &StoreSettings,
    clock: &Clock,
    open_dir: OpenDir,
) -> Result<Arc<dyn Store>, Error> {
    let failure = |what: String, source: Box<dyn std::error::Error + Send + Sync>| Error::Store {
        place: location(settings),
        source: store::Error::new(store::Kind::Invalid, what).because(source),
    };
    match &settings.choice {
        StoreChoice::Dir(path) => {
            let (path, clock) = (path.clone(), clock.clone());
            let opened = tokio::task::spawn_blocking(move || open_dir(&path, clock)).await;
            let opened =
                opened.map_err(|error| failure("opening it failed".to_owned(), error.into()))?;
            let dir = opened.map_err(|error| {
                if matches!(error, OpenError::NoStore(_)) {
                    return Error::Directory(error);
                }
                failure("it cannot be opened".to_owned(), error.into())
            })?;
            Ok(Arc::new(dir))
        }
        StoreChoice::S3(endpoint) => {
            let s3 = aws::Settings { endpoint: Some(endpoint.clone()), ..settings.s3.clone() };
            let connected = Aws::connect(&s3, clock.clone()).await;
            Ok(Arc::new(connected.map_err(|error| {
                failure("no client can be created for it".to_owned(), error.into())
            })?))
        }
    }
}

/// The store with the layout `content`, if it is an S3 server: the objects of the embedded store
/// share the files of their parts anyway.
pub fn with_content(
    store: Arc<dyn Store>,
    settings: &Settings,
    clock: &Clock,
) -> (Arc<dyn Store>, Option<Arc<Content>>) {
    if !store.is_server() {
        return (store, None);
    }
    let state_bucket = settings.upload.state_bucket.clone();
    let content = Arc::new(Content::new(store, state_bucket, clock.clone()));
    (Arc::clone(&content) as Arc<dyn Store>, Some(content))
}

/// Probes the store in the state bucket for the features that sessions need or can use. Takes a
/// fraction of a second. **Errors**: `Store`.
pub async fn examine(
    store: &Arc<dyn Store>,
    settings: &Settings,
    clock: &Clock,
) -> Result<Vec<Check>, Error> {
    let bucket = settings.upload.state_bucket.clone();
    let checks = probe::probe(store, &bucket, clock).await;
    checks.map_err(|source| Error::Store { place: location(&settings.store), source })
}

/// The store, as messages name it.
fn location(settings: &StoreSettings) -> String {
    match &settings.choice {
        StoreChoice::Dir(path) => path.display().to_string(),
        StoreChoice::S3(endpoint) => endpoint.clone(),
    }
}
