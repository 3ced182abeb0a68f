//! The table of interactions in `gc`, cell by cell: every operation is held right before its every
//! store call, and every other one comes in between, over another gateway.
//!
//! A row is the operation that runs, a column the one that starts. Each cell is tried in every
//! scene that its row can begin in, with each kind of session, and with two holds: one in which
//! what gateways keep in memory still counts as fresh, and one that outlasts every wait for others.
//! Checked after each: what was acknowledged holds, no error is one that nobody expects, the next
//! client gets its file up, and sweeps leave nothing (DESIGN §9). Time is tokio's, paused.

mod world;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use ratchet::store::GetRange;
use ratchet::upload::{Error, Kind, Status, Uploads};
use tokio::sync::Notify;

use crate::room::{DAY, MINUTE};
use world::{Acknowledged, OLD, World};

/// Shorter than records count as fresh, and longer than anybody waits for somebody else (a lease is
/// over in five minutes).
const HOLDS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(600)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Create,
    Put,
    Finalize,
    Abort,
    Expire,
    Forget,
}
use Operation::{Abort, Create, Expire, Finalize, Forget, Put};

/// The columns.
const ALL: [Operation; 6] = [Create, Put, Finalize, Abort, Expire, Forget];

/// What there is when a row begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// Nothing.
    Fresh,
    /// A session without its last chunk, idle for so long that it can be expired, and adopted.
    Idle,
    /// As `Idle`, with all its chunks.
    Whole,
    /// As `Idle`, and an heir of an aborted upload's parts.
    Heir,
    /// Aborted by its client, its parts kept for a successor for half a minute more.
    Kept,
    /// Aborted so long ago that it can be freed for good.
    Aborted,
    /// Freed for good so long ago that it can be forgotten.
    Freed,
    /// Complete, and its object replaced so long ago that it can be forgotten.
    Replaced,
}

/// What kind of session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// Of the chunk API, each chunk a part.
    Chunks,
    /// Of the chunk API under an id of the client's, four staged chunks a part.
    Staged,
    /// An S3 upload.
    Parts,
}

impl Operation {
    fn scenes(self) -> &'static [Scene] {
        match self {
            Create => &[
                Scene::Fresh,
                Scene::Idle,
                Scene::Heir,
                Scene::Kept,
                Scene::Aborted,
                Scene::Freed,
                Scene::Replaced,
            ],
            Put => &[Scene::Idle, Scene::Whole, Scene::Heir],
            Finalize => &[Scene::Idle, Scene::Whole, Scene::Heir],
            Abort => &[Scene::Idle, Scene::Whole, Scene::Heir, Scene::Kept],
            Expire => &[Scene::Idle, Scene::Whole, Scene::Heir, Scene::Kept, Scene::Aborted],
            Forget => &[Scene::Freed, Scene::Replaced, Scene::Heir],
        }
    }

    /// What it may answer instead of success.
    fn may_answer(self) -> &'static [Kind] {
        match self {
            Create | Expire | Forget => &[],
            Put => &[Kind::NotOpen, Kind::NoSuchBackup, Kind::ChecksumConflict],
            Finalize => &[Kind::NotOpen, Kind::NoSuchBackup, Kind::Incomplete, Kind::InvalidPart],
            Abort => &[Kind::NotOpen, Kind::NoSuchBackup],
        }
    }
}

impl Scene {
    fn sorts(self) -> &'static [Sort] {
        match self {
            Self::Heir | Self::Kept => &[Sort::Parts],
            Self::Fresh
            | Self::Idle
            | Self::Whole
            | Self::Aborted
            | Self::Freed
            | Self::Replaced => &[Sort::Chunks, Sort::Staged, Sort::Parts],
        }
    }

    fn is_forgotten_next(self) -> bool {
        matches!(self, Self::Freed | Self::Replaced)
    }
}

/// One interleaving: held before which call, and for how long.
#[derive(Clone, Copy, Debug)]
struct Case {
    running: Operation,
    starting: Operation,
    scene: Scene,
    sort: Sort,
    call: u64,
    hold: Duration,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { running, starting, scene, sort, call, hold } = self;
        write!(
            f,
            "{running:?} x {starting:?}, {scene:?} {sort:?}, held for {hold:?} before call {call}"
        )
    }
}

#[derive(Default)]
struct Findings {
    interleavings: u64,
    held: u64,
    acknowledged: u64,
    refused: u64,
    lost: Vec<String>,
    leaked: Vec<String>,
    /// An operation's answer is none that it may give.
    wrong: Vec<String>,
}

/// What must be true afterwards.
impl World {
    async fn judge(&self, findings: &mut Findings) {
        let gateway = self.room.gateway();
        self.what_was_acknowledged_holds(&gateway, findings).await;
        // Half of the cases go on with the next client, half are left to the sweeps as they are.
        if (self.case.call + u64::from(self.case.hold == HOLDS[0])).is_multiple_of(2) {
            self.told.lock().unwrap().asked.clear();
            let mut next = self.next_client(&gateway).await;
            if let Err(Error::InvalidPart { .. }) = next {
                // A part that a refused put overwrote is asked for again, once (DESIGN §12.7).
                next = self.next_client(&gateway).await;
            }
            if let Err(error) = next {
                findings.lost.push(format!("{}: the next client failed: {error}", self.case));
            }
        }
        self.sweeps_leave_nothing(findings).await;
    }

    async fn what_was_acknowledged_holds(&self, gateway: &Uploads, findings: &mut Findings) {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        for Acknowledged { session, index, sha256, open } in &told.chunks {
            if !open {
                findings.lost.push(format!(
                    "{}: chunk {index} was acknowledged after its session's end",
                    self.case
                ));
            }
            let Ok(session) = gateway.open("home", &session.root().backup_id).await else {
                continue;
            };
            let segment = session.segment(0).await.unwrap();
            let recorded = segment
                .chunks
                .get(&(*index as u32))
                .is_some_and(|record| record.digests.sha256 == *sha256);
            if session.root().is_open() && !recorded {
                findings.lost.push(format!(
                    "{}: chunk {index} was acknowledged and is not recorded",
                    self.case
                ));
            }
        }
        for session in &told.aborted {
            let Ok(session) = gateway.open("home", &session.root().backup_id).await else {
                continue;
            };
            let status = session.root().status.clone();
            if !matches!(status, Status::Aborted { .. } | Status::Superseded { .. }) {
                findings.lost.push(format!(
                    "{}: it was aborted and is {}",
                    self.case,
                    status.word()
                ));
            }
        }
        *self.told.lock().unwrap() = told;
        self.object_is_whole(findings).await;
    }

    /// The object is the old one until a finalize is acknowledged, or what one asked for.
    async fn object_is_whole(&self, findings: &mut Findings) {
        let got = self
            .room
            .store
            .get(&"b".into(), &"k".into(), GetRange::Whole, Default::default())
            .await;
        let bytes = got.unwrap().1.collect(1 << 20).await.unwrap();
        let told = self.told.lock().unwrap();
        if !told.asked.contains(&bytes) && (told.finalized || bytes != OLD) {
            let len = bytes.len();
            findings.lost.push(format!(
                "{}: the object is not what was asked for, but {len} bytes",
                self.case
            ));
        }
    }

    async fn sweeps_leave_nothing(&self, findings: &mut Findings) {
        for round in 0..7 {
            self.room.clock.pause(8 * DAY).await;
            if self.room.sweep().await.failed > 0 {
                findings.wrong.push(format!("{}: a session could not be swept", self.case));
            }
            if round < 2 {
                self.object_is_whole(findings).await;
                continue;
            }
            // Now nobody wants it any more. A finalize that was cut off may make it anew.
            self.room.store.delete(&"b".into(), &"k".into(), None).await.unwrap();
        }
        let (records, uploads) = (self.room.state().await, self.room.begun_uploads());
        if !records.is_empty() || uploads > 0 {
            findings
                .leaked
                .push(format!("{}: {records:?} and {uploads} uploads are left", self.case));
        }
    }

    fn note(&self, operation: Operation, answer: Result<(), Error>, findings: &mut Findings) {
        match answer {
            Ok(()) => findings.acknowledged += 1,
            Err(error) if operation.may_answer().contains(&error.kind()) => findings.refused += 1,
            Err(error) => {
                findings.wrong.push(format!("{}: {operation:?} answered {error}", self.case))
            }
        }
    }
}

/// True where the running operation was held: it makes that many calls.
async fn interleave(case: Case, findings: &mut Findings) -> bool {
    let world = World::new(case).await;
    let gate = Arc::new((AtomicU64::new(0), Notify::new()));
    let at_gate = Arc::clone(&gate);
    let slow = world.room.slow_gateway(move |_| {
        if at_gate.0.fetch_add(1, Ordering::SeqCst) != case.call {
            return Duration::ZERO;
        }
        at_gate.1.notify_one();
        case.hold
    });
    let mut running = pin!(async {
        let answer = world.run(case.running, slow.clone()).await;
        // What goes on in the background can be held too.
        world.room.clock.pause(Duration::from_millis(1)).await;
        answer
    });
    let ended = tokio::select! {
        biased;
        () = gate.1.notified() => None,
        answer = &mut running => Some(answer),
    };
    let held = ended.is_none();
    let starting = world.run(case.starting, world.room.gateway());
    let (ran, came) = match ended {
        Some(answer) => (answer, starting.await),
        None => tokio::join!(running, starting),
    };
    world.room.clock.pause(case.hold + MINUTE).await;
    world.note(case.running, ran, findings);
    world.note(case.starting, came, findings);
    findings.interleavings += 1;
    findings.held += u64::from(held);
    world.judge(findings).await;
    held
}

/// Every case of a row, from its first call on.
fn cases(running: Operation) -> Vec<Case> {
    let mut cases = Vec::new();
    for starting in ALL {
        for scene in running.scenes().iter().copied() {
            let days = starting == Forget && running != Forget && !scene.is_forgotten_next();
            let holds = if days { vec![20 * DAY] } else { HOLDS.to_vec() };
            let sorts = scene.sorts().iter().copied();
            let of_scene = sorts.flat_map(|sort| holds.iter().map(move |hold| (sort, *hold)));
            cases.extend(of_scene.map(|(sort, hold)| Case {
                running,
                starting,
                scene,
                sort,
                call: 0,
                hold,
            }));
        }
    }
    cases
}

async fn row(running: Operation) {
    let mut findings = Findings::default();
    for mut case in cases(running) {
        loop {
            let limit = tokio::time::timeout(1000 * DAY, interleave(case, &mut findings));
            match AssertUnwindSafe(limit).catch_unwind().await {
                Ok(Ok(true)) => case.call += 1,
                Ok(Ok(false)) => break,
                Ok(Err(_)) => break findings.wrong.push(format!("{case}: hangs")),
                Err(_) => break findings.wrong.push(format!("{case}: panics, see above")),
            }
        }
    }
    let Findings { interleavings, held, acknowledged, refused, lost, leaked, wrong } = findings;
    println!(
        "interactions: {running:?} runs, {} cells, {interleavings} interleavings ({held} held): {acknowledged} acknowledged, \
         {refused} refused, {} lost, {} leaked, {} wrong",
        ALL.len(),
        lost.len(),
        leaked.len(),
        wrong.len()
    );
    let all: Vec<String> = [lost, leaked, wrong].concat();
    assert!(all.is_empty(), "{} findings:\n{}", all.len(), all[..all.len().min(40)].join("\n"));
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_while_a_session_is_created_or_adopted_is_safe() {
    row(Create).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_while_a_chunk_or_part_is_put_is_safe() {
    row(Put).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_while_a_finalize_runs_is_safe() {
    row(Finalize).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_while_an_abort_runs_is_safe() {
    row(Abort).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_while_sessions_are_expired_and_freed_is_safe() {
    row(Expire).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_while_sessions_are_forgotten_is_safe() {
    row(Forget).await;
}
