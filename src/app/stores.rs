//! Opens the store that the settings choose.
//!
//! Guarantees: a store that comes through has answered.

use std::sync::Arc;

use crate::clock::Clock;
use crate::settings::{StoreChoice, StoreSettings};
use crate::store::{self, Store};

use super::Error;

/// **Errors**: `Store`.
pub async fn open(settings: &StoreSettings, clock: &Clock) -> Result<Arc<dyn Store>, Error> {
    let absent = store::Error::new(store::Kind::Invalid, "this build has no such store");
    tracing::debug!(?clock, "opening");
    Err(Error::Store { place: place(settings), source: absent })
}

fn place(settings: &StoreSettings) -> String {
    match &settings.choice {
        StoreChoice::Dir(path) => path.display().to_string(),
        StoreChoice::S3(endpoint) => endpoint.clone(),
    }
}
