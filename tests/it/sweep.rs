//! Expiry and sweeping: which sessions are expired, freed and removed when, and races of whole
//! operations. `interactions` tests every pair of operations at every store call, and `model`
//! checks after every schedule that nothing is left. The clock is tokio's, paused.

use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::gc::Mode;
use ratchet::store::{
    Body, DeleteOptions, PutOptions,
    faulty::{Call, Op},
};
use ratchet::upload::{Admission, ChosenEntry, Kind, Status};
use tokio::sync::oneshot;

use crate::support::fleet::{
    CHUNK, DAY, Fleet, MINUTE, chunk, new_backup, new_upload, part_number, put_chunk, put_part,
};
use crate::support::process::{Gateway, KEY, PROGRAM, stores};

#[tokio::test(start_paused = true)]
async fn an_idle_session_is_removed_completely() {
    for min_part_bytes in [1, 4 * CHUNK as u64] {
        let fleet = Fleet::new(min_part_bytes).await;
        let (_, session) =
            fleet.gateway().create(&"home".into(), new_backup("k", 6)).await.unwrap();
        put_chunk(&session, 0).await;
        put_chunk(&session, 5).await;
        fleet.clock.pause(6 * DAY).await;
        assert_eq!(fleet.sweep().await.actions.get("expire"), None);
        put_chunk(&session, 1).await;
        fleet.clock.pause(6 * DAY).await;
        assert_eq!(fleet.sweep().await.actions.get("expire"), None, "a put restarts the idle time");
        fleet.clock.pause(DAY).await;
        let report = fleet.sweep().await;
        assert_eq!(
            (report.actions.get("expire"), report.bytes),
            (Some(&1), 3 * CHUNK as u64),
            "{report:?}"
        );
        assert_eq!(
            session.admit(2, Sha256::of(b"x"), CHUNK as u64).await.unwrap_err().kind(),
            Kind::NotOpen
        );
        assert_eq!(
            fleet.state_keys().await.iter().filter(|key| !key.contains("/open/")).count(),
            1,
            "only a tombstone is left"
        );
        fleet.assert_nothing_is_left().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_reports_what_a_sweep_does_and_changes_nothing() {
    let fleet = Fleet::new(4 * CHUNK as u64).await;
    let (_, session) = fleet.gateway().create(&"home".into(), new_backup("k", 6)).await.unwrap();
    put_chunk(&session, 0).await;
    fleet.clock.pause(8 * DAY).await;
    let before = fleet.state_keys().await;
    let mut actions = Vec::new();
    let sweeper = fleet.sweeper(fleet.gateway());
    let dry = sweeper
        .sweep(Mode::Dry, |swept| actions.push((swept.key.to_string(), swept.action)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(actions, [("k".to_owned(), "expire")]);
    assert_eq!(fleet.state_keys().await, before);
    assert!(session.fresh_root().await.unwrap().is_open());
    let swept = fleet.sweep().await;
    assert_eq!((dry.actions, dry.bytes), (swept.actions, swept.bytes));
}

#[tokio::test(start_paused = true)]
async fn records_stay_while_their_object_is_unchanged() {
    let fleet = Fleet::new(1).await;
    for key in ["kept", "replaced", "deleted"] {
        let (_, session) =
            fleet.gateway().create(&"home".into(), new_backup(key, 2)).await.unwrap();
        put_chunk(&session, 0).await;
        put_chunk(&session, 1).await;
        session.finalize(None).await.unwrap();
    }
    let other = Body::from(b"other".to_vec());
    fleet.store.put(&"b".into(), &"replaced".into(), other, PutOptions::default()).await.unwrap();
    fleet.store.delete(&"b".into(), &"deleted".into(), &DeleteOptions::default()).await.unwrap();
    fleet.clock.pause(6 * DAY).await;
    assert!(fleet.sweep().await.actions.is_empty());
    fleet.clock.pause(2 * DAY).await;
    assert_eq!(fleet.sweep().await.actions.get("forget"), Some(&2));
    let state = fleet.state_keys().await;
    assert!(state.iter().any(|key| key.contains("/done/b/kept/")), "{state:?}");
    assert!(
        !state.iter().any(|key| key.contains("replaced") || key.contains("deleted")),
        "{state:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_put_whose_session_expires_meanwhile_is_refused_and_leaves_nothing() {
    for min_part_bytes in [1, 4 * CHUNK as u64] {
        let fleet = Fleet::new(min_part_bytes).await;
        let (_, session) =
            fleet.gateway().create(&"home".into(), new_backup("k", 6)).await.unwrap();
        let bytes = chunk(0);
        let Admission::Wanted(permit) =
            session.admit(0, Sha256::of(&bytes), CHUNK as u64).await.unwrap()
        else {
            panic!("the chunk is new");
        };
        let (continue_tx, continue_rx) = oneshot::channel::<()>();
        let half = Bytes::from(bytes[..500].to_vec());
        let rest = Bytes::from(bytes[500..].to_vec());
        let late = stream::once(async move {
            continue_rx.await.unwrap();
            Ok(rest)
        });
        let body = Body::new(CHUNK as u64, Box::pin(stream::iter([Ok(half)]).chain(late)));
        let put = tokio::spawn(permit.store(body));
        fleet.clock.pause(8 * DAY).await;
        assert_eq!(fleet.sweep().await.actions.get("expire"), Some(&1));
        continue_tx.send(()).unwrap();
        assert_eq!(put.await.unwrap().unwrap_err().kind(), Kind::NotOpen);
        fleet.assert_nothing_is_left().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_recorded_after_an_abort_is_not_known() {
    let fleet = Fleet::new(4 * CHUNK as u64).await;
    let (_, session) = fleet.gateway().create(&"home".into(), new_backup("k", 8)).await.unwrap();
    let is_staged = |call: &Call<'_>| call.op == Op::Put && call.key.contains("/staged/");
    let slow =
        fleet.slow_gateway(move |call| if is_staged(&call) { MINUTE / 75 } else { Duration::ZERO });
    let same_session = slow.open(&"home".into(), &session.root().backup_id).await.unwrap();
    let other = chunk(7);
    let Admission::Wanted(late) =
        same_session.admit(0, Sha256::of(&other), CHUNK as u64).await.unwrap()
    else {
        panic!("the chunk is new");
    };
    let late = tokio::spawn(late.store(other.clone().into()));
    // Two writes, so that the removed segment has a newer version than the one written later.
    put_chunk(&session, 0).await;
    put_chunk(&session, 1).await;
    fleet.clock.pause(Duration::from_millis(500)).await;
    session.part_entries().await.unwrap();
    fleet
        .gateway()
        .open(&"home".into(), &session.root().backup_id)
        .await
        .unwrap()
        .abort("enough")
        .await
        .unwrap();
    assert_eq!(late.await.unwrap().unwrap_err().kind(), Kind::NotOpen);
    fleet.clock.pause(Duration::from_millis(300)).await;
    // The cached root is less than a second old, the segment is not cached.
    let known = session.admit(0, Sha256::of(&other), CHUNK as u64).await;
    assert_eq!(known.unwrap_err().kind(), Kind::NotOpen);
    fleet.assert_nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn records_written_after_the_removal_of_a_session_are_removed_too() {
    let fleet = Fleet::new(1).await;
    let state = "ratchet-state".into();
    for key in [
        "v1/home/sessions/gone/segments/000000.json",
        "v1/home/sessions/gone/staged/0-aa",
        "v1/home/index/b/k/gone",
    ] {
        fleet
            .store
            .put(&state, &key.into(), Body::from(b"{}".to_vec()), PutOptions::default())
            .await
            .unwrap();
    }
    fleet.clock.pause(6 * DAY).await;
    fleet.sweep().await;
    assert_eq!(
        fleet.state_keys().await.len(),
        3,
        "the records may belong to a session that is being created"
    );
    fleet.clock.pause(2 * DAY).await;
    let report = fleet.sweep().await;
    assert_eq!((report.actions.get("orphan"), report.entries), (Some(&1), 1));
    assert_eq!(fleet.state_keys().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_finalize_that_is_overtaken_by_expiry_is_completed() {
    let fleet = Fleet::new(1).await;
    let slow =
        fleet.slow_gateway(|call| if call.op == Op::Complete { 8 * DAY } else { Duration::ZERO });
    let (_, session) = slow.create(&"home".into(), new_backup("k", 2)).await.unwrap();
    put_chunk(&session, 0).await;
    put_chunk(&session, 1).await;
    let finalize = tokio::spawn(async move { session.finalize(None).await });
    fleet.clock.pause(7 * DAY + MINUTE).await;
    assert_eq!(
        fleet.sweep().await.actions,
        Default::default(),
        "the session is complete, so there is nothing to sweep"
    );
    let object = finalize.await.unwrap().unwrap();
    assert_eq!(object.size_bytes, 2 * CHUNK as u64);
    fleet.store.head(&"b".into(), &"k".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn parts_of_an_aborted_upload_are_adopted_or_freed() {
    for wait in [DAY - MINUTE, DAY + MINUTE] {
        let fleet = Fleet::new(1).await;
        let first = fleet.gateway().create_upload(&"home".into(), new_upload("k")).await.unwrap();
        put_part(&first, 1).await;
        first.abort_and_keep("the client went away").await.unwrap();
        fleet.clock.pause(wait).await;
        let freed = fleet.sweep().await.actions.contains_key("expire");
        assert_eq!(freed, wait > DAY);
        let second = fleet.gateway().create_upload(&"home".into(), new_upload("k")).await.unwrap();
        let (entry, known) = put_part(&second, 1).await;
        assert_eq!(known, wait < DAY);
        let chosen = [ChosenEntry { number: part_number(1), etag: entry.etag, checksum: None }];
        assert_eq!(second.complete_parts(&chosen).await.unwrap().size_bytes, CHUNK as u64);
        fleet.store.delete(&"b".into(), &"k".into(), &DeleteOptions::default()).await.unwrap();
        fleet.assert_nothing_is_left().await;
    }
}

#[tokio::test(start_paused = true)]
async fn records_of_a_superseded_upload_stay_for_its_open_successor() {
    let fleet = Fleet::new(1).await;
    let first = fleet.gateway().create_upload(&"home".into(), new_upload("k")).await.unwrap();
    put_part(&first, 1).await;
    first.abort_and_keep("the client went away").await.unwrap();
    let successor = fleet.gateway().create_upload(&"home".into(), new_upload("k")).await.unwrap();
    assert!(put_part(&successor, 1).await.1);
    for _ in 0..3 {
        fleet.clock.pause(6 * DAY).await;
        put_part(&successor, 2 + fleet.clock.number_below(90) as u32).await;
        fleet.sweep().await;
    }
    assert_eq!(first.fresh_root().await.unwrap().status.word(), "superseded");
    assert!(
        put_part(&successor, 1).await.1,
        "the part is known from the record of the predecessor"
    );
    fleet.assert_nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_successor_does_not_free_the_upload_of_its_predecessor() {
    let fleet = Fleet::new(1).await;
    let first = fleet.gateway().create_upload(&"home".into(), new_upload("k")).await.unwrap();
    put_part(&first, 1).await;
    first.abort_and_keep("the client went away").await.unwrap();
    // The adoption stops after the successor has claimed the upload and before it is handed over:
    // the write of the predecessor's root never ends.
    let predecessor = format!("v1/home/sessions/{}/manifest.json", first.root().backup_id);
    let stuck = fleet.slow_gateway(move |call| {
        if call.op == Op::Put && call.key == predecessor { 1000 * DAY } else { Duration::ZERO }
    });
    let unfinished = stuck.create_upload(&"home".into(), new_upload("k")).await.unwrap();
    let interrupted = tokio::time::timeout(MINUTE, put_part(&unfinished, 1)).await;
    assert!(interrupted.is_err(), "the adoption must not end");
    let manifests =
        fleet.state_keys().await.into_iter().filter(|key| key.ends_with("manifest.json")).count();
    assert_eq!(manifests, 2);
    // Another successor finishes the claim of the unfinished one, which is idle by now, and takes
    // the upload over from it.
    fleet.clock.pause(6 * MINUTE).await;
    let open_successor =
        fleet.gateway().create_upload(&"home".into(), new_upload("k")).await.unwrap();
    assert!(put_part(&open_successor, 1).await.1);
    for _ in 0..3 {
        fleet.clock.pause(4 * DAY).await;
        put_part(&open_successor, 2 + fleet.clock.number_below(90) as u32).await;
        fleet.sweep().await;
    }
    let (entry, known) = put_part(&open_successor, 1).await;
    assert!(known);
    let chosen = [ChosenEntry { number: part_number(1), etag: entry.etag, checksum: None }];
    assert_eq!(open_successor.complete_parts(&chosen).await.unwrap().size_bytes, CHUNK as u64);
}

#[tokio::test(start_paused = true)]
async fn of_an_adoption_and_a_sweep_at_once_one_wins() {
    let (mut adopted, mut freed) = (0, 0);
    for seed in 0..200 {
        let fleet = Fleet::new(1).await;
        let first = fleet.gateway().create_upload(&"home".into(), new_upload("k")).await.unwrap();
        put_part(&first, 1).await;
        first.abort_and_keep("the client went away").await.unwrap();
        fleet.clock.pause(DAY - Clock::seeded(seed).jitter(Duration::from_millis(1500))).await;
        let (one, two) = (Clock::seeded(seed), Clock::seeded(!seed));
        let adopter = fleet.slow_gateway(move |_| one.jitter(Duration::from_millis(60)));
        let sweeper =
            fleet.sweeper(fleet.slow_gateway(move |_| two.jitter(Duration::from_millis(60))));
        let successor = adopter.create_upload(&"home".into(), new_upload("k")).await.unwrap();
        let ((entry, known), swept) =
            tokio::join!(put_part(&successor, 1), sweeper.sweep(Mode::Now, |_| ()));
        let swept = swept.unwrap().unwrap();
        assert!(
            !(known && swept.actions.contains_key("expire")),
            "seed {seed}: the parts were adopted and freed"
        );
        adopted += u64::from(known);
        freed += u64::from(swept.actions.contains_key("expire"));
        let chosen = [ChosenEntry { number: part_number(1), etag: entry.etag, checksum: None }];
        assert_eq!(
            successor.complete_parts(&chosen).await.unwrap().size_bytes,
            CHUNK as u64,
            "seed {seed}"
        );
        fleet.store.delete(&"b".into(), &"k".into(), &DeleteOptions::default()).await.unwrap();
        fleet.assert_nothing_is_left().await;
    }
    println!("sweep: 200 races of adoption and expiry, {adopted} adopted, {freed} freed");
    assert!(adopted > 10 && freed > 10, "both outcomes must occur");
}

#[tokio::test(start_paused = true)]
async fn creates_aborts_and_sweeps_at_once_are_safe() {
    for seed in 0..200 {
        let fleet = Fleet::new(1).await;
        let (_, session) =
            fleet.gateway().create(&"home".into(), new_backup("k", 2)).await.unwrap();
        put_chunk(&session, 0).await;
        fleet.clock.pause(7 * DAY - Duration::from_millis(150)).await;
        let slow = |salt: u64| {
            let clock = Clock::seeded(seed ^ salt);
            fleet.slow_gateway(move |_| clock.jitter(Duration::from_millis(60)))
        };
        let (creator, aborter) = (slow(1 << 40), slow(2 << 40));
        let (one, two) = (fleet.sweeper(slow(3 << 40)), fleet.sweeper(slow(4 << 40)));
        let abort = async {
            let session = aborter.open(&"home".into(), &session.root().backup_id).await.unwrap();
            session.abort("the client asked for it").await
        };
        let home = "home".into();
        let (created, aborted, one, two) = tokio::join!(
            creator.create(&home, new_backup("k", 2)),
            abort,
            one.sweep(Mode::Now, |_| ()),
            two.sweep(Mode::Now, |_| ()),
        );
        aborted.unwrap();
        assert!(
            one.unwrap().is_some() || two.unwrap().is_some(),
            "seed {seed}: at least one sweep must run"
        );
        assert!(matches!(session.fresh_root().await.unwrap().status, Status::Aborted { .. }));
        // Whichever session the create returned: the next create returns an open one.
        created.unwrap();
        fleet.clock.pause(MINUTE).await;
        let (_, fresh) = fleet.gateway().create(&"home".into(), new_backup("k", 2)).await.unwrap();
        put_chunk(&fresh, 0).await;
        put_chunk(&fresh, 1).await;
        fresh.finalize(None).await.unwrap();
        fleet.store.delete(&"b".into(), &"k".into(), &DeleteOptions::default()).await.unwrap();
        fleet.assert_nothing_is_left().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_gateway_sweeps_at_a_time_and_another_follows_a_killed_one() {
    let fleet = Fleet::new(1).await;
    let slow =
        fleet.slow_gateway(|call| if call.op == Op::List { 1000 * DAY } else { Duration::ZERO });
    let killed = fleet.sweeper(slow);
    assert!(
        tokio::time::timeout(Duration::from_secs(1), killed.sweep(Mode::Due, |_| ()))
            .await
            .is_err()
    );
    let next = fleet.sweeper(fleet.gateway());
    assert_eq!(
        next.sweep(Mode::Due, |_| ()).await.unwrap(),
        None,
        "another gateway holds the lease"
    );
    fleet.clock.pause(5 * MINUTE).await;
    assert!(next.sweep(Mode::Due, |_| ()).await.unwrap().is_some());
    assert_eq!(
        next.sweep(Mode::Due, |_| ()).await.unwrap(),
        None,
        "the last sweep was less than an hour ago"
    );
    fleet.clock.pause(60 * MINUTE).await;
    let (one, two) = (fleet.sweeper(fleet.gateway()), fleet.sweeper(fleet.gateway()));
    let (one, two) = tokio::join!(one.sweep(Mode::Due, |_| ()), two.sweep(Mode::Due, |_| ()));
    assert_eq!(usize::from(one.unwrap().is_some()) + usize::from(two.unwrap().is_some()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_reads_every_page_of_every_account() {
    let fleet = Fleet::new(1).await;
    let gateway = fleet.gateway();
    for at in 0..700 {
        let account = ["home", "office"][at % 2];
        let (_, session) =
            gateway.create(&account.into(), new_backup(&format!("k{at}"), 2)).await.unwrap();
        put_chunk(&session, 0).await;
    }
    fleet.clock.pause(8 * DAY).await;
    let report = fleet.sweep().await;
    assert_eq!((report.seen, report.actions.get("expire")), (700, Some(&700)));
    fleet.assert_nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_whose_clock_jumps_expires_no_active_session() {
    let fleet = Fleet::new(1).await;
    let (_, session) = fleet.gateway().create(&"home".into(), new_backup("k", 6)).await.unwrap();
    let sweeper = fleet.sweeper(fleet.gateway());
    let expired = async || {
        let report = sweeper.sweep(Mode::Now, |_| ()).await.unwrap().unwrap();
        assert_eq!(report.failed, 0);
        report.actions.get("expire").copied()
    };
    let start = fleet.clock.wall();
    for (index, days) in [30, 29, 60, 0, 400].into_iter().enumerate() {
        assert_eq!(expired().await, None);
        put_chunk(&session, index as u64).await;
        fleet.clock.set_wall(start + days * DAY);
        assert_eq!(expired().await, None, "a jump to day {days}");
        fleet.clock.pause(60 * MINUTE).await;
        assert_eq!(expired().await, None, "an hour after a jump to day {days}");
    }
    put_chunk(&session, 5).await;
    fleet.clock.pause(6 * DAY).await;
    assert_eq!(expired().await, None);
    fleet.clock.pause(2 * DAY).await;
    assert_eq!(expired().await, Some(1), "an idle session still expires in the end");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_starts_with_a_wrong_clock_expires_no_active_session() {
    let fleet = Fleet::new(1).await;
    let (_, session) = fleet.gateway().create(&"home".into(), new_backup("k", 6)).await.unwrap();
    let (_, left) = fleet.gateway().create(&"home".into(), new_backup("left", 6)).await.unwrap();
    put_chunk(&session, 0).await;
    put_chunk(&left, 0).await;
    fleet.clock.set_wall(fleet.clock.wall() + 30 * DAY);
    let sweeper = fleet.sweeper(fleet.gateway());
    let running = tokio::spawn(async move { sweeper.run().await });
    fleet.clock.pause(50 * MINUTE).await;
    put_chunk(&session, 1).await;
    fleet.clock.pause(60 * MINUTE).await;
    put_chunk(&session, 2).await;
    assert!(session.fresh_root().await.unwrap().is_open());
    assert!(!left.fresh_root().await.unwrap().is_open(), "an idle session expires");
    running.abort();
}

/// The command `gc` on real stores: it shows and frees the session of a killed client.
#[test]
fn the_command_gc_frees_the_session_of_a_killed_client() {
    let home = tempfile::tempdir().unwrap();
    for store in stores(home.path()) {
        // With a state bucket of its own, so that sessions of other tests are not expired.
        let state = format!("s{}", Clock::system().random_id());
        let settings = [
            ("RATCHET_STATE_BUCKET", &*state),
            ("RATCHET_GC_EXPIRE_AFTER_S", "1"),
            ("RATCHET_GC_ENABLED", "false"),
        ];
        let mut serve = Command::new(PROGRAM);
        serve
            .args(["serve", "--listen", "127.0.0.1:0", "--store", &store])
            .envs(settings)
            .stderr(Stdio::null());
        serve.envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)]);
        let mut gateway = Gateway::spawn(serve);
        let file = home.path().join("file");
        std::fs::write(&file, vec![7; 40 << 20]).unwrap();
        let target = format!("s3://b{}/cut-off", Clock::system().random_id());
        let (path, limit) = (file.to_str().unwrap(), ["--limit-rate", "8M"]);
        let mut client = gateway.client(&[&["backup", path, &target][..], &limit].concat());
        let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Polls until a chunk is recorded.
        let recorded = || {
            let listed = gateway.run(&["status", &target, "--json"]);
            let status: serde_json::Value =
                serde_json::from_slice(&listed.stdout).unwrap_or_default();
            status["stored"].as_u64().unwrap_or(0) > 0
        };
        while !recorded() {}
        client.kill().unwrap();
        client.wait().unwrap();
        gateway.kill();
        let gc = |words: &[&str]| {
            let mut command = Command::new(PROGRAM);
            let output = command
                .args(["gc", "--json", "--store", &store])
                .args(words)
                .envs(settings)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let lines = String::from_utf8(output.stdout).unwrap();
            lines
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect::<Vec<serde_json::Value>>()
        };
        // The age comes from the store, which counts whole seconds.
        let dry_run = loop {
            let dry_run = gc(&["--dry-run"]);
            if dry_run.len() > 1 {
                break dry_run;
            }
        };
        assert_eq!(
            (&dry_run[0]["action"], &dry_run[0]["key"]),
            (&"expire".into(), &"cut-off".into()),
            "{dry_run:?}"
        );
        assert!(dry_run[0]["bytes"].as_u64().unwrap() >= 8 << 20, "{dry_run:?}");
        let swept = gc(&[]);
        assert_eq!(
            (&swept[1]["actions"]["expire"], &swept[1]["bytes"]),
            (&1.into(), &dry_run[1]["bytes"]),
            "{swept:?}"
        );
        assert_eq!(gc(&[])[0]["actions"], serde_json::json!({}), "only a tombstone is left");
    }
}
