//! Opens the store that the settings choose.
//!
//! Guarantees: an embedded store that comes through is open and is this process's alone; an S3
//! store has credentials. Whether an S3 store answers shows when the sessions are prepared.

use std::sync::Arc;

use crate::clock::Clock;
use crate::settings::{Settings, StoreChoice, StoreSettings};
use crate::store::{
    self, Store,
    aws::{self, Aws},
    dir::Dir,
    probe::{self, Check},
};

use super::Error;

/// **Errors**: `Store`.
pub async fn open(settings: &StoreSettings, clock: &Clock) -> Result<Arc<dyn Store>, Error> {
    let refused = |what: String, source: Box<dyn std::error::Error + Send + Sync>| Error::Store {
        place: place(settings),
        source: store::Error::new(store::Kind::Invalid, what).because(source),
    };
    match &settings.choice {
        StoreChoice::Dir(path) => {
            let (path, clock) = (path.clone(), clock.clone());
            let opened = tokio::task::spawn_blocking(move || Dir::open(&path, clock)).await;
            let opened =
                opened.map_err(|error| refused("opening it failed".to_owned(), error.into()))?;
            let dir =
                opened.map_err(|error| refused("it is not to be had".to_owned(), error.into()))?;
            Ok(Arc::new(dir))
        }
        StoreChoice::S3(endpoint) => {
            let s3 = aws::Settings { endpoint: Some(endpoint.clone()), ..settings.s3.clone() };
            let connected = Aws::connect(&s3, clock.clone()).await;
            Ok(Arc::new(
                connected
                    .map_err(|error| refused("there is no way to it".to_owned(), error.into()))?,
            ))
        }
    }
}

/// Tries what sessions build on, and what they get by without, in the state bucket. It takes a
/// fraction of a second.
pub async fn examine(
    store: &Arc<dyn Store>,
    settings: &Settings,
    clock: &Clock,
) -> Result<Vec<Check>, Error> {
    let bucket = settings.upload.state_bucket.as_str().into();
    let checks = probe::probe(store, &bucket, clock).await;
    checks.map_err(|source| Error::Store { place: place(&settings.store), source })
}

fn place(settings: &StoreSettings) -> String {
    match &settings.choice {
        StoreChoice::Dir(path) => path.display().to_string(),
        StoreChoice::S3(endpoint) => endpoint.clone(),
    }
}
