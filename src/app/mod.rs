//! Builds the parts of a gateway from its settings and runs it.
//!
//! Guarantees: no client can connect before the settings and accounts are valid and the store
//! responds; where the port is in use or the certificate is invalid, no store is created; each
//! failure says what the operator must correct. It serves no request itself, parses nothing
//! and prints nothing.

mod credentials;
mod directory;
mod error;
mod rotation;
mod stores;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::front::{Fronts, Shared};
use crate::gc::{Mode, Sweeper};
use crate::object::{Decides, Objects};
use crate::server::{Connections, Server, Tls, Workers};
use crate::settings::{Settings, StoreChoice};
use crate::store::{Measured, Store, probe::PARTIAL_COMPLETE};
use crate::tcp;
use crate::upload::Uploads;
use crate::web::{Admission, Metrics};

pub use crate::gc::{ReclaimedSession, Report};
pub use crate::store::{
    dir::{CheckReport, Finding, Snapshot},
    probe::{Check, Weight},
};
pub use credentials::GeneratedKey;
pub use directory::{check, snapshot};
pub use error::Error;
pub use rotation::LoadAccounts;

/// A gateway that accepts requests.
#[derive(Debug)]
pub struct Ready {
    pub address: SocketAddr,
    pub tls: bool,
    /// The generated access key of the embedded store, if the settings name no account.
    pub generated_key: Option<GeneratedKey>,
}

/// Runs a gateway until `shutdown` completes and the requests in flight have ended. `ready` is
/// called once it accepts requests; from then on `load_accounts` is called to find changed
/// accounts.
pub async fn run(
    settings: Settings,
    load_accounts: LoadAccounts,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let clock = Clock::system();
    let entrance = Entrance::prepare(&settings, &clock)?;
    let store = stores::open(&settings.store, &clock).await?;
    serve_on((store, clock), entrance, settings, Some(load_accounts), ready, shutdown).await
}

/// What clients will come in by.
struct Entrance {
    port: tcp::Reserved,
    tls: Option<Tls>,
}

impl Entrance {
    fn prepare(settings: &Settings, clock: &Clock) -> Result<Self, Error> {
        let tls = settings.server.tls.clone().map(|files| Tls::open(files, clock.clone()));
        let tls = tls.transpose().map_err(|error| Error::Tls(error.to_string()))?;
        let address = settings.listen;
        let port = tcp::reserve(address).map_err(|source| Error::Bind { address, source })?;
        Ok(Self { port, tls })
    }
}

/// Probes the store for the features that the gateway uses; for `ratchet doctor`. An embedded store
/// must exist.
pub async fn examine(settings: &Settings) -> Result<Vec<Check>, Error> {
    let clock = Clock::system();
    let store = stores::open_existing(&settings.store, &clock).await?;
    let uploads = Uploads::new(Arc::clone(&store), clock.clone(), settings.upload.clone());
    uploads.prepare().await.map_err(|source| Error::Unprepared { source })?;
    stores::examine(&store, settings, &clock).await
}

/// Sweeps the store once and calls `on_reclaimed` for each session; with `dry_run` nothing is
/// removed. None: a gateway is sweeping the store. An embedded store must exist.
pub async fn sweep(
    settings: &Settings,
    dry_run: bool,
    on_reclaimed: impl FnMut(&ReclaimedSession) + Send + Sync,
) -> Result<Option<Report>, Error> {
    let clock = Clock::system();
    let store = stores::open_existing(&settings.store, &clock).await?;
    let (store, content) = stores::with_content(store, settings, &clock);
    let uploads = Uploads::new(store, clock.clone(), settings.upload.clone());
    uploads.prepare().await.map_err(|source| Error::Unprepared { source })?;
    let mode = if dry_run { Mode::Dry } else { Mode::Now };
    let sweeper = Sweeper::new(uploads, clock, settings.gc.clone()).with_blobs_of(content);
    let report = sweeper.sweep(mode, on_reclaimed).await;
    report.map_err(|source| Error::Sweep { source })
}

/// As `run`, on a store that is already open and with accounts that do not change.
pub async fn run_on(
    store: Arc<dyn Store>,
    settings: Settings,
    clock: Clock,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let entrance = Entrance::prepare(&settings, &clock)?;
    serve_on((store, clock), entrance, settings, None, ready, shutdown).await
}

async fn serve_on(
    (store, clock): (Arc<dyn Store>, Clock),
    Entrance { port, tls }: Entrance,
    settings: Settings,
    load_accounts: Option<LoadAccounts>,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let generated_key = generated_key(&settings, &clock)?;
    warn_of_retired_key(&settings);
    let mut configured = settings.accounts.clone();
    configured.accounts.extend(generated_key.as_ref().map(GeneratedKey::account));
    let accounts =
        Accounts::new(&configured).map_err(|error| Error::Accounts(error.to_string()))?;
    let connections = Connections::default();
    let (fronts, sweeper) = gateway(store, &accounts, &settings, &clock, &connections).await?;
    let bind_failed = |source| Error::Bind { address: settings.listen, source };
    let listener = port.listen().map_err(bind_failed)?;
    let address = listener.local_addr().map_err(bind_failed)?;
    let workers = Workers::start(settings.server.workers).await.map_err(Error::Workers)?;
    ready(Ready { address, tls: tls.is_some(), generated_key });
    let mut background_tasks = tokio::task::JoinSet::new();
    background_tasks.spawn(async move { sweeper.run().await });
    if let Some(load_accounts) = load_accounts {
        background_tasks.spawn(rotation::watch(
            accounts,
            configured,
            with_generated_key(load_accounts, &settings),
            clock.clone(),
        ));
    }
    let server = Server { listener, workers, clock, settings: settings.server, tls, connections };
    server.serve(fronts, shutdown).await;
    // A sweep can be stopped anywhere: the next one continues from there.
    background_tasks.shutdown().await;
    Ok(())
}

/// The fronts and the sweeper for an open store.
async fn gateway(
    store: Arc<dyn Store>,
    accounts: &Accounts,
    settings: &Settings,
    clock: &Clock,
    connections: &Connections,
) -> Result<(Fronts, Sweeper), Error> {
    let measured = Arc::new(Measured::new(store, clock.clone()));
    let calls = Arc::clone(&measured) as Arc<dyn Store>;
    let (store, content) = stores::with_content(calls, settings, clock);
    let uploads = Uploads::new(Arc::clone(&store), clock.clone(), settings.upload.clone());
    uploads.prepare().await.map_err(|source| Error::Unprepared { source })?;
    // The embedded store needs no probe, and must start on a full disk: only a running gateway can
    // free space.
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
        tracing::info!(moved, "entries of open uploads were moved to the new index");
    }
    for check in &failed {
        if check.weight == Weight::Advised {
            tracing::warn!(
                check.name,
                check.detail,
                "the store is configured in a way that can cause faults"
            );
        } else {
            tracing::info!(
                check.name,
                check.detail,
                "the store lacks this feature; the gateway works without it"
            );
        }
    }
    let mut settings = settings.clone();
    settings.web.serves_tls = settings.server.tls.is_some();
    // An adopted store upload may have parts that its successor does not list. A store that does
    // not leave them out at Complete cannot complete it.
    settings.upload.resume.enabled &= failed.iter().all(|check| check.name != PARTIAL_COMPLETE);
    let uploads = Uploads::new(Arc::clone(&store), clock.clone(), settings.upload.clone());
    let sweeper =
        Sweeper::new(uploads.clone(), clock.clone(), settings.gc.clone()).with_blobs_of(content);
    let objects =
        Objects::new(store, uploads.clone()).on_store_that_decides(Decides::found(&failed));
    let metrics = Metrics::with_sources(vec![
        measured,
        Arc::new(uploads.clone()),
        Arc::new(sweeper.figures.clone()),
        Arc::new(connections.clone()),
    ]);
    let shared = Shared {
        uploads,
        objects,
        accounts: accounts.clone(),
        clock: clock.clone(),
        metrics,
        http: settings.web.clone(),
        admission: Admission::new(clock.clone(), settings.web.clone()),
    };
    Ok((Fronts::new(shared, settings.s3.clone(), settings.upload.resume.enabled), sweeper))
}

/// Adds the generated key of the embedded store to loaded accounts that are empty.
fn with_generated_key(load_accounts: LoadAccounts, settings: &Settings) -> LoadAccounts {
    let StoreChoice::Dir(path) = settings.store.choice.clone() else { return load_accounts };
    Arc::new(move || {
        let mut configured = load_accounts()?;
        if configured.accounts.is_empty() {
            configured.accounts.push(GeneratedKey::find(&path)?.account());
        }
        Ok(configured)
    })
}

/// Says that the generated key does not count any more since the settings name accounts.
fn warn_of_retired_key(settings: &Settings) {
    let StoreChoice::Dir(directory) = &settings.store.choice else { return };
    let Some(retired) = GeneratedKey::retired(directory, &settings.accounts) else { return };
    let key = &retired.id;
    tracing::warn!(
        key,
        file = %retired.path.display(),
        "this access key does not work any more, because the settings name accounts; to keep it, \
         name the account root: [[account]] name = \"root\" root = true, and below it \
         [[account.key]] id = \"{key}\" secret = the aws_secret_access_key of the file"
    );
}

/// The generated key of the embedded store, if the settings name no account.
fn generated_key(settings: &Settings, clock: &Clock) -> Result<Option<GeneratedKey>, Error> {
    match &settings.store.choice {
        StoreChoice::Dir(path) if settings.accounts.accounts.is_empty() => {
            GeneratedKey::find_or_create(path, clock).map(Some)
        }
        StoreChoice::Dir(_) | StoreChoice::S3(_) => Ok(None),
    }
}
