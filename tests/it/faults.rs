//! Faults for random schedules: one memory store, and a faulty way to it for each gateway.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use ratchet::clock::Clock;
use ratchet::store::{
    Body, BodyError, Kind, Limits, ListOptions, Store,
    faulty::{Call, Fault, Faulty, Op},
    memory::Memory,
};
use ratchet::upload::{Settings, Uploads};

/// What can go wrong between the gateways of one run and their store.
pub struct Chaos {
    truth: Arc<dyn Store>,
    random: Clock,
    /// One call in that many fails.
    one_in: u64,
    stopped: AtomicBool,
}

thread_local! {
    /// The store of the run that this thread is at, to see that nothing holds it when the run is
    /// over.
    static STORE: RefCell<Option<Weak<dyn Store>>> = const { RefCell::new(None) };
}

pub fn faulty_memory(seed: u64, limits: Limits) -> (Arc<dyn Store>, Arc<Chaos>) {
    let random = Clock::seeded(seed ^ 0xfa17);
    let truth: Arc<dyn Store> = Arc::new(Memory::with_limits(limits, Clock::seeded(seed ^ 0x57)));
    STORE.replace(Some(Arc::downgrade(&truth)));
    let one_in = [6, 12, 40, u64::MAX][random.number_below(4) as usize];
    (Arc::clone(&truth), Arc::new(Chaos { truth, random, one_in, stopped: AtomicBool::new(false) }))
}

impl Chaos {
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// A gateway's way to the store. Once `dead` is set nothing of it gets through any more, as
    /// after a kill.
    pub fn gateway_store(self: &Arc<Self>, dead: Arc<AtomicBool>) -> Arc<dyn Store> {
        let chaos = Arc::clone(self);
        let hook = move |call: Call<'_>| {
            if dead.load(Ordering::SeqCst) {
                return (Duration::ZERO, Some(Fault::Before(Kind::Denied)));
            }
            chaos.fate(call)
        };
        Arc::new(Faulty::new(Arc::clone(&self.truth), self.random.clone(), Box::new(hook)))
    }

    fn fate(&self, call: Call<'_>) -> (Duration, Option<Fault>) {
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

/// A gateway process: its uploads, and the switch that kills its way to the store.
struct Gateway {
    uploads: Uploads,
    dead: Arc<AtomicBool>,
}

/// One to three gateways on one store.
pub struct Gateways {
    chaos: Arc<Chaos>,
    random: Clock,
    settings: Settings,
    all: Vec<Mutex<Gateway>>,
}

impl Gateways {
    pub fn start(chaos: Arc<Chaos>, random: Clock, settings: Settings) -> Self {
        let mut gateways = Self { chaos, random, settings, all: Vec::new() };
        let count = 1 + gateways.random.number_below(3);
        gateways.all = (0..count).map(|_| Mutex::new(gateways.fresh())).collect();
        gateways
    }

    fn fresh(&self) -> Gateway {
        let dead = Arc::new(AtomicBool::new(false));
        let store = self.chaos.gateway_store(Arc::clone(&dead));
        let clock = Clock::seeded(self.random.number_below(u64::MAX));
        Gateway { uploads: Uploads::new(store, clock, self.settings.clone()), dead }
    }

    fn any(&self) -> &Mutex<Gateway> {
        &self.all[self.random.number_below(self.all.len() as u64) as usize]
    }

    /// As a load balancer chooses.
    pub fn uploads(&self) -> Uploads {
        self.any().lock().unwrap().uploads.clone()
    }

    /// Nothing of one of them gets through any more; another one takes its place.
    pub fn crash(&self) {
        let mut gateway = self.any().lock().unwrap();
        gateway.dead.store(true, Ordering::SeqCst);
        *gateway = self.fresh();
    }
}

/// Runs schedules, each from one seed and on a paused clock of its own: `RATCHET_SCHEDULES` for how
/// many, from `RATCHET_SEED` on; that one alone where no count is given. The figures that they
/// count, added up.
pub fn schedules<F>(schedule: impl Fn(u64) -> F) -> (u64, BTreeMap<String, u64>)
where
    F: Future<Output = BTreeMap<String, u64>>,
{
    let number = |name: &str| {
        std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"))
    };
    let first = number("RATCHET_SEED");
    let total = number("RATCHET_SCHEDULES").unwrap_or(if first.is_some() { 1 } else { 2000 });
    let first = first.unwrap_or(0);
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
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
        let left = STORE.take().and_then(|store| store.upgrade());
        match run {
            Ok(_) if left.is_some() => {
                panic!("something outlives its gateways: RATCHET_SEED={seed}")
            }
            Ok(counts) => {
                counts.into_iter().for_each(|(what, n)| *counted.entry(what).or_default() += n)
            }
            Err(panic) => {
                eprintln!("failed with RATCHET_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    (total, counted)
}

/// A body as a network brings it: in frames, with pauses, and ended by what `fate` does to the
/// frames.
pub fn arriving(
    clock: &Clock,
    bytes: &Bytes,
    pause: Duration,
    fate: impl FnOnce(&mut Vec<Frame>),
) -> Body {
    let mut frames: Vec<Frame> =
        bytes.chunks(300).map(|frame| Ok(Bytes::copy_from_slice(frame))).collect();
    fate(&mut frames);
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

/// After the last sweep the state bucket holds leases only.
pub async fn no_record_is_left(truth: &Arc<dyn Store>, seed: u64) {
    let state = Settings::default().state_bucket.as_str().into();
    let left = truth.list(&state, &ListOptions::default()).await.unwrap().objects;
    let left: Vec<_> = left
        .iter()
        .map(|listed| &listed.key.0)
        .filter(|key| !key.starts_with("v1/leases/"))
        .collect();
    assert!(left.is_empty(), "seed {seed}: {left:?} is left");
}
