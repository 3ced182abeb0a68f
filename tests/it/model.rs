//! Random schedules of several gateways over one faulty store, checked against a reference model of
//! the invariants (docs/architecture.md#invariants).
//!
//! `RATCHET_SEED=n cargo test --test it model::` repeats a schedule. The clock is tokio's, paused.
//! Checked: acknowledged chunks stay recorded, a complete object consists of the acknowledged
//! chunks, one index never has two acknowledged checksums, finalize, abort and expiry are
//! idempotent, nothing is left of abandoned sessions, gateways agree.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ratchet::clock::Clock;
use ratchet::digest::{ChunkHasher, Expected, Kind as DigestKind, Sha256, Whole};
use ratchet::gc::{Mode, Settings as GcSettings, Sweeper};
use ratchet::store::{Body, DeleteOptions, GetRange, Limits, Store};
use ratchet::upload::{Admission, Error, Kind, NewBackup, Session, Settings, Status, Uploads};

use crate::support::faults::{
    Gateways, StoreFaults, arriving_body, assert_no_record_is_left, faulty_store, run_schedules,
};

const CHUNK: u64 = 1024;
const BUCKET: &str = "photos";
const KEY: &str = "2026/november.tar";

/// What the clients received, and how much they sent.
#[derive(Default)]
struct Outcomes {
    /// The acknowledged checksum of each index.
    chunks: BTreeMap<u32, Sha256>,
    /// ETag and size that finalize returned, if it ever succeeded.
    finished: Option<(String, u64)>,
    aborted: bool,
    puts: u64,
    refusals: BTreeMap<String, u64>,
}

struct World {
    seed: u64,
    random: Clock,
    store: Arc<dyn Store>,
    faults: Arc<StoreFaults>,
    gateways: Gateways,
    new: NewBackup,
    chunks: u32,
    /// Whether gateways sweep while clients work, with a short time until a session counts as idle.
    sweeps: bool,
    outcomes: Mutex<Outcomes>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let random = Clock::seeded(seed);
        let size = random.number_below(9) * CHUNK + random.number_below(CHUNK);
        let chunks = u32::try_from(size.div_ceil(CHUNK)).unwrap();
        let min_part_bytes = [1, 2 * CHUNK, 4 * CHUNK][random.number_below(3) as usize];
        let limits = Limits { min_part_bytes, max_part_bytes: 1 << 20, max_parts: 10_000 };
        let (store, faults) = faulty_store(seed, limits);
        store.create_bucket(&BUCKET.into()).await.unwrap();
        let digest =
            [None, Some(DigestKind::Blake3), Some(DigestKind::Crc64Nvme), Some(DigestKind::Sha256)];
        let new = NewBackup {
            bucket: BUCKET.into(),
            key: KEY.into(),
            chunk_size: CHUNK,
            size: (random.number_below(4) > 0).then_some(size),
            file_id: "f".into(),
            digest: digest[random.number_below(4) as usize],
            ..NewBackup::default()
        };
        let gateways = Gateways::start(Arc::clone(&faults), random.clone(), Settings::default());
        let sweeps = random.number_below(4) == 0;
        let world = Self {
            seed,
            random,
            store,
            faults,
            gateways,
            new,
            chunks,
            sweeps,
            outcomes: Mutex::default(),
        };
        world.gateway_without_faults().prepare().await.unwrap();
        world
    }

    /// A gateway whose calls to the store have no faults.
    fn gateway_without_faults(&self) -> Uploads {
        Uploads::new(
            Arc::clone(&self.store),
            Clock::seeded(self.seed ^ 0xca1f),
            Settings::default(),
        )
    }

    /// The bytes of a chunk of one of two files. The files differ in every chunk.
    fn bytes(&self, file: u8, index: u32) -> Bytes {
        let size = self.file_size();
        let start = u64::from(index) * CHUNK;
        let len = CHUNK.min(size - start);
        Bytes::from(
            (0..len)
                .map(|at| (at % 251) as u8 ^ file.wrapping_mul(85) ^ (index as u8))
                .collect::<Vec<u8>>(),
        )
    }

    fn file_size(&self) -> u64 {
        // Without a declared size the file consists of full chunks.
        self.new.size.unwrap_or(u64::from(self.chunks) * CHUNK)
    }

    fn acknowledge(&self, index: u32, sha256: Sha256) {
        let mut outcomes = self.outcomes.lock().unwrap();
        let before = *outcomes.chunks.entry(index).or_insert(sha256);
        assert_eq!(
            before, sha256,
            "seed {}: chunk {index} was acknowledged with two checksums",
            self.seed
        );
    }

    fn refused(&self, what: &str, error: &Error) {
        *self
            .outcomes
            .lock()
            .unwrap()
            .refusals
            .entry(format!("{what}: {:?}", error.kind()))
            .or_default() += 1;
    }

    fn digest_of(&self, kind: DigestKind, chunks: &[Bytes]) -> Expected {
        let Some(mut whole) = Whole::new(kind) else {
            let all: Vec<u8> = chunks.concat();
            return Expected { kind, hex: Sha256::of(&all).hex() };
        };
        for (index, bytes) in chunks.iter().enumerate() {
            let mut hasher = ChunkHasher::new(Some(kind), index as u64 * CHUNK);
            hasher.update(bytes);
            whole.add(&hasher.finish()).unwrap();
        }
        whole.finish()
    }

    async fn session(&self, uploads: &Uploads) -> Result<Session, Error> {
        uploads.create(&"home".into(), self.new.clone()).await.map(|(_, session)| session)
    }
}

/// One client with one file: does what clients do, in random order.
async fn client(world: Arc<World>, id: String, file: u8) {
    for _ in 0..world.random.number_below(24) {
        world.random.pause(world.random.jitter(Duration::from_millis(400))).await;
        match world.random.number_below(20) {
            0 => world.gateways.kill_one(),
            1 if world.random.number_below(6) == 0 => abort(&world, &id).await,
            2 | 3 => finalize(&world, &id, file).await,
            4 if world.sweeps => sweep(&world).await,
            _ if world.chunks == 0 => {}
            _ => {
                let index = world.random.number_below(u64::from(world.chunks)) as u32;
                put(&world, &id, file, index).await;
            }
        }
    }
}

async fn put(world: &World, id: &str, file: u8, index: u32) {
    let bytes = world.bytes(file, index);
    let sha256 = Sha256::of(&bytes);
    let outcome = async {
        let session = world.gateways.uploads().open(&"home".into(), &id.into()).await?;
        match session.admit(u64::from(index), sha256, bytes.len() as u64).await? {
            Admission::Known => Ok(()),
            Admission::Wanted(permit) => permit.store(client_body(world, &bytes)).await.map(|_| ()),
        }
    };
    world.outcomes.lock().unwrap().puts += 1;
    // Sometimes the client closes its connection.
    let closes_early = world.random.number_below(12) == 0;
    let time_limit =
        world.random.jitter(Duration::from_millis(if closes_early { 50 } else { 3_600_000 }));
    match tokio::time::timeout(time_limit, outcome).await {
        Ok(Ok(())) => world.acknowledge(index, sha256),
        Ok(Err(error)) => world.refused("put", &error),
        Err(_) => {}
    }
}

/// A body as it arrives over a network: sometimes cut off, corrupted, too short or too long.
fn client_body(world: &World, bytes: &Bytes) -> Body {
    let damage = world.random.number_below(14);
    arriving_body(&world.random, bytes, Duration::from_millis(40), |frames| match damage {
        0 => frames.push(Err("the client's connection broke".into())),
        1 => *frames.last_mut().unwrap() = Err("the client's connection broke".into()),
        2 => frames.truncate(frames.len() - 1),
        3 => frames[0] = Ok(Bytes::from(vec![0xee; frames[0].as_ref().unwrap().len()])),
        4 => frames.push(Ok(Bytes::from_static(b"too much"))),
        _ => {}
    })
}

async fn finalize(world: &World, id: &str, file: u8) {
    let outcome = async {
        let session = world.gateways.uploads().open(&"home".into(), &id.into()).await?;
        let chunks: Vec<Bytes> = (0..world.chunks).map(|index| world.bytes(file, index)).collect();
        // The digest of the client's own file: wrong if chunks of the other file were recorded
        // first.
        let kind = world.new.digest.unwrap_or(DigestKind::Sha256Chunks);
        session.finalize(Some(world.digest_of(kind, &chunks))).await
    };
    match outcome.await {
        Ok(object) => {
            let result = (object.etag.0.clone(), object.size_bytes);
            let mut outcomes = world.outcomes.lock().unwrap();
            let before = outcomes.finished.get_or_insert(result.clone()).clone();
            assert_eq!(before, result, "seed {}: finalize returned two results", world.seed);
        }
        Err(error) => world.refused("finalize", &error),
    }
}

async fn abort(world: &World, id: &str) {
    let outcome = async {
        world
            .gateways
            .uploads()
            .open(&"home".into(), &id.into())
            .await?
            .abort("the client asked for it")
            .await
    };
    match outcome.await {
        Ok(()) => world.outcomes.lock().unwrap().aborted = true,
        Err(error) => world.refused("abort", &error),
    }
}

/// A sweeper that expires sessions after two idle seconds.
fn sweeper(world: &World, uploads: Uploads, seed: u64) -> Sweeper {
    let settings = GcSettings {
        expire_after: Duration::from_secs(2),
        sessions_per_s: 10_000,
        ..GcSettings::default()
    };
    Sweeper::new(uploads, Clock::seeded(seed ^ 0x9c), settings)
        .with_blobs_of(world.faults.content())
}

async fn sweep(world: &World) {
    let sweeper = sweeper(world, world.gateways.uploads(), world.random.number_below(u64::MAX));
    // Sometimes the gateway is killed during the sweep.
    let time_limit =
        world.random.jitter(Duration::from_millis(if world.random.number_below(3) == 0 {
            200
        } else {
            3_600_000
        }));
    let swept = tokio::time::timeout(time_limit, sweeper.sweep(Mode::Now, |_| ())).await;
    let mut outcomes = world.outcomes.lock().unwrap();
    match swept {
        Ok(Ok(Some(report))) => {
            outcomes.aborted |= report.actions.contains_key("expire");
            if report.failed == 0 {
                return;
            }
        }
        Ok(Ok(None)) => return,
        Ok(Err(_)) | Err(_) => {}
    }
    *outcomes.refusals.entry("sweep: interrupted".to_owned()).or_default() += 1;
}

/// Asserts that sweeps remove everything of a session except a complete object.
async fn assert_nothing_is_left(world: &World, id: &str) {
    let seed = world.seed;
    let uploads = world.gateway_without_faults();
    let root = uploads.root_of(&"home".into(), &id.into()).await.unwrap().unwrap();
    let sweeper = sweeper(world, uploads, seed);
    if root.finished().is_some() {
        sweeper.sweep(Mode::Now, |_| ()).await.unwrap();
        assert!(
            world
                .gateway_without_faults()
                .root_of(&"home".into(), &id.into())
                .await
                .unwrap()
                .is_some(),
            "seed {seed}: the records of an existing object were removed"
        );
        world.store.delete(&BUCKET.into(), &KEY.into(), &DeleteOptions::default()).await.unwrap();
    }
    // Expiring, freeing and removing records have a delay each; the lease of a killed sweeper has
    // one too.
    for _ in 0..4 {
        world.random.pause(Duration::from_secs(3600)).await;
        let report = sweeper.sweep(Mode::Now, |_| ()).await.unwrap().unwrap();
        assert_eq!(report.failed, 0, "seed {seed}");
    }
    assert_no_record_is_left(&world.store, seed).await;
    let target = (BUCKET.into(), KEY.into());
    let upload = root.upload_at(&target).unwrap();
    assert!(
        world.store.list_parts(upload, None).await.is_err(),
        "seed {seed}: the upload in the store is left"
    );
}

/// Ends the faults and checks that everything that clients received holds in the state that the
/// session is in.
async fn check(world: &World, id: &str) {
    let seed = world.seed;
    world.faults.stop();
    let session = world.gateway_without_faults().open(&"home".into(), &id.into()).await.unwrap();
    let outcomes = std::mem::take(&mut *world.outcomes.lock().unwrap());
    if let Status::Finalizing { .. } = session.root().status {
        // Any gateway may continue the finalize. It repeats every check, so it may also reopen the
        // session.
        session.finalize(None).await.ok();
    }
    let root = session.fresh_root().await.unwrap();
    match &root.status {
        Status::Aborted { reason, .. } => {
            assert!(
                outcomes.finished.is_none(),
                "seed {seed}: finalize succeeded, yet the session is aborted"
            );
            // A finalize with the digest of another file also ends the session if the object had to
            // be read back.
            let ended_by_digest = reason.starts_with("the object has sha256:");
            assert!(
                ended_by_digest
                    || outcomes.aborted
                    || outcomes
                        .refusals
                        .keys()
                        .any(|k| k.starts_with("abort") || k.starts_with("sweep")),
                "seed {seed}: the session is aborted, but no abort or sweep was sent"
            );
            session.abort("again").await.unwrap();
            return;
        }
        Status::InProgress => {
            assert!(
                outcomes.finished.is_none() && !outcomes.aborted,
                "seed {seed}: finalize or abort succeeded, yet the session is open"
            );
            assert_still_recorded(world, &session, &outcomes).await;
            fill_and_finalize(world, &session).await;
        }
        Status::Complete { .. } => {
            assert!(
                !outcomes.aborted,
                "seed {seed}: the abort succeeded, yet the session is complete"
            )
        }
        status @ (Status::Finalizing { .. } | Status::Superseded { .. }) => {
            panic!("seed {seed}: the session ended as {status:?}")
        }
    }
    assert_object_is_as_acknowledged(world, &session, &outcomes).await;
    assert_eq!(session.abort("too late").await.unwrap_err().kind(), Kind::NotOpen, "seed {seed}");
}

async fn assert_still_recorded(world: &World, session: &Session, outcomes: &Outcomes) {
    for (index, sha256) in &outcomes.chunks {
        let segment = session.segment(index / 256).await.unwrap();
        let record = segment.chunks.get(index);
        let recorded = record.map(|record| record.digests.sha256);
        assert_eq!(
            recorded,
            Some(*sha256),
            "seed {}: acknowledged chunk {index} is not recorded",
            world.seed
        );
    }
}

/// Sends the missing chunks of the recorded file until the backup completes.
async fn fill_and_finalize(world: &World, session: &Session) {
    for _ in 0..8 {
        let expected = (world.new.size.is_none() && world.chunks == 0)
            .then(|| world.digest_of(DigestKind::Sha256Chunks, &[]));
        match session.finalize(expected).await {
            Ok(_) => {
                if session.progress().await.unwrap().stored == u64::from(world.chunks) {
                    return;
                }
                // Without a declared size the last chunks may never have been sent: then the
                // shorter file is complete.
                assert!(
                    world.new.size.is_none(),
                    "seed {}: completed without all chunks",
                    world.seed
                );
                return;
            }
            Err(Error::Incomplete { missing }) => {
                for index in missing.iter().flat_map(|range| range.first..=range.last) {
                    send_as_recorded(world, session, index as u32).await;
                }
            }
            // A killed gateway may still be removing its staged chunks.
            Err(error) if error.kind() == Kind::StoreUnavailable => {}
            Err(error) => panic!("seed {}: {error:?}", world.seed),
        }
    }
    panic!("seed {}: the backup did not complete", world.seed);
}

async fn send_as_recorded(world: &World, session: &Session, index: u32) {
    let segment = session.segment(index / 256).await.unwrap();
    let recorded = segment.chunks.get(&index).map(|record| record.digests.sha256);
    let bytes = [0, 1].map(|file| world.bytes(file, index));
    let bytes = bytes
        .into_iter()
        .find(|bytes| recorded.is_none_or(|sha256| sha256 == Sha256::of(bytes)))
        .unwrap();
    let sha256 = Sha256::of(&bytes);
    match session.admit(u64::from(index), sha256, bytes.len() as u64).await.unwrap() {
        Admission::Known => {}
        Admission::Wanted(permit) => {
            permit.store(Body::from(bytes)).await.unwrap();
        }
    }
}

async fn assert_object_is_as_acknowledged(world: &World, session: &Session, outcomes: &Outcomes) {
    let seed = world.seed;
    let (_, body) = world
        .store
        .get(&BUCKET.into(), &KEY.into(), GetRange::Whole, Default::default())
        .await
        .unwrap();
    let object = body.collect(1 << 20).await.unwrap();
    if world.new.size.is_some() {
        assert_eq!(object.len() as u64, world.file_size(), "seed {seed}");
    }
    for (index, chunk) in object.chunks(CHUNK as usize).enumerate() {
        let index = index as u32;
        let sha256 = Sha256::of(chunk);
        let known = [0, 1].iter().any(|file| world.bytes(*file, index) == chunk);
        assert!(known, "seed {seed}: chunk {index} of the object was never sent");
        if let Some(acknowledged) = outcomes.chunks.get(&index) {
            assert_eq!(
                sha256, *acknowledged,
                "seed {seed}: chunk {index} of the object is not what was acknowledged"
            );
        }
    }
    let highest = outcomes.chunks.keys().last().map_or(0, |index| index + 1);
    assert!(
        object.chunks(CHUNK as usize).count() as u32 >= highest,
        "seed {seed}: the object ends before the last acknowledged chunk"
    );
    let first = session.finalize(None).await.unwrap();
    assert_eq!(
        first,
        world
            .gateway_without_faults()
            .open(&"home".into(), &session.root().backup_id)
            .await
            .unwrap()
            .finalize(None)
            .await
            .unwrap()
    );
}

async fn schedule(seed: u64) -> BTreeMap<String, u64> {
    let world = Arc::new(World::new(seed).await);
    // The creates race and may fail; they are repeated until one succeeds.
    let id = loop {
        let uploads = world.gateways.uploads();
        let (one, two) = tokio::join!(world.session(&uploads), world.session(&uploads));
        match (one, two) {
            (Ok(one), Ok(two)) => {
                assert_eq!(
                    one.root().backup_id,
                    two.root().backup_id,
                    "seed {seed}: two backups of one target"
                );
                break one.root().backup_id.clone();
            }
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => break one.root().backup_id.clone(),
            (Err(_), Err(_)) => {}
        }
    };
    let clients = (0..=world.random.number_below(4))
        .map(|n| client(Arc::clone(&world), id.to_string(), u8::from(n == 3)));
    futures_util::future::join_all(clients).await;
    let counts = world.outcomes.lock().unwrap().refusals.clone();
    check(&world, &id).await;
    assert_nothing_is_left(&world, &id).await;
    counts
}

#[test]
fn random_schedules_keep_every_invariant() {
    let (total, refusals) = run_schedules(schedule);
    println!("model: {total} schedules, refusals: {refusals:?}");
}
