//! The table of interactions in `src/gc/mod.rs`, cell by cell: every operation is delayed before
//! each of its store calls, and every other operation runs meanwhile on another gateway.
//!
//! A row is the operation that is delayed, a column the one that starts meanwhile. Each cell runs
//! in every scene in which its row can begin, with each kind of session, and with two delays: a
//! short one, in which the memory of a gateway still counts as fresh, and one that is longer than
//! every wait for another gateway. Checked after each: the invariants
//! (docs/architecture.md#invariants). What was acknowledged holds, every error is an expected one,
//! the next client can upload its file, and sweeps leave nothing. The clock is tokio's, paused.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use ratchet::store::{DeleteOptions, GetRange};
use ratchet::upload::{Error, Kind, Status, Uploads};
use tokio::sync::Notify;

use crate::support::fleet::{DAY, MINUTE};
use crate::support::scenes::{
    Acknowledged, Case, OLD_OBJECT,
    Operation::{self, Abort, Create, Expire, Finalize, Forget, Put},
    Scene, SessionKind, World,
};

/// The delays: shorter than the time for which records in memory count as fresh, and longer than
/// any wait for another gateway (a lease ends after five minutes).
const HOLDS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(600)];

/// The columns of the table.
const ALL: [Operation; 6] = [Create, Put, Finalize, Abort, Expire, Forget];

/// The scenes in which a row can begin.
fn scenes(operation: Operation) -> &'static [Scene] {
    match operation {
        Create => &[
            Scene::NoSession,
            Scene::Idle,
            Scene::Successor,
            Scene::PartsKept,
            Scene::Aborted,
            Scene::Freed,
            Scene::Replaced,
        ],
        Put | Finalize => {
            &[Scene::Idle, Scene::AllChunks, Scene::Successor, Scene::Alias, Scene::Owner]
        }
        Abort => &[
            Scene::Idle,
            Scene::AllChunks,
            Scene::Successor,
            Scene::Alias,
            Scene::Owner,
            Scene::PartsKept,
        ],
        Expire => {
            &[Scene::Idle, Scene::AllChunks, Scene::Successor, Scene::PartsKept, Scene::Aborted]
        }
        Forget => &[Scene::Freed, Scene::Replaced, Scene::Successor],
    }
}

/// The kinds of error with which an operation may fail.
fn allowed_errors(operation: Operation) -> &'static [Kind] {
    match operation {
        Create | Expire | Forget => &[],
        Put => &[Kind::NotOpen, Kind::NoSuchBackup, Kind::ChecksumConflict, Kind::SlowDown],
        Finalize => &[Kind::NotOpen, Kind::NoSuchBackup, Kind::Incomplete, Kind::InvalidPart],
        Abort => &[Kind::NotOpen, Kind::NoSuchBackup],
    }
}

/// The kinds of session with which a scene is possible.
fn kinds(scene: Scene) -> &'static [SessionKind] {
    match scene {
        Scene::Successor | Scene::Alias | Scene::Owner | Scene::PartsKept => &[SessionKind::Parts],
        Scene::NoSession
        | Scene::Idle
        | Scene::AllChunks
        | Scene::Aborted
        | Scene::Freed
        | Scene::Replaced => &[SessionKind::Chunks, SessionKind::Staged, SessionKind::Parts],
    }
}

#[derive(Default)]
struct Findings {
    interleavings: u64,
    delayed: u64,
    acknowledged: u64,
    refused: u64,
    lost: Vec<String>,
    leaked: Vec<String>,
    /// Errors that an operation may not return, and sweeps that failed.
    wrong: Vec<String>,
}

impl Findings {
    /// Checks what must hold after an interleaving.
    async fn check(&mut self, world: &World) {
        let gateway = world.fleet.gateway();
        self.check_acknowledged(world, &gateway).await;
        // In half of the cases another client comes; the others are left to the sweeps as they are.
        if (world.case.call + u64::from(world.case.hold == HOLDS[0])).is_multiple_of(2) {
            world.outcomes.lock().unwrap().requested.clear();
            let mut next = world.next_client(&gateway).await;
            if let Err(Error::InvalidPart { .. }) = next {
                // A part that a refused put overwrote has to be sent again, once
                // (docs/architecture.md#parts-that-a-refused-put-overwrote).
                next = world.next_client(&gateway).await;
            }
            if let Err(error) = next {
                self.lost.push(format!("{}: the next client failed: {error}", world.case));
            }
        }
        self.check_that_sweeps_leave_nothing(world).await;
    }

    async fn check_acknowledged(&mut self, world: &World, gateway: &Uploads) {
        let outcomes = std::mem::take(&mut *world.outcomes.lock().unwrap());
        for Acknowledged { session, index, sha256, session_was_open } in &outcomes.chunks {
            if !session_was_open {
                self.lost.push(format!(
                    "{}: chunk {index} was acknowledged after the end of its session",
                    world.case
                ));
            }
            let Ok(session) = gateway.open(&"home".into(), &session.root().backup_id).await else {
                continue;
            };
            let segment = session.segment(0).await.unwrap();
            let recorded = segment
                .chunks
                .get(&(*index as u32))
                .is_some_and(|record| record.digests.sha256 == *sha256);
            if session.root().is_open() && !recorded {
                self.lost.push(format!(
                    "{}: chunk {index} was acknowledged but is not recorded",
                    world.case
                ));
            }
        }
        for session in &outcomes.aborted {
            let Ok(session) = gateway.open(&"home".into(), &session.root().backup_id).await else {
                continue;
            };
            let status = session.root().status.clone();
            // With an alias the session goes on, and may be completed by it.
            let has_alias = matches!(world.case.scene, Scene::Alias | Scene::Owner);
            if !has_alias && !matches!(status, Status::Aborted { .. } | Status::Superseded { .. }) {
                self.lost.push(format!(
                    "{}: the abort was acknowledged, but the session is {}",
                    world.case,
                    status.word()
                ));
            }
        }
        *world.outcomes.lock().unwrap() = outcomes;
        self.check_object(world).await;
    }

    /// The object is what a finalize asked for, or, until one is acknowledged, the old one.
    async fn check_object(&mut self, world: &World) {
        let got = world
            .fleet
            .store
            .get(&"b".into(), &"k".into(), GetRange::Whole, Default::default())
            .await;
        let bytes = got.unwrap().1.collect(1 << 20).await.unwrap();
        let outcomes = world.outcomes.lock().unwrap();
        if !outcomes.requested.contains(&bytes) && (outcomes.finalized || bytes != OLD_OBJECT) {
            let len = bytes.len();
            self.lost.push(format!(
                "{}: the object has {len} bytes that no finalize asked for",
                world.case
            ));
        }
    }

    async fn check_that_sweeps_leave_nothing(&mut self, world: &World) {
        for round in 0..7 {
            world.fleet.clock.pause(8 * DAY).await;
            if world.fleet.sweep().await.failed > 0 {
                self.wrong.push(format!("{}: the sweep failed for a session", world.case));
            }
            if round < 2 {
                self.check_object(world).await;
                continue;
            }
            // A sweep may complete a finalize that was cut off, which creates the object again.
            world
                .fleet
                .store
                .delete(&"b".into(), &"k".into(), &DeleteOptions::default())
                .await
                .unwrap();
        }
        let (records, uploads) = (world.fleet.state_keys().await, world.fleet.open_store_uploads());
        if !records.is_empty() || uploads > 0 {
            self.leaked.push(format!("{}: {records:?} and {uploads} uploads are left", world.case));
        }
    }

    fn count(&mut self, case: Case, operation: Operation, result: Result<(), Error>) {
        match result {
            Ok(()) => self.acknowledged += 1,
            Err(error) if allowed_errors(operation).contains(&error.kind()) => self.refused += 1,
            Err(error) => self.wrong.push(format!("{case}: {operation:?} failed with {error}")),
        }
    }
}

/// Runs one interleaving. True if the operation makes so many store calls that it was delayed.
async fn interleave(case: Case, findings: &mut Findings) -> bool {
    let world = World::new(case).await;
    let calls = Arc::new((AtomicU64::new(0), Notify::new()));
    let calls_of_hook = Arc::clone(&calls);
    let slow = world.fleet.slow_gateway(move |_| {
        if calls_of_hook.0.fetch_add(1, Ordering::SeqCst) != case.call {
            return Duration::ZERO;
        }
        calls_of_hook.1.notify_one();
        case.hold
    });
    let mut running = pin!(async {
        let result = world.run(case.running, slow.clone(), false).await;
        // Work that continues in the background may be delayed too.
        world.fleet.clock.pause(Duration::from_millis(1)).await;
        result
    });
    let ended = tokio::select! {
        biased;
        () = calls.1.notified() => None,
        result = &mut running => Some(result),
    };
    let delayed = ended.is_none();
    let starting = world.run(case.starting, world.fleet.gateway(), true);
    let (running_result, starting_result) = match ended {
        Some(result) => (result, starting.await),
        None => tokio::join!(running, starting),
    };
    world.fleet.clock.pause(case.hold + MINUTE).await;
    findings.count(case, case.running, running_result);
    findings.count(case, case.starting, starting_result);
    findings.interleavings += 1;
    findings.delayed += u64::from(delayed);
    findings.check(&world).await;
    delayed
}

/// The cases of a row, each with a delay before the first store call.
fn cases(running: Operation) -> Vec<Case> {
    let mut cases = Vec::new();
    for starting in ALL {
        for scene in scenes(running).iter().copied() {
            let days = starting == Forget && running != Forget && !scene.is_forgotten_next();
            let holds = if days { vec![20 * DAY] } else { HOLDS.to_vec() };
            let kinds = kinds(scene).iter().copied();
            let of_scene = kinds.flat_map(|kind| holds.iter().map(move |hold| (kind, *hold)));
            cases.extend(of_scene.map(|(kind, hold)| Case {
                running,
                starting,
                scene,
                kind,
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
                Ok(Err(_)) => break findings.wrong.push(format!("{case}: does not end")),
                Err(_) => {
                    break findings.wrong.push(format!("{case}: panics, see the output above"));
                }
            }
        }
    }
    let Findings { interleavings, delayed, acknowledged, refused, lost, leaked, wrong } = findings;
    println!(
        "interactions: {running:?} runs, {} cells, {interleavings} interleavings ({delayed} delayed): {acknowledged} acknowledged, \
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
async fn any_operation_during_a_create_or_adoption_is_safe() {
    row(Create).await;
}

#[tokio::test(start_paused = true)]
async fn any_operation_during_a_put_is_safe() {
    row(Put).await;
}

#[tokio::test(start_paused = true)]
async fn any_operation_during_a_finalize_is_safe() {
    row(Finalize).await;
}

#[tokio::test(start_paused = true)]
async fn any_operation_during_an_abort_is_safe() {
    row(Abort).await;
}

#[tokio::test(start_paused = true)]
async fn any_operation_during_expiry_is_safe() {
    row(Expire).await;
}

#[tokio::test(start_paused = true)]
async fn any_operation_during_the_removal_of_records_is_safe() {
    row(Forget).await;
}
