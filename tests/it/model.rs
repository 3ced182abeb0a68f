//! Random schedules of several gateways over one faulty store, against a reference model of DESIGN
//! §9.
//!
//! Each run is made from one seed: `RATCHET_SEED=n cargo test --test it model` repeats it. Time is
//! tokio's, paused. Checked: acknowledged chunks stay recorded (1), a complete object is the
//! acknowledged chunks (2), one index never has two acknowledged checksums (3), finalize, abort and
//! expiry are idempotent (5), nothing is left of what was given up (9), gateways agree (10).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ratchet::clock::Clock;
use ratchet::digest::{ChunkHasher, Expected, Kind as DigestKind, Sha256, Whole};
use ratchet::gc::{Mode, Settings as GcSettings, Sweeper};
use ratchet::store::{Body, GetRange, Limits, Store};
use ratchet::upload::{Admission, Error, Kind, NewBackup, Session, Settings, Status, Uploads};

use crate::faults::{Chaos, Gateways, arriving, faulty_memory, no_record_is_left, schedules};

const CHUNK: u64 = 1024;
const BUCKET: &str = "photos";
const KEY: &str = "2026/november.tar";

/// What clients were told, and what they sent.
#[derive(Default)]
struct Told {
    /// Index → checksum acknowledged.
    chunks: BTreeMap<u32, Sha256>,
    /// What finalize answered, if it ever succeeded.
    finished: Option<(String, u64)>,
    aborted: bool,
    puts: u64,
    refusals: BTreeMap<String, u64>,
}

struct World {
    seed: u64,
    random: Clock,
    truth: Arc<dyn Store>,
    chaos: Arc<Chaos>,
    gateways: Gateways,
    new: NewBackup,
    chunks: u32,
    /// Whether gateways sweep while clients are at work, and call short pauses idle.
    sweeps: bool,
    told: Mutex<Told>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let random = Clock::seeded(seed);
        let size = random.number_below(9) * CHUNK + random.number_below(CHUNK);
        let chunks = u32::try_from(size.div_ceil(CHUNK)).unwrap();
        let min_part_bytes = [1, 2 * CHUNK, 4 * CHUNK][random.number_below(3) as usize];
        let limits = Limits { min_part_bytes, max_part_bytes: 1 << 20, max_parts: 10_000 };
        let (truth, chaos) = faulty_memory(seed, limits);
        truth.create_bucket(&BUCKET.into()).await.unwrap();
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
        let gateways = Gateways::start(Arc::clone(&chaos), random.clone(), Settings::default());
        let sweeps = random.number_below(4) == 0;
        let world = Self {
            seed,
            random,
            truth,
            chaos,
            gateways,
            new,
            chunks,
            sweeps,
            told: Mutex::default(),
        };
        world.calm().prepare().await.unwrap();
        world
    }

    /// A gateway whose way to the store has no faults.
    fn calm(&self) -> Uploads {
        Uploads::new(
            Arc::clone(&self.truth),
            Clock::seeded(self.seed ^ 0xca1f),
            Settings::default(),
        )
    }

    /// The bytes of a chunk in one of two files that differ in every chunk.
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
        // Without a declared size the file is whole chunks.
        self.new.size.unwrap_or(u64::from(self.chunks) * CHUNK)
    }

    fn acknowledge(&self, index: u32, sha256: Sha256) {
        let mut told = self.told.lock().unwrap();
        let before = *told.chunks.entry(index).or_insert(sha256);
        assert_eq!(before, sha256, "seed {}: chunk {index} was acknowledged twice", self.seed);
    }

    fn refused(&self, what: &str, error: &Error) {
        *self
            .told
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
        uploads.create("home", self.new.clone()).await.map(|(_, session)| session)
    }
}

/// One client: it knows one file and does what clients do, in any order.
async fn client(world: Arc<World>, id: String, file: u8) {
    for _ in 0..world.random.number_below(24) {
        world.random.pause(world.random.jitter(Duration::from_millis(400))).await;
        match world.random.number_below(20) {
            0 => world.gateways.crash(),
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
        let session = world.gateways.uploads().open("home", id).await?;
        match session.admit(u64::from(index), sha256, bytes.len() as u64).await? {
            Admission::Known => Ok(()),
            Admission::Wanted(ticket) => ticket.store(client_body(world, &bytes)).await.map(|_| ()),
        }
    };
    world.told.lock().unwrap().puts += 1;
    // Sometimes the client hangs up.
    let hung_up = world.random.number_below(12) == 0;
    let patience = world.random.jitter(Duration::from_millis(if hung_up { 50 } else { 3_600_000 }));
    match tokio::time::timeout(patience, outcome).await {
        Ok(Ok(())) => world.acknowledge(index, sha256),
        Ok(Err(error)) => world.refused("put", &error),
        Err(_) => {}
    }
}

/// A body as a network brings it: sometimes torn, corrupted, short or too long.
fn client_body(world: &World, bytes: &Bytes) -> Body {
    let fate = world.random.number_below(14);
    arriving(&world.random, bytes, Duration::from_millis(40), |frames| match fate {
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
        let session = world.gateways.uploads().open("home", id).await?;
        let chunks: Vec<Bytes> = (0..world.chunks).map(|index| world.bytes(file, index)).collect();
        // Its own file's digest: wrong where the other client's chunks were first.
        let kind = world.new.digest.unwrap_or(DigestKind::Sha256Chunks);
        session.finalize(Some(world.digest_of(kind, &chunks))).await
    };
    match outcome.await {
        Ok(object) => {
            let answer = (object.etag.0.clone(), object.size_bytes);
            let mut told = world.told.lock().unwrap();
            let before = told.finished.get_or_insert(answer.clone()).clone();
            assert_eq!(before, answer, "seed {}: finalize gave two answers", world.seed);
        }
        Err(error) => world.refused("finalize", &error),
    }
}

async fn abort(world: &World, id: &str) {
    let outcome = async {
        world.gateways.uploads().open("home", id).await?.abort("the client asked for it").await
    };
    match outcome.await {
        Ok(()) => world.told.lock().unwrap().aborted = true,
        Err(error) => world.refused("abort", &error),
    }
}

/// Sessions that are idle for two seconds are given up.
fn sweeper(uploads: Uploads, seed: u64) -> Sweeper {
    let settings = GcSettings {
        expire_after: Duration::from_secs(2),
        sessions_per_s: 10_000,
        ..GcSettings::default()
    };
    Sweeper::new(uploads, Clock::seeded(seed ^ 0x9c), settings)
}

async fn sweep(world: &World) {
    let sweeper = sweeper(world.gateways.uploads(), world.random.number_below(u64::MAX));
    // Sometimes the gateway dies in the midst of it.
    let patience =
        world.random.jitter(Duration::from_millis(if world.random.number_below(3) == 0 {
            200
        } else {
            3_600_000
        }));
    let swept = tokio::time::timeout(patience, sweeper.sweep(Mode::Now, |_| ())).await;
    let mut told = world.told.lock().unwrap();
    match swept {
        Ok(Ok(Some(report))) => {
            told.aborted |= report.actions.contains_key("expire");
            if report.failed == 0 {
                return;
            }
        }
        Ok(Ok(None)) => return,
        Ok(Err(_)) | Err(_) => {}
    }
    *told.refusals.entry("sweep: cut off".to_owned()).or_default() += 1;
}

/// Once its time is over, nothing of a session is left but its object.
async fn leaves_nothing(world: &World, id: &str) {
    let seed = world.seed;
    let uploads = world.calm();
    let root = uploads.root_of("home", id).await.unwrap().unwrap();
    let sweeper = sweeper(uploads, seed);
    if root.finished().is_some() {
        sweeper.sweep(Mode::Now, |_| ()).await.unwrap();
        assert!(
            world.calm().root_of("home", id).await.unwrap().is_some(),
            "seed {seed}: its object is still there"
        );
        world.truth.delete(&BUCKET.into(), &KEY.into(), None).await.unwrap();
    }
    // Ended, freed, forgotten: each has its own time, and a sweeper that died has its lease.
    for _ in 0..4 {
        world.random.pause(Duration::from_secs(3600)).await;
        let report = sweeper.sweep(Mode::Now, |_| ()).await.unwrap().unwrap();
        assert_eq!(report.failed, 0, "seed {seed}");
    }
    no_record_is_left(&world.truth, seed).await;
    let target = (BUCKET.into(), KEY.into());
    let upload = root.upload_at(&target).unwrap();
    assert!(
        world.truth.list_parts(upload, None).await.is_err(),
        "seed {seed}: the store's upload is left"
    );
}

/// The faults are over: whatever state the session is in, what was told must hold.
async fn judge(world: &World, id: &str) {
    let seed = world.seed;
    world.chaos.stop();
    let session = world.calm().open("home", id).await.unwrap();
    let told = std::mem::take(&mut *world.told.lock().unwrap());
    if let Status::Finalizing { .. } = session.root().status {
        // Any gateway may carry it on; a takeover repeats every check, so it may also fall back.
        session.finalize(None).await.ok();
    }
    let root = session.fresh_root().await.unwrap();
    match &root.status {
        Status::Aborted { reason, .. } => {
            assert!(
                told.finished.is_none(),
                "seed {seed}: finalize succeeded, yet the session is aborted"
            );
            // A finalize that names another file's digest, over an object that was read back, ends
            // the session too.
            let by_digest = reason.starts_with("the object has sha256:");
            assert!(
                by_digest
                    || told.aborted
                    || told
                        .refusals
                        .keys()
                        .any(|k| k.starts_with("abort") || k.starts_with("sweep")),
                "seed {seed}: nobody aborted"
            );
            session.abort("again").await.unwrap();
            return;
        }
        Status::InProgress => {
            assert!(
                told.finished.is_none() && !told.aborted,
                "seed {seed}: an end was told, yet the session is open"
            );
            still_recorded(world, &session, &told).await;
            fill_and_finalize(world, &session).await;
        }
        Status::Complete { .. } => {
            assert!(!told.aborted, "seed {seed}: the abort succeeded, yet it is complete")
        }
        status @ (Status::Finalizing { .. } | Status::Superseded { .. }) => {
            panic!("seed {seed}: ended as {status:?}")
        }
    }
    object_is_what_was_acknowledged(world, &session, &told).await;
    assert_eq!(session.abort("too late").await.unwrap_err().kind(), Kind::NotOpen, "seed {seed}");
}

async fn still_recorded(world: &World, session: &Session, told: &Told) {
    for (index, sha256) in &told.chunks {
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

/// Sends what is missing, as the records want it, until the backup completes.
async fn fill_and_finalize(world: &World, session: &Session) {
    for _ in 0..8 {
        let expected = (world.new.size.is_none() && world.chunks == 0)
            .then(|| world.digest_of(DigestKind::Sha256Chunks, &[]));
        match session.finalize(expected).await {
            Ok(_) => {
                if session.progress().await.unwrap().stored == u64::from(world.chunks) {
                    return;
                }
                // Without a size the last chunks may never have come: the shorter file is whole
                // too.
                assert!(world.new.size.is_none(), "seed {}: completed short", world.seed);
                return;
            }
            Err(Error::Incomplete { missing }) => {
                for index in missing.iter().flat_map(|range| range.first..=range.last) {
                    send_as_recorded(world, session, index as u32).await;
                }
            }
            // A gateway that was killed may still be removing what it had staged.
            Err(error) if error.kind() == Kind::StoreUnavailable => {}
            Err(error) => panic!("seed {}: {error:?}", world.seed),
        }
    }
    panic!("seed {}: it never completed", world.seed);
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
        Admission::Wanted(ticket) => {
            ticket.store(Body::from(bytes)).await.unwrap();
        }
    }
}

async fn object_is_what_was_acknowledged(world: &World, session: &Session, told: &Told) {
    let seed = world.seed;
    let (_, body) = world
        .truth
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
        if let Some(acknowledged) = told.chunks.get(&index) {
            assert_eq!(
                sha256, *acknowledged,
                "seed {seed}: chunk {index} of the object is not what was acknowledged"
            );
        }
    }
    let highest = told.chunks.keys().last().map_or(0, |index| index + 1);
    assert!(
        object.chunks(CHUNK as usize).count() as u32 >= highest,
        "seed {seed}: acknowledged chunks are cut off"
    );
    let first = session.finalize(None).await.unwrap();
    assert_eq!(
        first,
        world
            .calm()
            .open("home", &session.root().backup_id)
            .await
            .unwrap()
            .finalize(None)
            .await
            .unwrap()
    );
}

async fn schedule(seed: u64) -> BTreeMap<String, u64> {
    let world = Arc::new(World::new(seed).await);
    // The creates race and fail too, until one answer came.
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
        .map(|n| client(Arc::clone(&world), id.clone(), u8::from(n == 3)));
    futures_util::future::join_all(clients).await;
    let counts = world.told.lock().unwrap().refusals.clone();
    judge(&world, &id).await;
    leaves_nothing(&world, &id).await;
    counts
}

#[test]
fn random_schedules_keep_every_promise() {
    let (total, refusals) = schedules(schedule);
    println!("model: {total} schedules, refusals met: {refusals:?}");
}
