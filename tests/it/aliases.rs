//! Uploads of one key beside each other: an upload goes on whoever began the key meanwhile, and
//! shares the store upload of a successor that sends the same bytes, until their bytes differ.

use std::time::Duration;

use ratchet::digest::Sha256;
use ratchet::store::{Body, DeleteOptions, PutOptions};
use ratchet::upload::{
    Error, Kind, ObjectClaim, PartAdmission, PartClaim, PartCopied, PartEntry, PartSource, Session,
    TargetCondition, Uploads,
};

use crate::support::fleet::{CHUNK, DAY, Fleet, MINUTE, chosen, chunk, new_upload, part_number};

/// Puts a part with its SHA-256 declared, or without. True if its bytes were not stored.
async fn put(
    gateway: &Uploads,
    id: &str,
    at: u32,
    bytes: Vec<u8>,
    declared: bool,
) -> Result<bool, Error> {
    let session = open(gateway, id).await?;
    let sha256 = declared.then(|| Sha256::of(&bytes));
    let claim = PartClaim { sha256, len_bytes: bytes.len() as u64, ..PartClaim::default() };
    match session.admit_part(part_number(at), claim).await? {
        PartAdmission::Known(_) => Ok(true),
        PartAdmission::Wanted(permit) => {
            let stored = permit.store(bytes.into()).await?;
            Ok(stored == ratchet::upload::Stored::Known)
        }
    }
}

async fn open(gateway: &Uploads, id: &str) -> Result<Session, Error> {
    gateway.open_upload(&"home".into(), &"b".into(), &"k".into(), &id.into()).await
}

async fn begin(gateway: &Uploads) -> String {
    let session = gateway.create_upload(&"home".into(), new_upload("k")).await.unwrap();
    session.root().backup_id.to_string()
}

/// The numbers of the parts that a listing shows.
async fn listed(gateway: &Uploads, id: &str) -> Vec<u16> {
    let entries = open(gateway, id).await.unwrap().part_entries().await.unwrap();
    entries.iter().map(|entry| entry.number).collect()
}

async fn complete(gateway: &Uploads, id: &str) -> Result<u64, Error> {
    complete_if(gateway, id, &ObjectClaim::default(), None).await
}

/// Completes an upload of all its parts, with what is stated of the object and a condition.
async fn complete_if(
    gateway: &Uploads,
    id: &str,
    claim: &ObjectClaim,
    condition: Option<TargetCondition>,
) -> Result<u64, Error> {
    let session = open(gateway, id).await?;
    let entries = session.part_entries().await?;
    let completed = session.complete_claimed(&chosen(&entries), claim, condition).await;
    completed.map(|object| object.size_bytes)
}

async fn complete_as(session: &Session, entries: &[PartEntry]) -> Result<u64, Error> {
    session.complete_parts(&chosen(entries)).await.map(|object| object.size_bytes)
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> Kind {
    result.unwrap_err().kind()
}

/// A first upload with part 1 whose client hung up in mid-part, or was silent, and a second one of
/// the same key, each at a gateway of its own.
async fn two_uploads(fleet: &Fleet, idle: Duration) -> (Uploads, String, Uploads, String) {
    let (one, two) = (fleet.gateway(), fleet.gateway());
    let first = begin(&one).await;
    assert!(!put(&one, &first, 1, chunk(1), true).await.unwrap());
    if idle.is_zero() {
        open(&one, &first).await.unwrap().client_disconnected().await.unwrap();
    }
    fleet.clock.pause(idle).await;
    let second = begin(&two).await;
    (one, first, two, second)
}

const IDLE: [Duration; 2] = [Duration::ZERO, Duration::from_secs(330)];

#[tokio::test(start_paused = true)]
async fn an_upload_goes_on_after_another_one_of_its_key_began() {
    for idle in IDLE {
        let fleet = Fleet::new(1).await;
        let (one, first, two, second) = two_uploads(&fleet, idle).await;
        put(&one, &first, 2, chunk(2), true).await.unwrap();
        put(&two, &second, 1, chunk(7), true).await.unwrap();
        put(&one, &first, 3, chunk(3), false).await.unwrap();
        assert_eq!(complete(&two, &second).await.unwrap(), CHUNK as u64);
        assert_eq!(listed(&one, &first).await, [1, 2, 3]);
        assert_eq!(complete(&one, &first).await.unwrap(), 3 * CHUNK as u64);
        fleet.store.delete(&"b".into(), &"k".into(), &DeleteOptions::default()).await.unwrap();
        fleet.assert_nothing_is_left().await;
    }
}

/// Both clients send the same file; `first_completes` says who is faster, `declared` whether they
/// declare the SHA-256 of all parts but the one that proves it.
#[tokio::test(start_paused = true)]
async fn both_clients_of_one_file_complete_their_uploads() {
    for (at, idle) in [0, 1, 0, 1, 0, 1, 0, 1].into_iter().map(|at| IDLE[at]).enumerate() {
        let (first_completes, declared) = (at & 2 == 0, at & 4 == 0);
        let fleet = Fleet::new(1).await;
        let (one, first, two, second) = two_uploads(&fleet, idle).await;
        assert!(put(&two, &second, 1, chunk(1), true).await.unwrap(), "{at}: the part is known");
        // A gateway may know the old root for a second, and would tell the client to try again.
        fleet.clock.pause(Duration::from_secs(2)).await;
        put(&one, &first, 2, chunk(2), declared).await.unwrap();
        assert_eq!(listed(&two, &second).await, [1], "{at}: only what its client was told");
        assert!(put(&two, &second, 2, chunk(2), true).await.unwrap(), "{at}: from the alias");
        put(&two, &second, 3, chunk(3), declared).await.unwrap();
        fleet.clock.pause(Duration::from_secs(2)).await;
        assert_eq!(listed(&one, &first).await, [1, 2]);
        if first_completes {
            assert!(put(&one, &first, 3, chunk(3), declared).await.unwrap());
            assert_eq!(complete(&one, &first).await.unwrap(), 3 * CHUNK as u64, "{at}");
            fleet.clock.pause(Duration::from_secs(2)).await;
            // The other client repeats a part, as after a lost answer.
            assert!(put(&two, &second, 3, chunk(3), declared).await.unwrap(), "{at}");
            assert_eq!(kind(put(&two, &second, 3, chunk(9), declared).await), Kind::NotOpen);
            assert_eq!(complete(&two, &second).await.unwrap(), 3 * CHUNK as u64, "{at}");
        } else {
            assert_eq!(complete(&two, &second).await.unwrap(), 3 * CHUNK as u64, "{at}");
            fleet.clock.pause(Duration::from_secs(2)).await;
            assert!(put(&one, &first, 3, chunk(3), declared).await.unwrap(), "{at}");
            assert_eq!(listed(&one, &first).await, [1, 2, 3]);
            assert_eq!(complete(&one, &first).await.unwrap(), 3 * CHUNK as u64, "{at}");
        }
        for (gateway, id) in [(&one, &first), (&two, &second)] {
            assert_eq!(complete(gateway, id).await.unwrap(), 3 * CHUNK as u64, "{at}: repeated");
            assert_eq!(kind(put(gateway, id, 4, chunk(4), declared).await), Kind::NotOpen, "{at}");
        }
        fleet.store.delete(&"b".into(), &"k".into(), &DeleteOptions::default()).await.unwrap();
        fleet.assert_nothing_is_left().await;
    }
}

#[tokio::test(start_paused = true)]
async fn other_bytes_part_two_uploads() {
    for (declared, newer) in [(true, true), (true, false), (false, true), (false, false)] {
        let fleet = Fleet::new(1).await;
        let (one, first, two, second) = two_uploads(&fleet, Duration::ZERO).await;
        assert!(put(&two, &second, 1, chunk(1), true).await.unwrap());
        fleet.clock.pause(Duration::from_secs(2)).await;
        put(&one, &first, 2, chunk(2), declared).await.unwrap();
        if newer {
            put(&two, &second, 2, chunk(8), declared).await.unwrap();
        } else {
            put(&two, &second, 2, chunk(2), declared).await.unwrap();
            assert_eq!(kind(put(&one, &first, 2, chunk(8), declared).await), Kind::NotOpen);
        }
        fleet.clock.pause(Duration::from_secs(2)).await;
        assert_eq!(kind(put(&one, &first, 3, chunk(3), declared).await), Kind::NotOpen);
        assert_eq!(kind(complete(&one, &first).await), Kind::NotOpen);
        assert_eq!(complete(&two, &second).await.unwrap(), 2 * CHUNK as u64, "it is not harmed");
        fleet.store.delete(&"b".into(), &"k".into(), &DeleteOptions::default()).await.unwrap();
        fleet.assert_nothing_is_left().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_of_one_client_leaves_the_upload_of_the_other() {
    for newer_aborts in [true, false] {
        let fleet = Fleet::new(1).await;
        let (one, first, two, second) = two_uploads(&fleet, Duration::ZERO).await;
        assert!(put(&two, &second, 1, chunk(1), true).await.unwrap());
        fleet.clock.pause(Duration::from_secs(2)).await;
        let (aborting, aborted, other, id) = if newer_aborts {
            (&two, &second, &one, &first)
        } else {
            (&one, &first, &two, &second)
        };
        open(aborting, aborted).await.unwrap().abort_and_keep("its client").await.unwrap();
        fleet.clock.pause(Duration::from_secs(2)).await;
        let refused = put(aborting, aborted, 1, chunk(1), true).await;
        assert!(matches!(kind(refused), Kind::NotOpen | Kind::NoSuchBackup));
        put(other, id, 2, chunk(2), true).await.unwrap();
        assert_eq!(complete(other, id).await.unwrap(), 2 * CHUNK as u64);
        fleet.store.delete(&"b".into(), &"k".into(), &DeleteOptions::default()).await.unwrap();
        fleet.assert_nothing_is_left().await;
    }
}

/// The parts in flight at a kill are missing among the first ones, and may come first.
#[tokio::test(start_paused = true)]
async fn a_missing_first_part_waits_for_one_that_proves_the_same_file() {
    let fleet = Fleet::new(1).await;
    let one = fleet.gateway();
    let first = begin(&one).await;
    put(&one, &first, 2, chunk(2), true).await.unwrap();
    open(&one, &first).await.unwrap().client_disconnected().await.unwrap();
    let two = fleet.gateway();
    let second = begin(&two).await;
    let late = async {
        fleet.clock.pause(Duration::from_millis(200)).await;
        put(&two, &second, 2, chunk(2), true).await
    };
    let (missing, known) = tokio::join!(put(&two, &second, 1, chunk(1), true), late);
    assert!(!missing.unwrap() && known.unwrap());
    assert_eq!(complete(&two, &second).await.unwrap(), 2 * CHUNK as u64);
    // Without such a part it is stored at once, and nothing is taken over any more.
    let third = begin(&two).await;
    let began = fleet.clock.monotonic();
    put(&two, &third, 1, chunk(1), true).await.unwrap();
    assert!(fleet.clock.monotonic() - began < Duration::from_secs(1));
    fleet.clock.pause(9 * DAY + MINUTE).await;
    fleet.store.delete(&"b".into(), &"k".into(), &DeleteOptions::default()).await.unwrap();
    fleet.assert_nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_repeated_complete_needs_the_parts_that_were_completed() {
    let fleet = Fleet::new(1).await;
    let gateway = fleet.gateway();
    let id = begin(&gateway).await;
    for at in 1..=3 {
        put(&gateway, &id, at, chunk(u64::from(at)), true).await.unwrap();
    }
    let session = open(&gateway, &id).await.unwrap();
    let all = session.part_entries().await.unwrap();
    assert_eq!(complete_as(&session, &all[..2]).await.unwrap(), 2 * CHUNK as u64);
    assert_eq!(complete_as(&session, &all[..2]).await.unwrap(), 2 * CHUNK as u64);
    let mut other = all[..2].to_vec();
    other[1].etag = all[0].etag.clone();
    for list in [&all[..1], &all[..], &all[1..], &other[..], &[]] {
        assert_eq!(kind(complete_as(&session, list).await), Kind::InvalidPart, "{list:?}");
    }
}

/// Of both clients of one file each has to state what is true of the object, and the condition with
/// which it was made.
#[tokio::test(start_paused = true)]
async fn a_repeated_complete_needs_the_size_and_the_condition_of_the_object() {
    for first_completes in [true, false] {
        let fleet = Fleet::new(1).await;
        let (one, first, two, second) = two_uploads(&fleet, Duration::ZERO).await;
        assert!(put(&two, &second, 1, chunk(1), true).await.unwrap(), "the part is known");
        fleet.clock.pause(Duration::from_secs(2)).await;
        let size = |size| ObjectClaim { size_bytes: Some(size), ..ObjectClaim::default() };
        let (right, wrong) = (size(CHUNK as u64), size(CHUNK as u64 + 1));
        let absent = Some(TargetCondition::Absent);
        let tag = Some(TargetCondition::Tag("another".into()));
        let (gateway, id) = if first_completes { (&one, &first) } else { (&two, &second) };
        let refused = complete_if(gateway, id, &wrong, absent.clone()).await;
        assert_eq!(kind(refused), Kind::BadRequest);
        let unmet = complete_if(gateway, id, &right, tag.clone()).await;
        assert_eq!(kind(unmet), Kind::ConditionFailed, "the upload stays");
        complete_if(gateway, id, &right, absent.clone()).await.unwrap();
        for (gateway, id) in [(&one, &first), (&two, &second)] {
            fleet.clock.pause(Duration::from_secs(2)).await;
            let refused = complete_if(gateway, id, &wrong, absent.clone()).await;
            assert_eq!(kind(refused), Kind::BadRequest, "{first_completes}");
            let refused = complete_if(gateway, id, &right, tag.clone()).await;
            assert_eq!(kind(refused), Kind::NotOpen, "{first_completes}");
            let again = complete_if(gateway, id, &right, absent.clone()).await;
            assert_eq!(again.unwrap(), CHUNK as u64, "{first_completes}");
        }
    }
}

/// What the store copies cannot be called back, so an alias does not let it.
#[tokio::test(start_paused = true)]
async fn the_store_copies_parts_for_the_owner_of_the_store_upload_only() {
    let fleet = Fleet::new(1).await;
    let source = Body::from(chunk(3));
    let (bucket, key) = ("b".into(), "source".into());
    let etag = fleet.store.put(&bucket, &key, source, PutOptions::default()).await.unwrap().etag;
    let (one, first, two, second) = two_uploads(&fleet, Duration::ZERO).await;
    assert!(put(&two, &second, 1, chunk(1), true).await.unwrap(), "the part is known");
    fleet.clock.pause(Duration::from_secs(2)).await;
    let known = Some(Sha256::of(&chunk(3)));
    for (gateway, id, sha256, copies) in
        [(&one, &first, known, false), (&two, &second, None, false), (&two, &second, known, true)]
    {
        let claim = PartClaim { len_bytes: CHUNK as u64, ..PartClaim::default() };
        let admission = open(gateway, id).await.unwrap().admit_part(part_number(3), claim).await;
        let PartAdmission::Wanted(permit) = admission.unwrap() else { panic!("no such part yet") };
        let (bucket, key, etag) = (bucket.clone(), key.clone(), etag.clone());
        let source = PartSource { sha256, ..PartSource::whole(bucket, key, etag) };
        let copied = permit.copy_part(source).await.unwrap();
        assert_eq!(matches!(copied, PartCopied::Recorded(_)), copies, "{copied:?}");
    }
    assert_eq!(listed(&one, &first).await, [1]);
    assert_eq!(complete(&two, &second).await.unwrap(), 2 * CHUNK as u64);
}
