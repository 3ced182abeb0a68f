//! Any number of gateways on one store in memory, without HTTP, and what a client does with them;
//! for tests with tokio's paused clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::gc::{Mode, Report, Settings as GcSettings, Sweeper};
use ratchet::store::{
    Limits, ListOptions, PartNumber, Store,
    faulty::{Call, Faulty},
    memory::Memory,
};
use ratchet::upload::{
    Admission, ChosenEntry, NewBackup, NewUpload, PartAdmission, PartClaim, PartEntry, Session,
    Settings, Uploads,
};

pub const DAY: Duration = Duration::from_secs(86_400);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const CHUNK: usize = 1024;

/// One store, and the gateways that a test starts on it.
pub struct Fleet {
    pub store: Arc<dyn Store>,
    memory: Arc<Memory>,
    pub clock: Clock,
    /// Keeps the gateways running until the test ends: a session does not keep its gateway alive.
    gateways: Mutex<Vec<Uploads>>,
}

impl Fleet {
    /// With `min_part_bytes` above the size of a chunk, chunks are staged.
    pub async fn new(min_part_bytes: u64) -> Self {
        let clock = Clock::seeded(11);
        let limits = Limits { min_part_bytes, ..Limits::S3 };
        let memory = Arc::new(Memory::with_limits(limits, clock.clone()));
        let fleet = Self {
            store: Arc::clone(&memory) as Arc<dyn Store>,
            memory,
            clock,
            gateways: Mutex::default(),
        };
        fleet.gateway().prepare().await.unwrap();
        fleet.gateway().make_bucket(&"b".into()).await.unwrap();
        fleet
    }

    pub fn gateway(&self) -> Uploads {
        self.gateway_on(Arc::clone(&self.store))
    }

    pub fn gateway_on(&self, store: Arc<dyn Store>) -> Uploads {
        let gateway = Uploads::new(
            store,
            Clock::seeded(self.clock.number_below(u64::MAX)),
            Settings::default(),
        );
        self.gateways.lock().unwrap().push(gateway.clone());
        gateway
    }

    /// A gateway whose every store call takes as long as `delay` returns.
    pub fn slow_gateway(
        &self,
        delay: impl Fn(Call<'_>) -> Duration + Send + Sync + 'static,
    ) -> Uploads {
        let hook = move |call: Call<'_>| (delay(call), None);
        self.gateway_on(Arc::new(Faulty::new(
            Arc::clone(&self.store),
            self.clock.clone(),
            Box::new(hook),
        )))
    }

    pub fn sweeper(&self, uploads: Uploads) -> Sweeper {
        Sweeper::new(
            uploads,
            Clock::seeded(self.clock.number_below(u64::MAX)),
            GcSettings::default(),
        )
    }

    pub async fn sweep(&self) -> Report {
        self.sweeper(self.gateway()).sweep(Mode::Now, |_| ()).await.unwrap().unwrap()
    }

    /// All keys of the state bucket except leases.
    pub async fn state_keys(&self) -> Vec<String> {
        let listed = self
            .store
            .list(&"ratchet-state".into(), &ListOptions::default())
            .await
            .unwrap()
            .objects;
        listed
            .into_iter()
            .map(|listed| listed.key.to_string())
            .filter(|key| !key.starts_with("v1/leases/"))
            .collect()
    }

    /// How many multipart uploads of the store are neither completed nor aborted.
    pub fn open_store_uploads(&self) -> usize {
        self.memory.begun_uploads()
    }

    /// Asserts that no record and no upload is left once every time limit has passed.
    pub async fn assert_nothing_is_left(&self) {
        for _ in 0..4 {
            self.clock.pause(8 * DAY).await;
            assert_eq!(self.sweep().await.failed, 0);
        }
        assert_eq!(self.state_keys().await, [""; 0]);
        assert_eq!(self.open_store_uploads(), 0);
    }
}

pub fn new_backup(key: &str, chunks: usize) -> NewBackup {
    NewBackup {
        bucket: "b".into(),
        key: key.into(),
        chunk_size: CHUNK as u64,
        size: Some((chunks * CHUNK) as u64),
        ..NewBackup::default()
    }
}

pub fn chunk(index: u64) -> Vec<u8> {
    vec![index as u8 + 1; CHUNK]
}

pub async fn put_chunk(session: &Session, index: u64) {
    let bytes = chunk(index);
    match session.admit(index, Sha256::of(&bytes), CHUNK as u64).await.unwrap() {
        Admission::Known => {}
        Admission::Wanted(permit) => {
            permit.store(bytes.into()).await.unwrap();
        }
    }
}

pub fn new_upload(key: &str) -> NewUpload {
    NewUpload { bucket: "b".into(), key: key.into(), ..NewUpload::default() }
}

pub fn part_number(number: u32) -> PartNumber {
    PartNumber::new(number).unwrap()
}

/// These parts as Complete lists them.
pub fn chosen(entries: &[PartEntry]) -> Vec<ChosenEntry> {
    let entry = |entry: &PartEntry| ChosenEntry {
        number: part_number(u32::from(entry.number)),
        etag: entry.etag.clone(),
        checksum: None,
    };
    entries.iter().map(entry).collect()
}

/// Puts a part of an S3 upload. True if the gateway knew the part and did not need its bytes.
pub async fn put_part(session: &Session, at: u32) -> (PartEntry, bool) {
    let bytes = chunk(u64::from(at));
    let claim = PartClaim {
        sha256: Some(Sha256::of(&bytes)),
        len_bytes: CHUNK as u64,
        ..PartClaim::default()
    };
    match session.admit_part(part_number(at), claim).await.unwrap() {
        PartAdmission::Known(entry) => (entry, true),
        PartAdmission::Wanted(permit) => {
            permit.store(bytes.into()).await.unwrap();
            let entries = session.part_entries().await.unwrap();
            (entries.into_iter().find(|entry| u32::from(entry.number) == at).unwrap(), false)
        }
    }
}
