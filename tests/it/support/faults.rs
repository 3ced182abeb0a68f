//! Random schedules: gateways whose connection to one memory store fails at random, and the loop
//! that runs a schedule for many seeds.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use ratchet::clock::Clock;
use ratchet::content::Content;
use ratchet::store::{
    Body, BodyError, Kind, Limits, ListOptions, Store,
    faulty::{Call, Fault, Faulty, Op},
    memory::Memory,
};
use ratchet::upload::{Settings, Uploads};

/// The faults between the gateways of one run and their store.
pub struct StoreFaults {
    /// The store itself, without faults.
    store: Arc<dyn Store>,
    random: Clock,
    /// One in so many calls fails.
    one_in: u64,
    stopped: AtomicBool,
    /// Whether the gateways keep their uploads as blobs.
    in_blobs: bool,
}

thread_local! {
    /// The store of the run on this thread, to check that nothing keeps it when the run is over.
    static STORE: RefCell<Option<Weak<dyn Store>>> = const { RefCell::new(None) };
}

/// The store without faults, as a gateway sees it, and the one with faults. With odd seeds all
/// uploads have the layout `content`.
pub fn faulty_store(seed: u64, limits: Limits) -> (Arc<dyn Store>, Arc<StoreFaults>) {
    let random = Clock::seeded(seed ^ 0xfa17);
    let store: Arc<dyn Store> = Arc::new(Memory::with_limits(limits, Clock::seeded(seed ^ 0x57)));
    STORE.replace(Some(Arc::downgrade(&store)));
    let one_in = [6, 12, 40, u64::MAX][random.number_below(4) as usize];
    let (stopped, in_blobs) = (AtomicBool::new(false), seed % 2 == 1);
    let faults = Arc::new(StoreFaults { store, random, one_in, stopped, in_blobs });
    (faults.layout(Arc::clone(&faults.store)), faults)
}

impl StoreFaults {
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// The store as one gateway reaches it. Once `killed` is set every call fails, as after a kill.
    pub fn gateway_store(self: &Arc<Self>, killed: Arc<AtomicBool>) -> Arc<dyn Store> {
        let faults = Arc::clone(self);
        let hook = move |call: Call<'_>| {
            if killed.load(Ordering::SeqCst) {
                return (Duration::ZERO, Some(Fault::Before(Kind::Denied)));
            }
            faults.for_call(call)
        };
        let store = Faulty::new(Arc::clone(&self.store), self.random.clone(), Box::new(hook));
        self.layout(Arc::new(store))
    }

    /// What sweeps blobs, if there are any.
    pub fn content(&self) -> Option<Arc<Content>> {
        self.in_blobs.then(|| Arc::new(self.content_on(Arc::clone(&self.store))))
    }

    fn layout(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        if self.in_blobs { Arc::new(self.content_on(store)) } else { store }
    }

    fn content_on(&self, store: Arc<dyn Store>) -> Content {
        let state_bucket = Settings::default().state_bucket;
        Content::new(store, state_bucket, self.random.clone()).for_every_upload("home".into())
    }

    fn for_call(&self, call: Call<'_>) -> (Duration, Option<Fault>) {
        if self.stopped.load(Ordering::SeqCst) {
            return (Duration::ZERO, None);
        }
        let delay =
            self.random.jitter(Duration::from_millis(if self.random.number_below(30) == 0 {
                3000
            } else {
                60
            }));
        if self.random.number_below(self.one_in) != 0 {
            return (delay, None);
        }
        let conditional = call.op == Op::Put && call.key.ends_with(".json");
        let fault = match self.random.number_below(8) {
            0 | 1 => Fault::After,
            2 => Fault::Before(Kind::Unavailable),
            3 => Fault::Before(Kind::SlowDown),
            4 if conditional => Fault::Before(Kind::Conflict),
            5 => Fault::FlippedBit(self.random.number_below(1500)),
            6 if call.op == Op::List => Fault::Stale,
            _ => Fault::TornBody(self.random.number_below(1500)),
        };
        (delay, Some(fault))
    }
}

/// One gateway, and the switch that cuts it off from the store.
struct Gateway {
    uploads: Uploads,
    killed: Arc<AtomicBool>,
}

/// One to three gateways on one store.
pub struct Gateways {
    faults: Arc<StoreFaults>,
    random: Clock,
    settings: Settings,
    all: Vec<Mutex<Gateway>>,
}

impl Gateways {
    pub fn start(faults: Arc<StoreFaults>, random: Clock, settings: Settings) -> Self {
        let mut gateways = Self { faults, random, settings, all: Vec::new() };
        let count = 1 + gateways.random.number_below(3);
        gateways.all = (0..count).map(|_| Mutex::new(gateways.fresh())).collect();
        gateways
    }

    fn fresh(&self) -> Gateway {
        let killed = Arc::new(AtomicBool::new(false));
        let store = self.faults.gateway_store(Arc::clone(&killed));
        let clock = Clock::seeded(self.random.number_below(u64::MAX));
        Gateway { uploads: Uploads::new(store, clock, self.settings.clone()), killed }
    }

    fn any(&self) -> &Mutex<Gateway> {
        &self.all[self.random.number_below(self.all.len() as u64) as usize]
    }

    /// One of the gateways, as a load balancer chooses.
    pub fn uploads(&self) -> Uploads {
        self.any().lock().unwrap().uploads.clone()
    }

    /// Kills one of the gateways and starts another one in its place.
    pub fn kill_one(&self) {
        let mut gateway = self.any().lock().unwrap();
        gateway.killed.store(true, Ordering::SeqCst);
        *gateway = self.fresh();
    }
}

/// Runs one schedule for each seed, each with a paused clock of its own. `RATCHET_SCHEDULES` is the
/// number of seeds and `RATCHET_SEED` the first; without a number only that seed runs. Returns the
/// number of schedules and the sum of their counts.
pub fn run_schedules<F>(schedule: impl Fn(u64) -> F) -> (u64, BTreeMap<String, u64>)
where
    F: Future<Output = BTreeMap<String, u64>>,
{
    let number = |name: &str| {
        std::env::var(name).ok().map(|text| text.parse::<u64>().expect("the variable is a number"))
    };
    let first = number("RATCHET_SEED");
    let total = number("RATCHET_SCHEDULES").unwrap_or(if first.is_some() { 1 } else { 2000 });
    let first = first.unwrap_or(0);
    let mut total_counts: BTreeMap<String, u64> = BTreeMap::new();
    for seed in first..first + total {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(schedule(seed))
        }));
        drop(runtime);
        let leaked = STORE.take().and_then(|store| store.upgrade());
        match run {
            Ok(_) if leaked.is_some() => {
                panic!("something still holds the store after the run: RATCHET_SEED={seed}")
            }
            Ok(counts) => {
                counts.into_iter().for_each(|(what, n)| *total_counts.entry(what).or_default() += n)
            }
            Err(panic) => {
                eprintln!("failed with RATCHET_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    (total, total_counts)
}

/// A body as it arrives over a network: in frames with pauses between them. `damage` may change the
/// frames.
pub fn arriving_body(
    clock: &Clock,
    bytes: &Bytes,
    pause: Duration,
    damage: impl FnOnce(&mut Vec<Frame>),
) -> Body {
    let mut frames: Vec<Frame> =
        bytes.chunks(300).map(|frame| Ok(Bytes::copy_from_slice(frame))).collect();
    damage(&mut frames);
    let clock = clock.clone();
    let frames = stream::iter(frames).then(move |frame| {
        let clock = clock.clone();
        async move {
            clock.pause(clock.jitter(pause)).await;
            frame
        }
    });
    Body::new(bytes.len() as u64, frames)
}

pub type Frame = Result<Bytes, BodyError>;

/// Asserts that the state bucket holds nothing but leases.
pub async fn assert_no_record_is_left(store: &Arc<dyn Store>, seed: u64) {
    let state = Settings::default().state_bucket.as_str().into();
    let left = store.list(&state, &ListOptions::default()).await.unwrap().objects;
    let left: Vec<_> = left
        .iter()
        .map(|listed| listed.key.as_str())
        .filter(|key| !key.starts_with("v1/leases/"))
        .collect();
    assert!(left.is_empty(), "seed {seed}: {left:?} is left");
}
