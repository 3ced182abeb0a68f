//! What is done with the directory of an embedded store beside serving it.
//!
//! Guarantees: a directory without a store stays as it is.

use std::path::{Path, PathBuf};

use crate::clock::Clock;
use crate::settings::{Settings, StoreChoice};
use crate::store::dir::{self, CheckReport, Finding, OpenError, Snapshot};

use super::Error;

/// Makes a snapshot of the store in a directory, which a gateway may have open.
pub async fn snapshot(directory: PathBuf, to: PathBuf) -> Result<Snapshot, Error> {
    let path = directory.clone();
    blocking(&path, move || dir::snapshot(&directory, &to, Clock::system())).await
}

/// Compares the index of the store with its files, or makes the index anew with `rebuild`, and
/// calls `on_finding` for whatever is not in order.
pub async fn check(
    settings: &Settings,
    rebuild: bool,
    mut on_finding: impl FnMut(&Finding) + Send + 'static,
) -> Result<CheckReport, Error> {
    let directory = match &settings.store.choice {
        StoreChoice::Dir(path) => path.clone(),
        StoreChoice::S3(endpoint) => return Err(Error::NotDirectory(endpoint.clone())),
    };
    let path = directory.clone();
    let work = move || {
        if rebuild {
            dir::rebuild(&directory, &mut on_finding)
        } else {
            dir::check(&directory, &mut on_finding)
        }
    };
    blocking(&path, work).await
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    let ended = |error: tokio::task::JoinError| OpenError::Failed {
        path: path.to_owned(),
        source: error.into(),
    };
    done.map_err(ended).flatten().map_err(Error::Directory)
}
