//! Time and randomness as values that are passed in.
//!
//! The only file that reads a clock or the system's entropy, so that a test can replay a run from
//! its seed and pause its time. Guarantees: ids are 128 random bits in lower-case hex; `monotonic`
//! never decreases. It does not know what the time is used for. An age on which several gateways
//! act is never computed from this clock but from the store's timestamps
//! (docs/architecture.md#ages).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time and randomness of one process or one simulated gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock {
    started: tokio::time::Instant,
    /// The wall-clock time at `started`; a paused tokio clock therefore stops the wall clock too.
    wall_start: Arc<Mutex<SystemTime>>,
    follow_system: bool,
    random: Arc<Mutex<fastrand::Rng>>,
}

impl Clock {
    /// The machine's clock and entropy.
    pub fn system() -> Self {
        Self {
            started: tokio::time::Instant::now(),
            wall_start: Arc::new(Mutex::new(SystemTime::now())),
            follow_system: true,
            random: Arc::new(Mutex::new(fastrand::Rng::with_seed(system_seed()))),
        }
    }

    /// A clock for tests: the same seed gives the same ids and random numbers, and its time is
    /// tokio's, paused or not.
    pub fn seeded(seed: u64) -> Self {
        Self {
            started: tokio::time::Instant::now(),
            wall_start: Arc::new(Mutex::new(UNIX_EPOCH + Duration::from_secs(1_700_000_000))),
            follow_system: false,
            random: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
        }
    }

    /// The time since this clock was created.
    pub fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    /// The wall-clock time, for signatures, log lines and display only.
    pub fn wall(&self) -> SystemTime {
        let start = || *self.wall_start.lock().unwrap_or_else(PoisonError::into_inner);
        if self.follow_system { SystemTime::now() } else { start() + self.started.elapsed() }
    }

    /// Sets the wall-clock time of a seeded clock and its clones, as an administrator or NTP sets
    /// a machine's. Neither `monotonic` nor the machine's own clock changes.
    pub fn set_wall(&self, wall: SystemTime) {
        let start = wall.checked_sub(self.started.elapsed()).unwrap_or(UNIX_EPOCH);
        *self.wall_start.lock().unwrap_or_else(PoisonError::into_inner) = start;
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn unix_seconds(&self) -> u64 {
        self.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// The time of the day where this machine is, since midnight, for what people plan by it.
    pub fn time_of_day(&self) -> Duration {
        let Ok(now) = jiff::Timestamp::try_from(self.wall()) else { return Duration::ZERO };
        let local = now.to_zoned_datetime(jiff::tz::TimeZone::system());
        let number = |part: i8| u32::try_from(part).unwrap_or(0);
        let hours = Duration::from_secs(3600) * number(local.hour());
        let minutes = Duration::from_secs(60) * number(local.minute());
        let millis = u64::try_from(local.millisecond()).unwrap_or(0);
        let seconds = Duration::from_secs(1) * number(local.second());
        hours + minutes + seconds + Duration::from_millis(millis)
    }

    /// Returns after `pause`. **Cancel**: safe, no state is left behind.
    pub async fn pause(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }

    /// 128 random bits as 32 lower-case hex digits, for ids, write ids and upload tags.
    pub fn random_id(&self) -> String {
        if self.follow_system {
            let mut bytes = [0_u8; 16];
            getrandom::fill(&mut bytes)
                .expect("the kernel's entropy source answers once the machine has booted");
            return format!("{:032x}", u128::from_le_bytes(bytes));
        }
        format!("{:032x}", self.random.lock().unwrap_or_else(PoisonError::into_inner).u128(..))
    }

    /// A random duration, uniform on `[0, max]` in whole milliseconds: full jitter for back-off.
    pub fn jitter(&self, max: Duration) -> Duration {
        let max_ms = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
        let ms = self.random.lock().unwrap_or_else(PoisonError::into_inner).u64(0..=max_ms);
        Duration::from_millis(ms)
    }

    /// A random number, uniform on `[0, bound)`; 0 where `bound` is 0.
    pub fn number_below(&self, bound: u64) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).u64(0..bound.max(1))
    }
}

/// A time in the form `2009-10-12T17:50:30.000Z`.
pub fn timestamp(time: std::time::SystemTime) -> String {
    let seconds = time.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let millis =
        time.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_millis());
    let date =
        httpdate::HttpDate::from(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
            .to_string();
    // `Sun, 06 Nov 1994 08:49:37 GMT`: all fields have fixed positions.
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = MONTHS.find(&date[8..11]).map_or(1, |at| at / 3 + 1);
    format!("{}-{month:02}-{}T{}.{millis:03}Z", &date[12..16], &date[5..7], &date[17..25])
}

fn system_seed() -> u64 {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes)
        .expect("the kernel's entropy source answers once the machine has booted");
    u64::from_le_bytes(bytes)
}
