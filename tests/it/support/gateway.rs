//! A gateway on a store in memory behind a real socket, with accounts for tests.

use std::net::SocketAddr;
use std::sync::Arc;

use ratchet::accounts::{
    Access, AccountSettings, GrantSettings, KeySettings, Settings as AccountsSettings,
};
use ratchet::app::{self, Ready};
use ratchet::clock::Clock;
use ratchet::settings::Settings;
use ratchet::store::{Limits, Store, memory::Memory};
use tokio::sync::oneshot;

use super::request::AccessKey;

/// Access keys of four accounts: two administrators, one that may only read, and one that may write
/// below a prefix.
pub const ROOT: AccessKey = ("AKROOT", "root-secret-0123");
pub const OTHER: AccessKey = ("AKOTHER", "other-secret-0123");
pub const READER: AccessKey = ("AKREADER", "reader-secret-0123");
pub const LIMITED: AccessKey = ("AKLIMITED", "limited-secret-0123");

/// The gateway runs until this is dropped.
pub struct Gateway {
    pub address: SocketAddr,
    pub store: Arc<Memory>,
    _shutdown: oneshot::Sender<()>,
}

/// Settings with the four accounts, listening on a free port.
pub fn settings() -> Settings {
    let account = |name: &str, key: AccessKey, grants: Vec<GrantSettings>| AccountSettings {
        name: name.to_owned(),
        root: grants.is_empty(),
        keys: vec![KeySettings { id: key.0.to_owned(), secret: key.1.to_owned().into() }],
        grants,
    };
    let grant = |bucket: &str, prefix: &str, access| GrantSettings {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        access,
    };
    let accounts = vec![
        account("root", ROOT, Vec::new()),
        account("other", OTHER, Vec::new()),
        account("reader", READER, vec![grant("*", "", Access::Read)]),
        account("limited", LIMITED, vec![grant("bucket", "mine/", Access::Write)]),
    ];
    Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        accounts: AccountsSettings { accounts },
        ..Settings::default()
    }
}

pub async fn start(settings: Settings) -> Gateway {
    start_with(Limits::S3, settings).await
}

impl Gateway {
    /// Another gateway on the same store.
    pub async fn another(&self, settings: Settings) -> Self {
        let store = Arc::clone(&self.store);
        let (address, shutdown) = serve_as_it_is(store.clone(), settings).await;
        Self { address, store, _shutdown: shutdown }
    }
}

/// As `start`, on a store with these limits.
pub async fn start_with(limits: Limits, settings: Settings) -> Gateway {
    let store = Arc::new(Memory::with_limits(limits, Clock::seeded(3)));
    let (address, shutdown) = serve(store.clone(), settings).await;
    Gateway { address, store, _shutdown: shutdown }
}

/// Starts a gateway on this store, with an empty bucket `bucket`. It ends when the returned sender
/// is dropped.
pub async fn serve(store: Arc<dyn Store>, settings: Settings) -> (SocketAddr, oneshot::Sender<()>) {
    store.create_bucket(&"bucket".into()).await.unwrap();
    serve_as_it_is(store, settings).await
}

/// As `serve`, without making a bucket.
pub async fn serve_as_it_is(
    store: Arc<dyn Store>,
    settings: Settings,
) -> (SocketAddr, oneshot::Sender<()>) {
    let (shutdown_tx, shutdown_rx) = oneshot::channel::<()>();
    let (ready_tx, ready_rx) = oneshot::channel();
    tokio::spawn(async move {
        let on_ready = |ready: Ready| ready_tx.send(ready.address).unwrap();
        let shutdown = async move { drop(shutdown_rx.await) };
        app::run_on(store, settings, Clock::seeded(3), on_ready, shutdown).await.unwrap();
    });
    (ready_rx.await.unwrap(), shutdown_tx)
}
