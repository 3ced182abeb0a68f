//! What a command has done so far, what is left to do, and how a person sees it.
//!
//! Guarantees: a byte that needed no transfer is never counted as moved; rate and remaining time
//! come from the bytes that went over the wire. All is shown on stderr: as rows at the end of a
//! terminal, which are erased at the end, and without a terminal as a line every 10 s. It knows no
//! gateway and no file: others tell it what they do.

mod human;
mod rate;
mod screen;
mod tally;
mod text;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::clock::Clock;

use rate::Rate;
use screen::{Screen, Shown};
use tally::{OfFile, Tally};
use text::{Away, View};

pub use human::{bytes as human_bytes, time as human_time};
pub use screen::for_terminal;

/// Prints a line for the user.
pub(super) type Printer = Arc<dyn Fn(&str) + Send + Sync>;

/// How often a terminal is drawn.
const TICK: Duration = Duration::from_millis(200);
/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one command, or of one file of it.
pub struct Progress {
    shared: Arc<Shared>,
    /// What is counted for one file alone; None: this is the whole command.
    file: Option<Mutex<OfFile>>,
}

struct Shared {
    clock: Clock,
    /// Bytes of files that went over the wire, those of repeated requests too.
    wire_bytes: AtomicU64,
    state: Mutex<State>,
    screen: Mutex<Screen>,
}

#[derive(Default)]
struct State {
    /// Whether each file is named.
    names_files: bool,
    tally: Tally,
    rate: Rate,
    /// The files at work, in the order in which they were begun, each with a number of its own.
    at_work: Vec<(u64, String)>,
    files_begun: u64,
    away: Option<GatewayAway>,
    next_line: Duration,
}

struct GatewayAway {
    /// What is wrong.
    what: String,
    /// When it is given up, by the clock of the progress.
    until: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    /// Shows progress and messages; if `quiet`, messages only.
    pub fn new(quiet: bool) -> Self {
        Self::shown(if quiet { Shown::Messages } else { Shown::of_stderr() })
    }

    /// Shows messages only, as JSON objects.
    pub fn for_machines() -> Self {
        Self::shown(Shown::Json)
    }

    /// Shows nothing.
    pub fn silent() -> Self {
        Self::shown(Shown::Nothing)
    }

    fn shown(shown: Shown) -> Self {
        let clock = Clock::system();
        let state = State { next_line: LINE_EVERY, ..State::default() };
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            wire_bytes: AtomicU64::new(0),
            state: Mutex::new(state),
            screen: Mutex::new(Screen::new(shown)),
        });
        if shown.is_live() {
            tokio::spawn(show_regularly(clock, Arc::downgrade(&shared)));
        }
        Self { shared, file: None }
    }

    /// The same for whoever counts nothing for a file, such as the transport.
    pub(super) fn handle(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), file: None }
    }

    /// Counting begins: totals are not known yet.
    pub(super) fn begin_count(&self) {
        lock(&self.shared.state).tally.counting = true;
    }

    /// Adds a file that will be processed.
    pub(super) fn count(&self, bytes: u64) {
        let tally = &mut lock(&self.shared.state).tally;
        tally.total_files += 1;
        tally.total_bytes += bytes;
    }

    /// The totals are known.
    pub(super) fn end_count(&self) {
        lock(&self.shared.state).tally.counting = false;
    }

    /// How much there will be is known only at the end.
    pub(super) fn without_total(&self) {
        lock(&self.shared.state).tally.open_ended = true;
    }

    /// Begins a file that was counted with so many bytes. It ends when the result is dropped.
    pub(super) fn file(&self, name: &str, counted_bytes: u64) -> Self {
        let mut state = lock(&self.shared.state);
        state.files_begun += 1;
        let number = state.files_begun;
        state.at_work.push((number, name.to_owned()));
        let file = Some(Mutex::new(OfFile::new(number, counted_bytes)));
        Self { shared: Arc::clone(&self.shared), file }
    }

    /// As `file`, for one that was not counted before.
    pub(super) fn only_file(&self, name: &str) -> Self {
        self.count(0);
        self.file(name, 0)
    }

    /// Begins to read again what is stored of a file: those bytes count as checked.
    pub(super) fn checking(&self, name: &str) -> Self {
        let file = self.file(name, 0);
        if let Some(file) = &file.file {
            lock(file).is_check = true;
        }
        file
    }

    /// Adds bytes that are still to be processed. Of a file, those that were counted come first.
    pub(super) fn add_expected(&self, bytes: u64) {
        let grown = self.file.as_ref().map_or(bytes, |file| lock(file).expect(bytes));
        lock(&self.shared.state).tally.total_bytes += grown;
    }

    /// Counts bytes that were sent or received.
    pub(super) fn add_transferred(&self, bytes: u64) {
        if self.file.as_ref().is_some_and(|file| lock(file).is_check) {
            self.change(|tally| tally.checked_bytes += bytes);
        } else {
            self.change(|tally| tally.moved_bytes += bytes);
        }
    }

    /// Counts a file, or a part of one, that was complete at the destination before.
    pub(super) fn add_known(&self, bytes: u64) {
        self.change(|tally| tally.known_bytes += bytes);
        if let Some(file) = &self.file {
            lock(file).was_there = true;
        }
    }

    /// Counts bytes that an interrupted run left at the destination.
    pub(super) fn add_resumed(&self, bytes: u64) {
        self.change(|tally| tally.resumed_bytes += bytes);
    }

    /// The file is begun anew: what was done of it counts for nothing.
    pub(super) fn begin_again(&self) {
        let Some(file) = &self.file else { return };
        let mut file = lock(file);
        let tally = &mut lock(&self.shared.state).tally;
        tally.total_bytes += file.begin_again();
        tally.resumed_bytes = tally.resumed_bytes.saturating_sub(file.tally.resumed_bytes);
        file.tally.resumed_bytes = 0;
    }

    fn change(&self, change: impl Fn(&mut Tally)) {
        if let Some(file) = &self.file {
            change(&mut lock(file).tally);
        }
        change(&mut lock(&self.shared.state).tally);
    }

    /// Counts bytes of files that went over the wire.
    pub(super) fn add_wire(&self, bytes: u64) {
        self.shared.wire_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says that the gateway cannot be reached, and shows for how long it will be tried again.
    pub(super) fn gateway_away(&self, url: &str, why: &str, rest: Duration) {
        let what = format!("cannot reach {url}");
        self.print(&format!("{} ({why})", text::away(&Away { what: what.clone(), rest })));
        self.show_away(what, rest);
    }

    /// The same if the gateway responds that it cannot do what it is asked for.
    pub(super) fn gateway_refuses(&self, why: &str, rest: Duration) {
        self.print(&text::away(&Away { what: why.to_owned(), rest }));
        self.show_away(why.to_owned(), rest);
    }

    fn show_away(&self, what: String, rest: Duration) {
        let until = self.shared.clock.monotonic() + rest;
        lock(&self.shared.state).away = Some(GatewayAway { what, until });
    }

    /// Says that the gateway responds again.
    pub(super) fn gateway_back(&self, url: &str) {
        lock(&self.shared.state).away = None;
        self.print(&format!("{url} responds again"));
    }

    /// Prints a line on stderr, above the rows.
    pub(super) fn print(&self, text: &str) {
        lock(&self.shared.screen).say(text);
    }

    /// Names each file that is done.
    pub fn naming_files(self) -> Self {
        lock(&self.shared.state).names_files = true;
        self
    }

    /// Names a file, and says what was done with it, if that was asked for.
    pub(super) fn name(&self, text: &str) {
        if let Some(print) = self.names() {
            print(text);
        }
    }

    /// What names files, for whoever does not have the progress itself; None: nobody asked for it.
    pub(super) fn names(&self) -> Option<Printer> {
        let handle = self.handle();
        let names_files = lock(&self.shared.state).names_files;
        names_files.then(|| Arc::new(move |text: &str| handle.print(text)) as Printer)
    }

    /// Removes the rows; from now on there are only messages.
    pub fn finish(&self) {
        lock(&self.shared.screen).finish();
    }

    /// Bytes that were sent or received.
    pub fn transferred(&self) -> u64 {
        self.tally().moved_bytes
    }

    /// Bytes that the destination had already.
    pub fn skipped(&self) -> u64 {
        let tally = self.tally();
        tally.known_bytes + tally.resumed_bytes
    }

    /// Files that the destination had already.
    pub(super) fn known_files(&self) -> u64 {
        lock(&self.shared.state).tally.known_files
    }

    /// How long the command has run.
    pub fn elapsed(&self) -> Duration {
        self.shared.clock.monotonic()
    }

    fn tally(&self) -> Tally {
        match &self.file {
            Some(file) => lock(file).tally,
            None => lock(&self.shared.state).tally,
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Some(file) = &self.file else { return };
        let file = lock(file);
        let mut state = lock(&self.shared.state);
        state.at_work.retain(|(number, _)| *number != file.number);
        state.tally.end_of(&file);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        lock(&self.screen).finish();
    }
}

async fn show_regularly(clock: Clock, shared: Weak<Shared>) {
    loop {
        clock.pause(TICK).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.show();
    }
}

impl Shared {
    fn show(&self) {
        let now = self.clock.monotonic();
        let (view, is_time) = {
            let mut state = lock(&self.state);
            state.rate.add(now, self.wire_bytes.load(Ordering::Relaxed));
            let is_time = now >= state.next_line;
            if is_time {
                state.next_line = now + LINE_EVERY;
            }
            (state.view(now), is_time)
        };
        lock(&self.screen).show(&view, is_time);
    }
}

impl State {
    fn view(&self, now: Duration) -> View {
        View {
            tally: self.tally,
            rate: self.rate.bytes_per_second(),
            file: self.at_work.first().map(|(_, name)| name.clone()),
            away: self
                .away
                .as_ref()
                .map(|away| Away { what: away.what.clone(), rest: away.until.saturating_sub(now) }),
        }
    }
}
