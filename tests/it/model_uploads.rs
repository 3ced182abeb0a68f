//! Random schedules of S3 tools over several gateways and one faulty store. The tools are killed,
//! interrupted, suspended and started again. Each sends CreateMultipartUpload, parts in any order
//! and CompleteMultipartUpload, with the few retries of real tools.
//!
//! `RATCHET_SEED=n cargo test --test it model_uploads::` repeats a schedule. Checked: the object is
//! at any time exactly one of the files, and exists from the first acknowledged Complete on
//! (docs/architecture.md#complete-means-equal); an acknowledged part can be completed while its
//! upload is open (docs/architecture.md#acknowledged-means-durable); where all tools send one file,
//! no upload is gone before its own client ends it (docs/architecture.md#aliases); in the end a run
//! without faults completes, and sweeps leave nothing
//! (docs/architecture.md#abandoned-sessions-end).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::gc::{Mode, Settings as GcSettings, Sweeper};
use ratchet::store::{
    Body, DeleteOptions, ETag, GetRange, Kind as StoreKind, Limits, PartNumber, Store, UploadTarget,
};
use ratchet::upload::{
    ChosenEntry, Destination, Error, NewUpload, PartAdmission, PartClaim, PutOutcome, Resume,
    Session, Settings, Stored, Uploads,
};

use crate::support::faults::{
    Gateways, StoreFaults, arriving_body, assert_no_record_is_left, faulty_store, run_schedules,
};

const PART: usize = 1000;
const BUCKET: &str = "photos";
const KEY: &str = "2026/november.tar";
/// How often a tool tries one call.
const TRIES: usize = 4;

struct World {
    seed: u64,
    random: Clock,
    store: Arc<dyn Store>,
    faults: Arc<StoreFaults>,
    gateways: Gateways,
    settings: Settings,
    /// Two files that differ in every part and in length; sometimes the second one has parts of the
    /// first one at other places.
    files: [Bytes; 2],
    /// Whether all tools send the first file.
    one_file: bool,
    outcomes: Mutex<Outcomes>,
}

#[derive(Default)]
struct Outcomes {
    completed: bool,
    uploads: Vec<String>,
    counts: BTreeMap<String, u64>,
}

impl World {
    async fn new(seed: u64) -> Arc<Self> {
        let random = Clock::seeded(seed);
        let limits = Limits { min_part_bytes: 1, max_part_bytes: 1 << 20, max_parts: 10_000 };
        let (store, faults) = faulty_store(seed, limits);
        store.create_bucket(&BUCKET.into()).await.unwrap();
        // The shortest allowed time: three heartbeats.
        let idle = Duration::from_secs(30);
        let settings =
            Settings { resume: Resume { idle, ..Resume::default() }, ..Settings::default() };
        let file = |salt: u8| {
            let len = PART * random.number_below(6) as usize
                + 1
                + random.number_below(PART as u64) as usize;
            Bytes::from(
                (0..len)
                    .map(|at| (at % PART % 251) as u8 ^ salt ^ (at / PART) as u8)
                    .collect::<Vec<u8>>(),
            )
        };
        let salt = [85, 1][random.number_below(2) as usize];
        let files = [file(0), file(salt)];
        let gateways = Gateways::start(Arc::clone(&faults), random.clone(), settings.clone());
        let one_file = random.number_below(3) == 0;
        let world = Self {
            one_file,
            seed,
            random,
            store,
            faults,
            gateways,
            settings,
            files,
            outcomes: Mutex::default(),
        };
        world.gateway_without_faults().prepare().await.unwrap();
        Arc::new(world)
    }

    /// A gateway whose calls to the store have no faults. Each has its own ids.
    fn gateway_without_faults(&self) -> Uploads {
        let clock = Clock::seeded(self.random.number_below(u64::MAX));
        Uploads::new(Arc::clone(&self.store), clock, self.settings.clone())
    }

    fn kill_gateway(&self) {
        self.gateways.kill_one();
        self.count("gateway kills");
    }

    fn count(&self, what: &str) {
        *self.outcomes.lock().unwrap().counts.entry(what.to_owned()).or_default() += 1;
    }

    /// Asserts that the object is one of the files, or that no upload is complete yet.
    async fn assert_object_is_one_file(&self) {
        let found =
            self.store.get(&BUCKET.into(), &KEY.into(), GetRange::Whole, Default::default()).await;
        match found {
            Ok((_, body)) => {
                let object = body.collect(1 << 20).await.unwrap();
                assert!(
                    self.files.contains(&object),
                    "seed {}: the object is none of the files",
                    self.seed
                );
            }
            Err(error) => {
                assert_eq!(error.kind(), StoreKind::NotFound, "seed {}", self.seed);
                assert!(
                    !self.outcomes.lock().unwrap().completed,
                    "seed {}: a completed object is gone",
                    self.seed
                );
            }
        }
    }
}

/// A tool that is started, killed and started again, sometimes with the other file.
async fn tool(world: Arc<World>, own_file: usize) {
    for _ in 0..=world.random.number_below(4) {
        world.random.pause(world.random.jitter(Duration::from_secs(20))).await;
        let file = if world.random.number_below(6) == 0 { 1 - own_file } else { own_file };
        let file = if world.one_file { 0 } else { file };
        let killed_after = world
            .random
            .jitter(Duration::from_secs([4, 100_000][world.random.number_below(2) as usize]));
        let run = run(Arc::clone(&world), file);
        if tokio::time::timeout(killed_after, run).await.is_err() {
            world.count("kills");
        }
        world.assert_object_is_one_file().await;
        if world.random.number_below(5) == 0 {
            world.kill_gateway();
        }
    }
}

async fn run(world: Arc<World>, file: usize) {
    let Some(id) = create(&world).await else { return world.count("runs that could not begin") };
    let parts: Vec<Bytes> = world.files[file].chunks(PART).map(Bytes::copy_from_slice).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.rotate_left(world.random.number_below(parts.len() as u64) as usize);
    let at_once = 1 + world.random.number_below(4) as usize;
    let puts = order.into_iter().map(|at| put(&world, &id, at, &parts[at]));
    let put: Vec<Option<ChosenEntry>> = stream::iter(puts).buffered(at_once).collect().await;
    let Some(mut chosen) = put.into_iter().collect::<Option<Vec<_>>>() else {
        world.count("runs that gave up");
        if world.random.number_below(2) == 0 {
            // Tools abort when their retries are exhausted; some just exit.
            let aborted =
                async { open(&world, &id).await?.abort_and_keep("its client aborted it").await };
            aborted.await.ok();
        }
        return;
    };
    chosen.sort_by_key(|entry| entry.number);
    complete(&world, &id, &chosen).await;
}

async fn create(world: &World) -> Option<String> {
    let new = NewUpload { bucket: BUCKET.into(), key: KEY.into(), ..NewUpload::default() };
    for _ in 0..TRIES {
        if let Ok(session) =
            world.gateways.uploads().create_upload(&"home".into(), new.clone()).await
        {
            let root = session.root();
            let Destination::Parts(upload) = &root.destination else { unreachable!() };
            world.outcomes.lock().unwrap().uploads.push(upload.as_str().to_owned());
            return Some(root.backup_id.to_string());
        }
    }
    None
}

async fn open(world: &World, id: &str) -> Result<Session, Error> {
    world
        .gateways
        .uploads()
        .open_upload(&"home".into(), &BUCKET.into(), &KEY.into(), &id.into())
        .await
}

/// Puts one part with the retries of a tool; `None` if all fail.
async fn put(world: &World, id: &str, at: usize, bytes: &Bytes) -> Option<ChosenEntry> {
    let number = PartNumber::new(at as u32 + 1).unwrap();
    for _ in 0..TRIES {
        if world.random.number_below(20) == 0 {
            // The machine is suspended; meanwhile another run may adopt the upload.
            world.random.pause(world.random.jitter(Duration::from_secs(90))).await;
        }
        match put_once(world, id, number, bytes).await {
            Ok(etag) => return Some(ChosenEntry { number, etag, checksum: None }),
            Err(error @ (Error::NotOpen { .. } | Error::NoSuchBackup(_))) => {
                assert!(!world.one_file, "seed {}: part {number} of {id}: {error}", world.seed);
                world.count("uploads that ended for other bytes");
                return None;
            }
            Err(_) => {}
        }
    }
    None
}

fn claim_of(bytes: &[u8]) -> PartClaim {
    PartClaim {
        sha256: Some(Sha256::of(bytes)),
        len_bytes: bytes.len() as u64,
        waits: true,
        ..PartClaim::default()
    }
}

async fn put_once(
    world: &World,
    id: &str,
    number: PartNumber,
    bytes: &Bytes,
) -> Result<ETag, Error> {
    let session = open(world, id).await?;
    let claim = claim_of(bytes);
    match session.admit_part(number, claim).await? {
        PartAdmission::Known(entry) => {
            world.count("parts known");
            Ok(entry.etag)
        }
        PartAdmission::Wanted(permit) => {
            // As the front does when a request is dropped.
            let guard = DisconnectOnDrop(Some(session.clone()));
            let stored = permit.store_part(part_body(world, bytes), || None).await;
            guard.done();
            let outcome = stored?;
            world.count(if outcome.stored == Stored::New {
                "parts sent"
            } else {
                "parts sent twice"
            });
            Ok(etag_of(outcome))
        }
    }
}

/// The ETag that the front returns.
fn etag_of(outcome: PutOutcome) -> ETag {
    outcome.etag.unwrap_or_else(|| ETag(outcome.sha256.hex()[..32].to_owned()))
}

struct DisconnectOnDrop(Option<Session>);

impl DisconnectOnDrop {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for DisconnectOnDrop {
    fn drop(&mut self) {
        let Some(session) = self.0.take() else { return };
        tokio::spawn(async move { session.client_disconnected().await.ok() });
    }
}

/// The body of a part. Sometimes its connection breaks, or is so slow that the client may seem
/// gone.
fn part_body(world: &World, bytes: &Bytes) -> Body {
    let slow = world.random.number_below(15) == 0;
    let pause = if slow { Duration::from_secs(40) } else { Duration::from_millis(200) };
    let damage = world.random.number_below(12);
    arriving_body(&world.random, bytes, pause, |frames| match damage {
        0 => frames.push(Err("the client's connection broke".into())),
        1 => frames[0] = Err("the client's connection broke".into()),
        2 => frames[0] = Ok(Bytes::from(vec![0xee; frames[0].as_ref().unwrap().len()])),
        _ => {}
    })
}

async fn complete(world: &World, id: &str, chosen: &[ChosenEntry]) {
    for _ in 0..TRIES {
        let completed = async { open(world, id).await?.complete_parts(chosen).await };
        match completed.await {
            Ok(_) => {
                world.outcomes.lock().unwrap().completed = true;
                world.count("completed");
                return;
            }
            Err(error @ (Error::NotOpen { .. } | Error::NoSuchBackup(_))) => {
                assert!(!world.one_file, "seed {}: Complete of {id}: {error}", world.seed);
                break;
            }
            Err(_) => {}
        }
    }
    world.count("runs that could not complete");
}

/// Ends the faults and checks that a run completes with its file. The first run may find a part
/// that differs from its record, if a run with the other file was killed between writing the part
/// and the record (docs/architecture.md#parts-that-a-refused-put-overwrote); then the next one
/// completes.
async fn check(world: &Arc<World>) {
    let seed = world.seed;
    world.faults.stop();
    // Everything in the background of the last runs ends within this time.
    world.random.pause(Duration::from_secs(600)).await;
    let file = world.random.number_below(2) as usize;
    if let Err(error) = run_without_faults(world, file).await {
        assert!(matches!(error, Error::InvalidPart { .. }), "seed {seed}: {error}");
        world.count("parts found changed at the end");
        run_without_faults(world, file)
            .await
            .unwrap_or_else(|error| panic!("seed {seed}: the second run failed too: {error}"));
    }
    let (_, body) = world
        .store
        .get(&BUCKET.into(), &KEY.into(), GetRange::Whole, Default::default())
        .await
        .unwrap();
    let object = body.collect(1 << 20).await.unwrap();
    assert!(object == world.files[file], "seed {seed}: the object differs from the last upload");
}

async fn run_without_faults(world: &World, file: usize) -> Result<(), Error> {
    let new = NewUpload { bucket: BUCKET.into(), key: KEY.into(), ..NewUpload::default() };
    let session = world.gateway_without_faults().create_upload(&"home".into(), new).await?;
    let mut chosen = Vec::new();
    for (at, bytes) in world.files[file].chunks(PART).enumerate() {
        let number = PartNumber::new(at as u32 + 1).unwrap();
        let claim = claim_of(bytes);
        let etag = match session.admit_part(number, claim).await? {
            PartAdmission::Known(entry) => entry.etag,
            PartAdmission::Wanted(permit) => {
                etag_of(permit.store_part(Bytes::copy_from_slice(bytes).into(), || None).await?)
            }
        };
        chosen.push(ChosenEntry { number, etag, checksum: None });
    }
    session.complete_parts(&chosen).await?;
    Ok(())
}

async fn assert_nothing_is_left(world: &World) {
    let seed = world.seed;
    let settings = GcSettings {
        expire_after: Duration::from_secs(2),
        sessions_per_s: 10_000,
        ..GcSettings::default()
    };
    let sweeper =
        Sweeper::new(world.gateway_without_faults(), Clock::seeded(seed ^ 0x9c), settings)
            .with_blobs_of(world.faults.content());
    for _ in 0..8 {
        // In each round, because the sweep completes a run that was killed in its Complete, which
        // creates the object again.
        world.store.delete(&BUCKET.into(), &KEY.into(), &DeleteOptions::default()).await.unwrap();
        world.random.pause(Duration::from_secs(2 * 86_400)).await;
        let report = sweeper.sweep(Mode::Now, |_| ()).await.unwrap().unwrap();
        assert_eq!(report.failed, 0, "seed {seed}");
    }
    assert_no_record_is_left(&world.store, seed).await;
    let uploads = world.outcomes.lock().unwrap().uploads.clone();
    for upload in uploads {
        let upload = upload.as_str().into();
        let target = UploadTarget { bucket: &BUCKET.into(), key: &KEY.into(), upload: &upload };
        assert!(
            world.store.list_parts(target, None).await.is_err(),
            "seed {seed}: an upload in the store is left"
        );
    }
}

async fn schedule(seed: u64) -> BTreeMap<String, u64> {
    let world = World::new(seed).await;
    let tools =
        (0..=world.random.number_below(3)).map(|n| tool(Arc::clone(&world), (n % 2) as usize));
    futures_util::future::join_all(tools).await;
    check(&world).await;
    assert_nothing_is_left(&world).await;
    let outcomes = std::mem::take(&mut *world.outcomes.lock().unwrap());
    outcomes.counts
}

#[test]
fn tools_that_are_killed_and_restarted_upload_complete_files() {
    let (total, counts) = run_schedules(schedule);
    println!("model_uploads: {total} schedules: {counts:?}");
}
