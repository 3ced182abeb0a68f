//! Puts the parts together: store, sessions, objects, accounts, the front and the server.
//!
//! Guarantees: no port is opened before the settings are checked, the store answers and the
//! accounts stand; each failure on the way says whose it is to mend. It parses nothing and prints
//! nothing.

mod credentials;
mod error;
mod rotation;
mod stores;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::front::{Fronts, Shared};
use crate::gc::{Mode, Sweeper};
use crate::object::Objects;
use crate::server::{Server, Tls, Workers};
use crate::settings::{Settings, StoreChoice};
use crate::store::{Store, probe::PARTIAL_COMPLETE};
use crate::tcp;
use crate::upload::Uploads;
use crate::web::{Admission, Metrics};

pub use crate::gc::{Report, Swept};
pub use crate::store::probe::{Check, Weight};
pub use credentials::OwnKey;
pub use error::Error;
pub use rotation::Reread;

/// What a caller learns once the gateway accepts requests.
#[derive(Debug)]
pub struct Ready {
    pub address: SocketAddr,
    pub tls: bool,
    /// The key that the embedded store keeps, where nobody wrote an account.
    pub own_key: Option<OwnKey>,
}

/// Runs a gateway until `shutdown` is ready and what was in flight has ended. `ready` is called
/// once it accepts; `reread` tells from then on what the settings say of accounts.
pub async fn run(
    settings: Settings,
    reread: Reread,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let clock = Clock::system();
    let store = stores::open(&settings.store, &clock).await?;
    serve_on((store, clock), settings, Some(reread), ready, shutdown).await
}

/// Tries on the store of these settings what the gateway builds on; for `ratchet doctor`.
pub async fn examine(settings: &Settings) -> Result<Vec<Check>, Error> {
    let clock = Clock::system();
    let store = stores::open(&settings.store, &clock).await?;
    let uploads = Uploads::new(Arc::clone(&store), clock.clone(), settings.upload.clone());
    uploads.prepare().await.map_err(|source| Error::Unprepared { source })?;
    stores::examine(&store, settings, &clock).await
}

/// Sweeps the store of these settings once, or says what a sweep would do; None where a gateway is
/// at it.
pub async fn sweep(
    settings: &Settings,
    dry: bool,
    tell: impl FnMut(&Swept),
) -> Result<Option<Report>, Error> {
    let clock = Clock::system();
    let store = stores::open(&settings.store, &clock).await?;
    let uploads = Uploads::new(store, clock.clone(), settings.upload.clone());
    uploads.prepare().await.map_err(|source| Error::Unprepared { source })?;
    let mode = if dry { Mode::Dry } else { Mode::Now };
    let swept = Sweeper::new(uploads, clock, settings.gc.clone()).sweep(mode, tell).await;
    swept.map_err(|source| Error::Sweep { source })
}

/// As `run`, on a store that is open, with accounts that stay as they are.
pub async fn run_on(
    store: Arc<dyn Store>,
    settings: Settings,
    clock: Clock,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    serve_on((store, clock), settings, None, ready, shutdown).await
}

async fn serve_on(
    (store, clock): (Arc<dyn Store>, Clock),
    settings: Settings,
    reread: Option<Reread>,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let own_key = own_key(&settings, &clock)?;
    let mut written = settings.accounts.clone();
    written.accounts.extend(own_key.as_ref().map(OwnKey::account));
    let accounts = Accounts::new(&written).map_err(|error| Error::Accounts(error.to_string()))?;
    let (fronts, sweeper) = gateway(store, &accounts, &settings, &clock).await?;
    let tls = settings.server.tls.clone().map(|files| Tls::open(files, clock.clone())).transpose();
    let tls = tls.map_err(|error| Error::Tls(error.to_string()))?;
    let bind_failed = |source| Error::Bind { address: settings.listen, source };
    let listener = tcp::listen(settings.listen).await.map_err(bind_failed)?;
    let address = listener.local_addr().map_err(bind_failed)?;
    let workers = Workers::start(settings.server.workers).await.map_err(Error::Workers)?;
    ready(Ready { address, tls: tls.is_some(), own_key });
    let mut aside = tokio::task::JoinSet::new();
    aside.spawn(async move { sweeper.run().await });
    if let Some(reread) = reread {
        aside.spawn(rotation::keep(
            accounts,
            written,
            with_own_key(reread, &settings),
            clock.clone(),
        ));
    }
    let server = Server { listener, workers, clock, settings: settings.server, tls };
    server.serve(fronts, shutdown).await;
    // Wherever it is: the next sweep goes on from there.
    aside.shutdown().await;
    Ok(())
}

/// Both fronts on a store that stands.
async fn gateway(
    store: Arc<dyn Store>,
    accounts: &Accounts,
    settings: &Settings,
    clock: &Clock,
) -> Result<(Fronts, Sweeper), Error> {
    let uploads = Uploads::new(Arc::clone(&store), clock.clone(), settings.upload.clone());
    uploads.prepare().await.map_err(|source| Error::Unprepared { source })?;
    // The embedded store is our own, and has to start on a full disk: only from there can room be
    // made.
    let mut failed = match &settings.store.choice {
        StoreChoice::Dir(_) => Vec::new(),
        StoreChoice::S3(_) => stores::examine(&store, settings, clock).await?,
    };
    failed.retain(|check| !check.passed);
    if let Some(check) = failed.iter().find(|check| check.weight == Weight::Required) {
        return Err(Error::Unusable { check: check.name, detail: check.detail.clone() });
    }
    let moved = uploads.move_old_index().await.map_err(|source| Error::Unprepared { source })?;
    if moved > 0 {
        tracing::info!(moved, "entries of open uploads are in the new index");
    }
    for check in &failed {
        if check.weight == Weight::Advised {
            tracing::warn!(
                check.name,
                check.detail,
                "the store is set up so that a fault here would be one there"
            );
        } else {
            tracing::info!(
                check.name,
                check.detail,
                "the store does not do this; the gateway gets by without"
            );
        }
    }
    let mut settings = settings.clone();
    // What an adopted upload's successor does not name must not stand in its way.
    settings.upload.resume.enabled &= failed.iter().all(|check| check.name != PARTIAL_COMPLETE);
    let uploads = Uploads::new(Arc::clone(&store), clock.clone(), settings.upload.clone());
    let sweeper = Sweeper::new(uploads.clone(), clock.clone(), settings.gc.clone());
    let objects = Objects::new(store, uploads.clone());
    let shared = Shared {
        uploads,
        objects,
        accounts: accounts.clone(),
        clock: clock.clone(),
        metrics: Metrics::default(),
        http: settings.http.clone(),
        admission: Admission::new(clock.clone(), settings.http.clone()),
    };
    Ok((Fronts::new(shared, settings.s3.clone(), settings.upload.resume.enabled), sweeper))
}

/// As it was given; where no account is written, with the key that the embedded store keeps.
fn with_own_key(reread: Reread, settings: &Settings) -> Reread {
    let StoreChoice::Dir(path) = settings.store.choice.clone() else { return reread };
    Arc::new(move || {
        let mut written = reread()?;
        if written.accounts.is_empty() {
            written.accounts.push(OwnKey::find(&path)?.account());
        }
        Ok(written)
    })
}

/// The embedded store's own key, where no account was written.
fn own_key(settings: &Settings, clock: &Clock) -> Result<Option<OwnKey>, Error> {
    match &settings.store.choice {
        StoreChoice::Dir(path) if settings.accounts.accounts.is_empty() => {
            OwnKey::find_or_make(path, clock).map(Some)
        }
        StoreChoice::Dir(_) | StoreChoice::S3(_) => Ok(None),
    }
}
