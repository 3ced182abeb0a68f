//! How much was sent, how much the store had, how much it needs, and what shares bytes with what:
//! on each store, through the calls of the gateway and as the commands print it.

use bytes::Bytes;
use ratchet::digest::Sha256;
use ratchet::upload::{
    ChunkClaim, NewBackup, NewUpload, PartAdmission, PartClaim, Session, Uploads,
};

use crate::support::fleet::{chosen, part_number};
use crate::support::lab::{self, Lab, pattern};

const PART: usize = 5 << 20;
const ACCOUNT: &str = "home";

async fn each_store(test: impl AsyncFn(Lab)) {
    for lab in [lab::memory().await, lab::dir().await, lab::s3().await].into_iter().flatten() {
        test(lab).await;
    }
}

/// Four parts of a file, each other than the next.
fn parts(salt: u8) -> Vec<Bytes> {
    (0..4).map(|at| pattern(PART + usize::from(at), salt.wrapping_add(at))).collect()
}

fn len(parts: &[Bytes]) -> u64 {
    parts.iter().map(|part| part.len() as u64).sum()
}

async fn upload(gateway: &Uploads, lab: &Lab, key: &str) -> Session {
    let new = NewUpload { bucket: lab.bucket.clone(), key: key.into(), ..NewUpload::default() };
    gateway.create_upload(&ACCOUNT.into(), new).await.unwrap()
}

/// Puts a part as a client that waits for `100 Continue`.
async fn put(session: &Session, number: u32, bytes: &Bytes) {
    let claim = PartClaim {
        sha256: Some(Sha256::of(bytes)),
        len_bytes: bytes.len() as u64,
        waits: true,
        ..PartClaim::default()
    };
    match session.admit_part(part_number(number), claim).await.unwrap() {
        PartAdmission::Known(_) => {}
        PartAdmission::Wanted(permit) => drop(permit.store(bytes.clone().into()).await.unwrap()),
    }
}

async fn complete(session: &Session) {
    let entries = session.part_entries().await.unwrap();
    session.complete_parts(&chosen(&entries)).await.unwrap();
}

/// Sent and known bytes by the records, and sent ones by the root once it is complete.
async fn counted(session: &Session) -> (u64, u64, Option<u64>) {
    let progress = session.progress().await.unwrap();
    let sent = session.root().finished().and_then(|object| object.sent_bytes);
    (progress.sent_bytes, progress.known_bytes, sent)
}

#[tokio::test]
async fn what_the_store_copied_counts_as_known_and_the_rest_as_sent() {
    each_store(async |lab| {
        let gateway = lab.gateway().await;
        let mut bytes = parts(1);
        let first = upload(&gateway, &lab, "disk").await;
        for (number, part) in (1..).zip(&bytes) {
            put(&first, number, part).await;
        }
        assert_eq!(counted(&first).await, (len(&bytes), 0, None));
        complete(&first).await;
        assert_eq!(counted(&first).await, (len(&bytes), 0, Some(len(&bytes))));
        bytes[2] = pattern(PART, 77);
        let changed = PART as u64;
        // By a client of the chunk API, which claims, and then by one of S3.
        let new = NewBackup {
            bucket: lab.bucket.clone(),
            key: "claimed".into(),
            chunk_size: PART as u64,
            size: Some(2 * changed),
            ..NewBackup::default()
        };
        let (_, claimed) = gateway.create(&ACCOUNT.into(), new).await.unwrap();
        let sha256 = Sha256::of(&bytes[0]);
        let claim = ChunkClaim { index: 0, sha256, len_bytes: changed };
        assert_eq!(claimed.claim_chunks(&[claim]).await.unwrap().copied, 1);
        assert_eq!(counted(&claimed).await, (0, changed, None));
        let second = upload(&gateway, &lab, "disk").await;
        for (number, part) in (1..).zip(&bytes) {
            put(&second, number, part).await;
        }
        complete(&second).await;
        let known = len(&bytes) - changed;
        assert_eq!(counted(&second).await, (changed, known, Some(changed)));
        // Another gateway reads the same from the documents.
        let other = lab.gateway().await;
        let id = second.root().backup_id.clone();
        let read = other.open(&ACCOUNT.into(), &id).await.unwrap();
        assert_eq!(counted(&read).await, (changed, known, Some(changed)));
    })
    .await;
}

#[tokio::test]
async fn what_a_predecessor_recorded_counts_as_known() {
    each_store(async |lab| {
        let gateway = lab.gateway().await;
        let bytes = parts(1);
        let killed = upload(&gateway, &lab, "disk").await;
        put(&killed, 1, &bytes[0]).await;
        put(&killed, 2, &bytes[1]).await;
        killed.abort_and_keep("stopped by its client").await.unwrap();
        let resumed = upload(&gateway, &lab, "disk").await;
        for (number, part) in (1..).zip(&bytes) {
            put(&resumed, number, part).await;
        }
        complete(&resumed).await;
        let (sent, known) = (len(&bytes[2..]), len(&bytes[..2]));
        assert_eq!(counted(&resumed).await, (sent, known, Some(sent)));
    })
    .await;
}
