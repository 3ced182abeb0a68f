//! The layout `content` while it is swept: whatever runs at the same time, and whatever fails, no
//! object loses a blob, and none is left over. The clock is tokio's, paused.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ratchet::clock::Clock;
use ratchet::content::{Content, SweepLimits, Swept};
use ratchet::names::{AccountName, Bucket, Key};
use ratchet::store::{
    Attributes, ByteSpan, ChosenPart, Completion, CopyOptions, CopySource, DeleteOptions, ETag,
    Error, GetOptions, GetRange, Kind, Limits, ListOptions, PartNumber, PartTarget, PutMode, Store,
    UploadTarget,
    faulty::{Call, Fault, Faulty},
    memory::Memory,
};

const PART: usize = 64;
const KEEP_UNUSED: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);

/// One store, and the gateways on it.
struct Home {
    memory: Arc<dyn Store>,
    clock: Clock,
    bucket: Bucket,
    account: AccountName,
}

impl Home {
    async fn new(seed: u64) -> Self {
        let clock = Clock::seeded(seed);
        let limits = Limits { min_part_bytes: PART as u64, ..Limits::S3 };
        let memory = Arc::new(Memory::with_limits(limits, clock.clone()));
        let (bucket, account) = (Bucket::from("b"), AccountName::from("home"));
        for name in [&bucket, &state()] {
            memory.create_bucket(name).await.unwrap();
        }
        Self { memory, clock, bucket, account }
    }

    fn gateway(&self) -> Content {
        Content::new(Arc::clone(&self.memory), state(), self.clock.clone())
    }

    fn gateway_with(
        &self,
        hook: impl Fn(Call<'_>) -> (Duration, Option<Fault>) + Send + Sync + 'static,
    ) -> Content {
        let store = Faulty::new(Arc::clone(&self.memory), self.clock.clone(), Box::new(hook));
        Content::new(Arc::new(store), state(), self.clock.clone())
    }

    /// An upload of parts, each with the byte that it is made of. A part that `known` has as
    /// another object's is copied from there, if that is possible.
    async fn upload(
        &self,
        gateway: &Content,
        key: &Key,
        parts: &[(u8, Option<Known>)],
    ) -> Result<(), Error> {
        let (bucket, attributes) = (&self.bucket, Attributes::default());
        let begun = gateway.create_content_upload(bucket, key, &attributes, &self.account).await?;
        let id = begun.unwrap();
        let upload = UploadTarget { bucket, key, upload: &id };
        let mut chosen = Vec::new();
        for (number, (byte, known)) in (1..).zip(parts) {
            let number = PartNumber::new(number).unwrap();
            let part = PartTarget { upload, number };
            let mut etag = None;
            if let Some(known) = known {
                etag = self.copy_known(gateway, known, part).await?;
            }
            let etag = match etag {
                Some(etag) => etag,
                None => {
                    let body = Bytes::from(vec![*byte; PART]);
                    gateway.put_part(part, body.into(), None.into()).await?.etag
                }
            };
            chosen.push(ChosenPart { number, etag, sha256: None });
        }
        let completion = Completion::of((parts.len() * PART) as u64);
        gateway.complete(upload, &chosen, &completion).await.map(|_| ())
    }

    async fn copy_known(
        &self,
        gateway: &Content,
        Known { key, etag, at }: &Known,
        part: PartTarget<'_>,
    ) -> Result<Option<ETag>, Error> {
        let bucket = &self.bucket;
        let source = CopySource { bucket, key, version: None, etag, part_etag: None };
        let first = (at * PART) as u64;
        let span = ByteSpan { first, end: first + PART as u64 };
        match gateway.copy_part(source, Some(span), part).await {
            Ok(copied) => Ok(copied.map(|copied| copied.etag)),
            Err(error) if is_change(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn copy(&self, gateway: &Content, from: &Key, to: &Key) -> Result<bool, Error> {
        let bucket = &self.bucket;
        let etag = match gateway.head(bucket, from).await {
            Ok(head) => head.etag,
            Err(error) if is_change(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let source = CopySource { bucket, key: from, version: None, etag: &etag, part_etag: None };
        let options = CopyOptions {
            mode: PutMode::Overwrite,
            attributes: Attributes::default(),
            account: Some(self.account.clone()),
        };
        match gateway.copy(source, bucket, to, options).await {
            Ok(copied) => Ok(copied.is_some()),
            Err(error) if is_change(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The bytes of the parts of an object. None: there is none.
    async fn read(&self, gateway: &Content, key: &Key) -> Result<Option<Vec<u8>>, Error> {
        let options = GetOptions::default();
        let body = match gateway.get(&self.bucket, key, GetRange::Whole, options).await {
            Ok((_, body)) => body,
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = body.collect(1 << 20).await?;
        Ok(Some(bytes.chunks(PART).map(|part| part[0]).collect()))
    }

    async fn delete(&self, gateway: &Content, key: &Key) -> Result<(), Error> {
        gateway.delete(&self.bucket, key, &DeleteOptions::default()).await.map(|_| ())
    }

    async fn sweep(&self, gateway: &Content) -> Result<Swept, Error> {
        let limits = SweepLimits {
            now: self.clock.wall(),
            keep_unused: KEEP_UNUSED,
            open_uploads: HashSet::new(),
            dry: false,
        };
        gateway.sweep(&self.account, &limits).await
    }

    async fn keys(&self, store: &dyn Store, bucket: &Bucket) -> Vec<Key> {
        let (mut keys, mut options) = (Vec::new(), ListOptions::default());
        loop {
            let page = store.list(bucket, &options).await.unwrap();
            keys.extend(page.objects.into_iter().map(|listed| listed.key));
            let Some(next) = page.next else { return keys };
            options.continue_at(next);
        }
    }

    /// Asserts that every object can be read, and that nothing is left once all are deleted.
    async fn assert_whole_and_swept(&self, expected: impl Fn(&Key, &[u8]) -> bool, what: &str) {
        let gateway = self.gateway();
        for _ in 0..3 {
            self.clock.pause(2 * DAY).await;
            self.sweep(&gateway).await.unwrap();
        }
        for key in self.keys(&gateway, &self.bucket).await {
            let read = self.read(&self.gateway(), &key).await;
            let parts = read.unwrap_or_else(|error| panic!("{what}: {key} dangles: {error}"));
            assert!(expected(&key, &parts.clone().unwrap()), "{what}: {key} is {parts:?}");
            self.delete(&gateway, &key).await.unwrap();
        }
        for _ in 0..3 {
            self.clock.pause(2 * DAY).await;
            self.sweep(&gateway).await.unwrap();
        }
        let left = self.keys(&*self.memory, &state()).await;
        assert!(left.is_empty(), "{what}: leaked {left:?}");
    }
}

/// A part of an object, of which its reader knows the ETag.
#[derive(Clone, Debug)]
struct Known {
    key: Key,
    etag: ETag,
    at: usize,
}

fn state() -> Bucket {
    Bucket::from("ratchet-state")
}

/// Another writer changed the object.
fn is_change(error: &Error) -> bool {
    matches!(error.kind(), Kind::Precondition | Kind::NotFound | Kind::Range)
}

#[derive(Clone, Copy, Debug)]
enum Running {
    Upload,
    KnownPart,
    Copy,
}

#[tokio::test(start_paused = true)]
async fn a_sweep_at_every_call_of_an_operation_loses_no_blob_and_leaves_none() {
    let mut interleavings = 0;
    for running in [Running::Upload, Running::KnownPart, Running::Copy] {
        for deletes_source in [false, true] {
            for call in 0.. {
                let home = Home::new(call).await;
                if !sweep_at_call(&home, running, deletes_source, call).await {
                    assert!(call > 5, "{running:?} has only {call} calls");
                    break;
                }
                interleavings += 1;
            }
        }
    }
    println!("{interleavings} interleavings");
}

/// Runs an operation whose call of this number waits while the source of its blobs is deleted and
/// swept. False: it has fewer calls.
async fn sweep_at_call(home: &Home, running: Running, deletes_source: bool, call: u64) -> bool {
    let plain = home.gateway();
    let (source, target) = (Key::from("source"), Key::from("target"));
    home.upload(&plain, &source, &[(1, None), (2, None)]).await.unwrap();
    home.upload(&plain, &target, &[(9, None)]).await.unwrap();
    let etag = plain.head(&home.bucket, &source).await.unwrap().etag;
    let (calls, waited) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    let reached = Arc::clone(&waited);
    let slow = home.gateway_with(move |_| {
        let this = calls.fetch_add(1, Ordering::Relaxed);
        if this != call {
            return (Duration::ZERO, None);
        }
        reached.store(true, Ordering::Relaxed);
        (4 * KEEP_UNUSED, None)
    });
    let known = Known { key: source.clone(), etag, at: 1 };
    let operation = async {
        match running {
            Running::Upload => home.upload(&slow, &target, &[(3, None), (4, None)]).await,
            Running::KnownPart => home.upload(&slow, &target, &[(3, None), (2, Some(known))]).await,
            Running::Copy => home.copy(&slow, &source, &target).await.map(|_| ()),
        }
    };
    let sweeps = async {
        home.clock.pause(KEEP_UNUSED / 4).await;
        if deletes_source {
            home.delete(&plain, &source).await.unwrap();
        }
        for _ in 0..3 {
            home.sweep(&plain).await.unwrap();
            home.clock.pause(KEEP_UNUSED).await;
        }
    };
    let (done, ()) = tokio::join!(operation, sweeps);
    let what = format!("{running:?}, deleted: {deletes_source}, call {call}");
    // Its source can be gone before it looks at it, and nothing else can stop it.
    done.unwrap_or_else(|error| panic!("{what}: {error}"));
    let expected = |key: &Key, parts: &[u8]| match running {
        _ if *key == source => parts == [1, 2],
        Running::Upload => parts == [3, 4],
        Running::KnownPart => parts == [3, 2],
        Running::Copy => parts == [1, 2] || parts == [9],
    };
    home.assert_whole_and_swept(expected, &what).await;
    waited.load(Ordering::Relaxed)
}

/// Calls of the store that take 20 ms each.
const CALL: Duration = Duration::from_millis(20);

#[tokio::test(start_paused = true)]
async fn a_page_of_1000_recipes_costs_two_seconds_at_first_and_one_call_later() {
    let home = Home::new(1).await;
    for number in 0..1000 {
        let key = Key::from(format!("k{number:04}"));
        home.upload(&home.gateway(), &key, &[(1, None)]).await.unwrap();
    }
    let gateway = home.gateway_with(|_| (CALL, None));
    for max in [Duration::from_secs(2), CALL] {
        let started = home.clock.monotonic();
        let page = gateway.list(&home.bucket, &ListOptions::default()).await.unwrap();
        let took = home.clock.monotonic() - started;
        println!("content: 1000 recipes listed in {took:?} at 20 ms a call");
        assert!(took <= max, "{took:?}");
        assert_eq!(page.objects.len(), 1000);
        assert!(page.objects.iter().all(|listed| listed.size_bytes == PART as u64));
    }
}

/// `RATCHET_BLOBS` says how many blobs there are. Only then is the memory compared: the test must
/// run alone for that.
#[tokio::test(start_paused = true)]
async fn a_sweep_of_many_blobs_needs_less_than_300_bytes_for_each() {
    let blobs: usize = number("RATCHET_BLOBS", 20_000);
    let home = Home::new(1).await;
    let gateway = home.gateway();
    for object in 0..blobs / 1000 {
        let parts: Vec<_> = (0..1000).map(|at| ((at + object) as u8, None)).collect();
        let key = Key::from(format!("k{}", object % 2));
        home.upload(&gateway, &key, &parts).await.unwrap();
    }
    let before = peak_bytes(true);
    let (mut swept, mut rounds) = (Swept::default(), 0);
    while swept.blobs < (blobs - 2000) as u64 {
        home.clock.pause(KEEP_UNUSED).await;
        let more = home.sweep(&gateway).await.unwrap();
        (swept.blobs, swept.recipes) = (swept.blobs + more.blobs, swept.recipes + more.recipes);
        rounds += 1;
        assert!(rounds <= 3, "{swept:?}");
    }
    let used = peak_bytes(false).saturating_sub(before);
    println!("content: {blobs} blobs, {} swept with {} MiB of memory", swept.blobs, used >> 20);
    let is_alone = std::env::var("RATCHET_BLOBS").is_ok();
    assert!(!is_alone || used < 300 * blobs, "{used} bytes");
}

/// The most memory that this process had; with `reset` counted from now on.
fn peak_bytes(reset: bool) -> usize {
    if reset {
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |text| text.parse().expect("it is a number"))
}

/// Everything that anyone tried to put at each key.
type Attempts = Mutex<BTreeMap<Key, Vec<Vec<u8>>>>;

/// Several gateways whose calls are slow, fail, or lose their responses, and two that sweep.
/// `RATCHET_SCHEDULES` says how many schedules are run, `RATCHET_SEED` which is the first.
#[tokio::test(start_paused = true)]
async fn no_schedule_of_several_gateways_and_sweeps_loses_or_leaks_a_blob() {
    let (first, count) = (number("RATCHET_SEED", 1), number("RATCHET_SCHEDULES", 100));
    let (mut objects, mut known, mut failed, mut blobs) = (0, 0, 0, 0);
    for seed in first..first + count {
        let home = Home::new(seed).await;
        let attempts = Attempts::default();
        let stop = AtomicBool::new(false);
        let worker = |number: u64| work(&home, &attempts, seed * 100 + number);
        let working = async {
            let counts = tokio::join!(worker(1), worker(2), worker(3), worker(4));
            stop.store(true, Ordering::Relaxed);
            counts
        };
        let sweeping = |number| sweep_until(&home, &stop, seed * 100 + number);
        let (counts, swept, more) = tokio::join!(working, sweeping(8), sweeping(9));
        for (made, took, errors) in [counts.0, counts.1, counts.2, counts.3] {
            (objects, known, failed) = (objects + made, known + took, failed + errors);
        }
        blobs += swept + more;
        let tried = attempts.lock().unwrap().clone();
        let expected = |key: &Key, parts: &[u8]| tried[key].iter().any(|tried| tried == parts);
        home.assert_whole_and_swept(expected, &format!("seed {seed}")).await;
    }
    println!(
        "content: {count} schedules: {objects} objects made, {known} of them with blobs of others, {failed} \
         calls failed, {blobs} blobs swept meanwhile; 0 dangling, 0 leaked"
    );
    assert!(objects > count && known > 0 && failed > 0 && blobs > 0);
}

/// A gateway whose calls take up to a second; of a hundred, two fail and two lose their response.
fn unreliable(home: &Home, random: Clock) -> Content {
    home.gateway_with(move |_| {
        let delay = Duration::from_millis(random.number_below(1000));
        let fault = match random.number_below(100) {
            0 | 1 => Some(Fault::Before(Kind::Unavailable)),
            2 | 3 => Some(Fault::After),
            _ => None,
        };
        (delay, fault)
    })
}

/// Returns how many objects were made, how many with blobs of others, and how many tries failed.
async fn work(home: &Home, attempts: &Attempts, seed: u64) -> (u64, u64, u64) {
    let random = Clock::seeded(seed);
    let (gateway, reliable) = (unreliable(home, random.clone()), home.gateway());
    let (mut made, mut shared, mut failed) = (0, 0, 0);
    for _ in 0..8 {
        let some_key = || Key::from(format!("k{}", random.number_below(4)));
        let (key, other) = (some_key(), some_key());
        home.clock.pause(random.jitter(KEEP_UNUSED)).await;
        let source = home.read(&reliable, &other).await.unwrap();
        let tried = |parts: Vec<u8>| {
            attempts.lock().unwrap().entry(key.clone()).or_default().push(parts);
        };
        let outcome = match (random.number_below(8), source) {
            (0, _) => home.delete(&gateway, &key).await.map(|()| (0, 0)),
            (1 | 2, Some(parts)) => {
                // The source may be replaced before it is copied: all of its contents count.
                let of_other = attempts.lock().unwrap().get(&other).cloned().unwrap_or_default();
                of_other.into_iter().chain([parts]).for_each(tried);
                let copied = home.copy(&gateway, &other, &key).await;
                copied.map(|copied| (u64::from(copied), u64::from(copied)))
            }
            (3..=5, Some(parts)) => {
                let etag = reliable.head(&home.bucket, &other).await.map(|head| head.etag);
                let Ok(etag) = etag else { continue };
                let at = usize::try_from(random.number_below(parts.len() as u64)).unwrap();
                let known = Known { key: other, etag, at };
                let now = home.read(&reliable, &known.key).await.unwrap();
                if now.as_ref() != Some(&parts) {
                    continue;
                }
                let new = [(parts[at], Some(known)), (byte(&random), None)];
                tried(new.iter().map(|(byte, _)| *byte).collect());
                home.upload(&gateway, &key, &new).await.map(|()| (1, 1))
            }
            _ => {
                let new = [(byte(&random), None), (byte(&random), None)];
                tried(new.iter().map(|(byte, _)| *byte).collect());
                home.upload(&gateway, &key, &new).await.map(|()| (1, 0))
            }
        };
        match outcome {
            Ok((objects, with_others)) => (made, shared) = (made + objects, shared + with_others),
            Err(_) => failed += 1,
        }
    }
    (made, shared, failed)
}

fn byte(random: &Clock) -> u8 {
    u8::try_from(random.number_below(6)).unwrap()
}

/// Returns how many blobs were swept.
async fn sweep_until(home: &Home, stop: &AtomicBool, seed: u64) -> u64 {
    let random = Clock::seeded(seed);
    let gateway = unreliable(home, random.clone());
    let mut blobs = 0;
    while !stop.load(Ordering::Relaxed) {
        blobs += home.sweep(&gateway).await.map_or(0, |swept| swept.blobs);
        home.clock.pause(random.jitter(KEEP_UNUSED / 4)).await;
    }
    blobs
}
