//! The room's operations on a store in memory, with faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::*;
use crate::clock::Clock;
use crate::names::{Bucket, Key};
use crate::store::{
    self, Body, PutOptions, Store,
    faulty::{Call, Fault, Faulty, Op},
    memory::Memory,
};

const TERM: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counter {
    #[serde(flatten)]
    stamp: Stamp,
    count: u64,
    holder: Option<String>,
}

impl Document for Counter {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn set_stamp(&mut self, stamp: Stamp) {
        self.stamp = stamp;
    }

    fn encode(&self) -> Vec<u8> {
        frame::encode(self)
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        frame::decode(bytes)
    }
}

impl LeaseDocument for Counter {
    fn holder(&self) -> Option<&str> {
        self.holder.as_deref()
    }

    fn set_holder(&mut self, holder: Option<String>) {
        self.holder = holder;
    }
}

fn key() -> Key {
    "counter".into()
}

/// Two accesses to one bucket: one whose calls `fault` decides on, by the number of calls so far,
/// and one without faults.
async fn documents(
    fault: impl Fn(usize, Call<'_>) -> Option<Fault> + Send + Sync + 'static,
) -> (Documents, Documents) {
    let clock = Clock::seeded(1);
    let memory: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
    let bucket = Bucket::from("state");
    memory.create_bucket(&bucket).await.unwrap();
    let calls = AtomicUsize::new(0);
    let hook = move |call: Call<'_>| {
        (Duration::from_millis(5), fault(calls.fetch_add(1, Ordering::Relaxed), call))
    };
    let faulty = Faulty::new(Arc::clone(&memory), clock.clone(), Box::new(hook));
    let faulty =
        Documents { store: Arc::new(faulty), bucket: bucket.clone(), clock: clock.clone() };
    (faulty, Documents { store: memory, bucket, clock })
}

fn counter(documents: &Documents, count: u64) -> Counter {
    let stamp = Stamp::default().next(&documents.clock.random_id());
    Counter { stamp, count, holder: None }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_response_was_lost_is_won() {
    let (faulty, _) = documents(|_, call| (call.op == Op::Put).then_some(Fault::After)).await;
    let created = faulty.create(&key(), counter(&faulty, 1)).await.unwrap();
    let SwapOutcome::Won(created) = created else { panic!("{created:?}") };
    let next = Counter { stamp: created.value.stamp.next("w2"), ..counter(&faulty, 2) };
    let swapped = faulty.swap(&key(), Some(&created), next).await.unwrap();
    assert!(matches!(swapped, SwapOutcome::Won(now) if now.value.count == 2));
}

#[tokio::test(start_paused = true)]
async fn a_write_after_another_writer_is_lost() {
    let (_, documents) = documents(|_, _| None).await;
    let SwapOutcome::Won(created) = documents.create(&key(), counter(&documents, 1)).await.unwrap()
    else {
        panic!("nobody else creates it")
    };
    let stamp = created.value.stamp.clone();
    for (write_id, count, is_won) in [("one", 10, true), ("two", 20, false)] {
        let next = Counter { stamp: stamp.next(write_id), ..counter(&documents, count) };
        let swapped = documents.swap(&key(), Some(&created), next).await.unwrap();
        let (won, now) = match swapped {
            SwapOutcome::Won(now) => (true, now),
            SwapOutcome::Lost(now) => (false, now.unwrap()),
        };
        assert_eq!((won, now.value.count), (is_won, 10));
    }
    let again = documents.create(&key(), counter(&documents, 3)).await.unwrap();
    assert!(matches!(again, SwapOutcome::Lost(Some(now)) if now.value.count == 10));
    documents.delete(&key()).await.unwrap();
    let next = Counter { stamp: stamp.next("three"), ..counter(&documents, 30) };
    let swapped = documents.swap(&key(), Some(&created), next).await.unwrap();
    assert!(matches!(swapped, SwapOutcome::Lost(None)));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_document_is_read_again_and_then_an_error() {
    let (faulty, documents) =
        documents(|calls, _| (calls < 3).then_some(Fault::FlippedBit(20))).await;
    documents.create(&key(), counter(&documents, 7)).await.unwrap();
    let read = faulty.read::<Counter>(&key()).await.unwrap().unwrap();
    assert_eq!(read.value.count, 7, "damaged on its way");
    let bytes = b"{\"version\":1,\"seq\":1,\"writeId\":\"w\",\"count\":7}".to_vec();
    let (store, options) = (&documents.store, PutOptions::default());
    store.put(&documents.bucket, &key(), Body::from(bytes), options).await.unwrap();
    let error = documents.read::<Counter>(&key()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "damaged in the store");
}

#[tokio::test(start_paused = true)]
async fn a_known_document_is_revalidated_without_its_bytes() {
    let (faulty, documents) = documents(|_, _| Some(Fault::FlippedBit(20))).await;
    let created = documents.create(&key(), counter(&documents, 7)).await.unwrap();
    let SwapOutcome::Won(known) = created else { panic!("nobody else creates it") };
    let found = faulty.revalidate(&key(), Some(&known)).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&found.value, &known.value));
    assert!(faulty.read::<Counter>(&"none".into()).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_an_error() {
    let down = Fault::Before(store::Kind::Unavailable);
    let (faulty, _) = documents(move |_, _| Some(down)).await;
    let error = faulty.create(&key(), counter(&faulty, 1)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let (faulty, _) = documents(|_, _| Some(Fault::Before(store::Kind::Denied))).await;
    assert_eq!(faulty.read::<Counter>(&key()).await.unwrap_err().kind(), Kind::Denied);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_repeated_until_it_wins() {
    let (_, documents) = documents(|_, _| None).await;
    let created = documents.create(&key(), counter(&documents, 0)).await.unwrap();
    let SwapOutcome::Won(known) = created else { panic!("nobody else creates it") };
    let add_one = |counter: &mut Counter| {
        counter.count += 1;
        counter.count <= 2
    };
    let change =
        |known| async { documents.change(&key(), known, add_one, |_, _| ()).await.unwrap() };
    let (one, two) = tokio::join!(change(known.clone()), change(known.clone()));
    for outcome in [one, two] {
        assert!(matches!(outcome, ChangeOutcome::Changed { .. }), "{outcome:?}");
    }
    let third = change(known).await;
    assert!(matches!(third, ChangeOutcome::Refused(now) if now.value.count == 2));
}

async fn acquire(documents: &Documents, holder: &str) -> Option<Lease<Counter>> {
    let is_available =
        |found: &FoundLease<Counter>| found.snapshot.value.holder.is_none() || found.age >= TERM;
    Lease::acquire(documents, key(), holder, is_available).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lease_has_one_holder_until_it_is_released() {
    let (_, documents) = documents(|_, _| None).await;
    let mut lease = acquire(&documents, "one").await.unwrap();
    assert!(acquire(&documents, "two").await.is_none());
    assert!(lease.renew(|counter| counter.count = 5).await.unwrap());
    assert!(lease.release(|_| ()).await.unwrap());
    let next = acquire(&documents, "two").await.unwrap();
    assert_eq!((next.document().holder(), next.document().count), (Some("two"), 5));
}

#[tokio::test(start_paused = true)]
async fn a_silent_holder_is_replaced_and_learns_it_at_its_next_renewal() {
    let (_, documents) = documents(|_, _| None).await;
    let mut silent = acquire(&documents, "silent").await.unwrap();
    documents.clock.pause(TERM).await;
    let mut successor = acquire(&documents, "successor").await.unwrap();
    assert!(!silent.renew(|_| ()).await.unwrap());
    assert!(successor.renew(|_| ()).await.unwrap(), "the old holder overwrote nothing");
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_that_acquire_a_lease_at_once_one_does() {
    let (_, documents) = documents(|_, _| None).await;
    let (one, two) = tokio::join!(acquire(&documents, "one"), acquire(&documents, "two"));
    assert_eq!(usize::from(one.is_some()) + usize::from(two.is_some()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_response_was_lost_is_held() {
    let (faulty, _) = documents(|_, call| (call.op == Op::Put).then_some(Fault::After)).await;
    let mut lease = acquire(&faulty, "one").await.unwrap();
    assert!(lease.renew(|_| ()).await.unwrap());
}

#[derive(Clone)]
struct Owner {
    documents: Documents,
    group_commit: Arc<GroupCommit<Owner>>,
}

impl GroupOwner for Owner {
    type Id = u32;
    type Document = Counter;
    type Change = u64;
    type Outcome = u64;
    type Error = Error;

    fn group_commit(&self) -> &GroupCommit<Self> {
        &self.group_commit
    }

    fn documents(&self) -> &Documents {
        &self.documents
    }

    fn key(&self, _: u32) -> Key {
        key()
    }

    fn apply(&self, counter: &mut Counter, add: &u64) -> Applied<u64> {
        counter.count += add;
        if *add == 0 { Applied::Unchanged(counter.count) } else { Applied::Changed(counter.count) }
    }

    fn share_error(error: &Error) -> Error {
        Error::Interrupted(error.to_string())
    }
}

#[tokio::test(start_paused = true)]
async fn changes_that_arrive_during_a_write_share_the_next_one() {
    let (faulty, documents) = documents(|_, _| None).await;
    let owner = Owner { documents: faulty, group_commit: Arc::default() };
    let outcomes = (0..10).map(|_| commit(&owner, 0, 1));
    let mut outcomes: Vec<u64> =
        futures_util::future::join_all(outcomes).await.into_iter().map(Result::unwrap).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, (1..=10).collect::<Vec<u64>>(), "each waiter has its own outcome");
    let now = documents.read::<Counter>(&key()).await.unwrap().unwrap();
    assert_eq!(now.value.count, 10);
    assert!(now.value.stamp.seq <= 2, "{} writes", now.value.stamp.seq);
    let unchanged = commit(&owner, 0, 0).await.unwrap();
    let after = documents.read::<Counter>(&key()).await.unwrap().unwrap();
    assert_eq!((unchanged, after.etag), (10, now.etag), "nothing to write");
}

#[tokio::test(start_paused = true)]
async fn a_queued_change_is_made_although_its_waiter_goes_away() {
    let (faulty, documents) = documents(|_, _| None).await;
    let owner = Owner { documents: faulty, group_commit: Arc::default() };
    let dropped = tokio::time::timeout(Duration::from_millis(1), commit(&owner, 0, 1)).await;
    assert!(dropped.is_err());
    documents.clock.pause(Duration::from_secs(1)).await;
    assert_eq!(documents.read::<Counter>(&key()).await.unwrap().unwrap().value.count, 1);
}

#[tokio::test(start_paused = true)]
async fn every_waiter_of_a_failed_write_gets_its_error() {
    let (faulty, _) = documents(|_, _| Some(Fault::Before(store::Kind::Full))).await;
    let owner = Owner { documents: faulty, group_commit: Arc::default() };
    let (one, two) = tokio::join!(commit(&owner, 0, 1), commit(&owner, 0, 1));
    assert!(one.is_err() && two.is_err());
}
