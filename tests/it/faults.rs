//! Faults for random schedules: one memory store, and a faulty way to it for each gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::store::{
    Kind, Limits, Store,
    faulty::{Call, Fault, Faulty, Op},
    memory::Memory,
};

/// What can go wrong between the gateways of one run and their store.
pub struct Chaos {
    truth: Arc<dyn Store>,
    random: Clock,
    /// One call in that many fails.
    one_in: u64,
    stopped: AtomicBool,
}

pub fn faulty_memory(seed: u64, limits: Limits) -> (Arc<dyn Store>, Arc<Chaos>) {
    let random = Clock::seeded(seed ^ 0xfa17);
    let truth: Arc<dyn Store> = Arc::new(Memory::with_limits(limits, Clock::seeded(seed ^ 0x57)));
    let one_in = [6, 12, 40, u64::MAX][random.below(4) as usize];
    (Arc::clone(&truth), Arc::new(Chaos { truth, random, one_in, stopped: AtomicBool::new(false) }))
}

impl Chaos {
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// A gateway's way to the store. Once `dead` is set nothing of it gets through any more, as after a kill.
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
        let delay = self.random.jitter(Duration::from_millis(if self.random.below(30) == 0 { 3000 } else { 60 }));
        if self.random.below(self.one_in) != 0 {
            return (delay, None);
        }
        let conditional = call.op == Op::Put && call.key.ends_with(".json");
        let fault = match self.random.below(6) {
            0 | 1 => Fault::After,
            2 => Fault::Before(Kind::Unavailable),
            3 => Fault::Before(Kind::SlowDown),
            4 if conditional => Fault::Before(Kind::Conflict),
            _ => Fault::TornBody(self.random.below(1500)),
        };
        (delay, Some(fault))
    }
}
