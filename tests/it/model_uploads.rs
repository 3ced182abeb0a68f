//! Random schedules of S3 tools over several gateways and one faulty store: tools that are killed,
//! interrupted, put to sleep and run again, each as CreateMultipartUpload, parts in any order,
//! Complete, with the few retries that tools have.
//!
//! Each run is made from one seed: `RATCHET_SEED=n cargo test --test it model_uploads` repeats it.
//! Checked: the object is at any time one file whole, and from the first acknowledged Complete on
//! it is there (DESIGN §9.2); a tool that is told of a part finds it listed while its upload lives
//! (1); an upload that was superseded takes no part any more (§7); in the end a calm run completes,
//! and sweeps leave nothing (9).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::gc::{Mode, Settings as GcSettings, Sweeper};
use ratchet::store::{
    Body, ETag, GetRange, Kind as StoreKind, Limits, PartNumber, Store, UploadTarget,
};
use ratchet::upload::{
    ChosenEntry, Destination, Error, NewUpload, PartAdmission, PartClaim, PutOutcome, Resume,
    Session, Settings, Stored, Uploads,
};

use crate::faults::{Chaos, Gateways, arriving, faulty_memory, no_record_is_left, schedules};

const PART: usize = 1000;
const BUCKET: &str = "photos";
const KEY: &str = "2026/november.tar";
/// Tries of one call, as tools have them.
const TRIES: usize = 4;

struct World {
    seed: u64,
    random: Clock,
    truth: Arc<dyn Store>,
    chaos: Arc<Chaos>,
    gateways: Gateways,
    settings: Settings,
    /// Two files that differ in every part, and in length.
    files: [Bytes; 2],
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    completed: bool,
    uploads: Vec<String>,
    counts: BTreeMap<String, u64>,
}

impl World {
    async fn new(seed: u64) -> Arc<Self> {
        let random = Clock::seeded(seed);
        let limits = Limits { min_part_bytes: 1, max_part_bytes: 1 << 20, max_parts: 10_000 };
        let (truth, chaos) = faulty_memory(seed, limits);
        truth.create_bucket(&BUCKET.into()).await.unwrap();
        // As short as it may be: three heartbeats.
        let idle = Duration::from_secs(30);
        let settings =
            Settings { resume: Resume { idle, ..Resume::default() }, ..Settings::default() };
        let file = |salt: u8| {
            let len = PART * random.number_below(6) as usize
                + 1
                + random.number_below(PART as u64) as usize;
            Bytes::from(
                (0..len).map(|at| (at % 251) as u8 ^ salt ^ (at / PART) as u8).collect::<Vec<u8>>(),
            )
        };
        let files = [file(0), file(85)];
        let gateways = Gateways::start(Arc::clone(&chaos), random.clone(), settings.clone());
        let world =
            Self { seed, random, truth, chaos, gateways, settings, files, told: Mutex::default() };
        world.calm().prepare().await.unwrap();
        Arc::new(world)
    }

    /// A gateway whose way to the store has no faults. Each has ids of its own.
    fn calm(&self) -> Uploads {
        let clock = Clock::seeded(self.random.number_below(u64::MAX));
        Uploads::new(Arc::clone(&self.truth), clock, self.settings.clone())
    }

    fn crash(&self) {
        self.gateways.crash();
        self.count("crashes");
    }

    fn count(&self, what: &str) {
        *self.told.lock().unwrap().counts.entry(what.to_owned()).or_default() += 1;
    }

    /// The object is one of the files, or there is none yet.
    async fn object_is_whole(&self) {
        let found =
            self.truth.get(&BUCKET.into(), &KEY.into(), GetRange::Whole, Default::default()).await;
        match found {
            Ok((_, body)) => {
                let object = body.collect(1 << 20).await.unwrap();
                assert!(
                    self.files.contains(&object),
                    "seed {}: the object is no file of anybody",
                    self.seed
                );
            }
            Err(error) => {
                assert_eq!(error.kind(), StoreKind::NotFound, "seed {}", self.seed);
                assert!(
                    !self.told.lock().unwrap().completed,
                    "seed {}: a completed object is gone",
                    self.seed
                );
            }
        }
    }
}

/// A tool: run, killed and run again; what it uploads may be another file the next time.
async fn tool(world: Arc<World>, own_file: usize) {
    for _ in 0..=world.random.number_below(4) {
        world.random.pause(world.random.jitter(Duration::from_secs(20))).await;
        let file = if world.random.number_below(6) == 0 { 1 - own_file } else { own_file };
        let killed_after = world
            .random
            .jitter(Duration::from_secs([4, 100_000][world.random.number_below(2) as usize]));
        let run = run(Arc::clone(&world), file);
        if tokio::time::timeout(killed_after, run).await.is_err() {
            world.count("kills");
        }
        world.object_is_whole().await;
        if world.random.number_below(5) == 0 {
            world.crash();
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
            // As tools do when their retries run out; some just die.
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
        if let Ok(session) = world.gateways.uploads().create_upload("home", new.clone()).await {
            let root = session.root();
            let Destination::Parts(upload) = &root.destination else { unreachable!() };
            world.told.lock().unwrap().uploads.push(upload.as_str().to_owned());
            return Some(root.backup_id.clone());
        }
    }
    None
}

async fn open(world: &World, id: &str) -> Result<Session, Error> {
    world.gateways.uploads().open_upload("home", BUCKET, KEY, id).await
}

/// Puts one part with a tool's patience; None once it is exhausted.
async fn put(world: &World, id: &str, at: usize, bytes: &Bytes) -> Option<ChosenEntry> {
    let number = PartNumber::new(at as u32 + 1).unwrap();
    for _ in 0..TRIES {
        if world.random.number_below(20) == 0 {
            // Its machine sleeps: when it wakes up another run may have taken the upload over.
            world.random.pause(world.random.jitter(Duration::from_secs(90))).await;
        }
        match put_once(world, id, number, bytes).await {
            Ok(etag) => return Some(ChosenEntry { number, etag }),
            Err(Error::NotOpen { .. } | Error::NoSuchBackup(_)) => return None,
            Err(_) => {}
        }
    }
    None
}

async fn put_once(
    world: &World,
    id: &str,
    number: PartNumber,
    bytes: &Bytes,
) -> Result<ETag, Error> {
    let session = open(world, id).await?;
    let claim =
        PartClaim { sha256: Some(Sha256::of(bytes)), md5: None, len_bytes: bytes.len() as u64 };
    match session.admit_part(number, claim).await? {
        PartAdmission::Known(entry) => {
            world.count("parts known");
            Ok(entry.etag)
        }
        PartAdmission::Wanted(ticket) => {
            // As the front does where a request is given up.
            let guard = HangUp(Some(session.clone()));
            let stored = ticket.store_part(part_body(world, bytes), || None).await;
            guard.done();
            let brought = stored?;
            world.count(if brought.stored == Stored::New {
                "parts sent"
            } else {
                "parts sent twice"
            });
            Ok(tag(brought))
        }
    }
}

/// As the front answers it.
fn tag(brought: PutOutcome) -> ETag {
    brought.etag.unwrap_or_else(|| ETag(brought.sha256.hex()[..32].to_owned()))
}

struct HangUp(Option<Session>);

impl HangUp {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for HangUp {
    fn drop(&mut self) {
        let Some(session) = self.0.take() else { return };
        tokio::spawn(async move { session.client_disconnected().await.ok() });
    }
}

/// A part's body; sometimes its line goes away, or is so slow that nobody is sure whether anybody
/// is there.
fn part_body(world: &World, bytes: &Bytes) -> Body {
    let slow = world.random.number_below(15) == 0;
    let pause = if slow { Duration::from_secs(40) } else { Duration::from_millis(200) };
    let fate = world.random.number_below(12);
    arriving(&world.random, bytes, pause, |frames| match fate {
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
                world.told.lock().unwrap().completed = true;
                world.count("completed");
                return;
            }
            Err(Error::NotOpen { .. } | Error::NoSuchBackup(_)) => break,
            Err(_) => {}
        }
    }
    world.count("runs that could not complete");
}

/// The faults are over: a run completes with its file. It may be told once that a part is not as
/// recorded, where a run of the other file died between the store's part and the record (DESIGN
/// §12.7); then the next one completes.
async fn judge(world: &Arc<World>) {
    let seed = world.seed;
    world.chaos.stop();
    // What still breathes of the last runs has had its time.
    world.random.pause(Duration::from_secs(600)).await;
    let file = world.random.number_below(2) as usize;
    if let Err(error) = calm_run(world, file).await {
        assert!(matches!(error, Error::InvalidPart { .. }), "seed {seed}: {error}");
        world.count("parts found changed at the end");
        calm_run(world, file)
            .await
            .unwrap_or_else(|error| panic!("seed {seed}: {error}, and again"));
    }
    let (_, body) = world
        .truth
        .get(&BUCKET.into(), &KEY.into(), GetRange::Whole, Default::default())
        .await
        .unwrap();
    let object = body.collect(1 << 20).await.unwrap();
    assert!(object == world.files[file], "seed {seed}: the last upload is not what the object is");
}

async fn calm_run(world: &World, file: usize) -> Result<(), Error> {
    let new = NewUpload { bucket: BUCKET.into(), key: KEY.into(), ..NewUpload::default() };
    let session = world.calm().create_upload("home", new).await?;
    let mut chosen = Vec::new();
    for (at, bytes) in world.files[file].chunks(PART).enumerate() {
        let number = PartNumber::new(at as u32 + 1).unwrap();
        let claim =
            PartClaim { sha256: Some(Sha256::of(bytes)), md5: None, len_bytes: bytes.len() as u64 };
        let etag = match session.admit_part(number, claim).await? {
            PartAdmission::Known(entry) => entry.etag,
            PartAdmission::Wanted(ticket) => {
                tag(ticket.store_part(Bytes::copy_from_slice(bytes).into(), || None).await?)
            }
        };
        chosen.push(ChosenEntry { number, etag });
    }
    session.complete_parts(&chosen).await?;
    Ok(())
}

async fn leaves_nothing(world: &World) {
    let seed = world.seed;
    let settings = GcSettings {
        expire_after: Duration::from_secs(2),
        sessions_per_s: 10_000,
        ..GcSettings::default()
    };
    let sweeper = Sweeper::new(world.calm(), Clock::seeded(seed ^ 0x9c), settings);
    for _ in 0..8 {
        // Each time: a run that died in its Complete is first carried to its end, and makes the
        // object anew.
        world.truth.delete(&BUCKET.into(), &KEY.into(), None).await.unwrap();
        world.random.pause(Duration::from_secs(2 * 86_400)).await;
        let report = sweeper.sweep(Mode::Now, |_| ()).await.unwrap().unwrap();
        assert_eq!(report.failed, 0, "seed {seed}");
    }
    no_record_is_left(&world.truth, seed).await;
    let uploads = world.told.lock().unwrap().uploads.clone();
    for upload in uploads {
        let upload = upload.as_str().into();
        let target = UploadTarget { bucket: &BUCKET.into(), key: &KEY.into(), upload: &upload };
        assert!(
            world.truth.list_parts(target, None).await.is_err(),
            "seed {seed}: a store's upload is left"
        );
    }
}

async fn schedule(seed: u64) -> BTreeMap<String, u64> {
    let world = World::new(seed).await;
    let tools =
        (0..=world.random.number_below(3)).map(|n| tool(Arc::clone(&world), (n % 2) as usize));
    futures_util::future::join_all(tools).await;
    judge(&world).await;
    leaves_nothing(&world).await;
    let told = std::mem::take(&mut *world.told.lock().unwrap());
    told.counts
}

#[test]
fn tools_that_die_and_come_back_make_whole_files() {
    let (total, counts) = schedules(schedule);
    println!("model_uploads: {total} schedules: {counts:?}");
}
