//! Authorization: every operation of both protocols, by every kind of account, on targets inside
//! and outside its grants.
//!
//! The table is `tests/golden/authorization.txt`, with a row for each operation and target and a
//! column for each account: `+` allowed (followed by the number of entries that a listing showed),
//! `-` refused without a grant or a signature, `0` not found, and the status if the account has the
//! right but the request fails for another reason. A request with several keys has a mark for each.
//! Each cell is requested twice, with an `Authorization` header and as a presigned URL. A request
//! without `+` changed nothing in the store and showed no byte of an object. The test fails if the
//! sources name an operation that has no row.

mod operations;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use ratchet::accounts::{Access, AccountSettings, GrantSettings, KeySettings};
use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::names::Bucket;
use ratchet::store::{Body, DeleteOptions, ListOptions, PutOptions, Store};
use ratchet::upload::{Admission, NewBackup, Uploads};

use crate::support::gateway::{Gateway, LIMITED, OTHER, READER, ROOT, settings, start};
use crate::support::request::{AccessKey, chunk_api};
use crate::support::response::{Response, exchange_and_close};
use operations::{Precondition, Row, operations, rows};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/authorization.txt");

const OWNER: AccessKey = ("AKOWNER", "owner-secret-0123");
const PREFIX_READER: AccessKey = ("AKPEEKER", "peeker-secret-0123");
const OTHER_BUCKET_ADMIN: AccessKey = ("AKELSEWHERE", "elsewhere-secret-0123");

/// Name, key and rights of each account.
const ACCOUNTS: [(&str, Option<AccessKey>, &str); 8] = [
    ("root", Some(ROOT), "admin on everything"),
    ("other", Some(OTHER), "admin on everything, and another account"),
    ("owner", Some(OWNER), "admin on bucket"),
    ("limited", Some(LIMITED), "write on bucket/mine/"),
    ("reader", Some(READER), "read on everything"),
    ("peeker", Some(PREFIX_READER), "read on bucket/mine/"),
    ("elsewhere", Some(OTHER_BUCKET_ADMIN), "admin on others"),
    ("nobody", None, "not signed"),
];

const BYTES: &[u8] = b"eyes only";
const CHUNK: u64 = 5 << 20;

/// Ids of the sessions that exist before a request, and the ETag of their only part.
#[derive(Default)]
struct Sessions {
    mine: String,
    theirs: String,
    foreign: String,
    etag: String,
    /// The id for a session that the request creates.
    fresh: String,
}

/// The gateway, and access to its store.
struct World {
    gateway: Gateway,
    uploads: Uploads,
    clock: Clock,
}

impl World {
    async fn new() -> Self {
        let grant = |bucket: &str, prefix: &str, access| GrantSettings {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            access,
        };
        let account = |name: &str, key: AccessKey, grant| AccountSettings {
            name: name.to_owned(),
            root: false,
            keys: vec![KeySettings { id: key.0.to_owned(), secret: key.1.to_owned().into() }],
            grants: vec![grant],
        };
        let mut settings = settings();
        settings.gc.enabled = false;
        settings.accounts.accounts.extend([
            account("owner", OWNER, grant("bucket", "", Access::Admin)),
            account("peeker", PREFIX_READER, grant("bucket", "mine/", Access::Read)),
            account("elsewhere", OTHER_BUCKET_ADMIN, grant("others", "", Access::Admin)),
        ]);
        let upload = settings.upload.clone();
        let gateway = start(settings).await;
        let clock = Clock::seeded(77);
        let uploads =
            Uploads::new(Arc::clone(&gateway.store) as Arc<dyn Store>, clock.clone(), upload);
        Self { gateway, uploads, clock }
    }

    /// Every object of every bucket, including the records.
    async fn contents(&self) -> BTreeSet<(String, String, String)> {
        let mut found = BTreeSet::new();
        for info in self.gateway.store.list_buckets().await.unwrap() {
            found.insert((info.bucket.to_string(), String::new(), String::new()));
            let mut options = ListOptions { limit: 1000, ..ListOptions::default() };
            loop {
                let page = self.gateway.store.list(&info.bucket, &options).await.unwrap();
                for object in page.objects {
                    found.insert((
                        info.bucket.to_string(),
                        object.key.to_string(),
                        object.etag.to_string(),
                    ));
                }
                let Some(next) = page.next else { break };
                options.continue_at(next);
            }
        }
        found
    }

    /// Restores the state in which each request is sent.
    async fn reset(&self, account: &str, precondition: Precondition) -> Sessions {
        let store = &self.gateway.store;
        for (bucket, key, _) in
            self.contents().await.into_iter().filter(|(_, key, _)| !key.is_empty())
        {
            store
                .delete(&bucket.as_str().into(), &key.as_str().into(), &DeleteOptions::default())
                .await
                .unwrap();
        }
        store.delete_bucket(&"missing".into()).await.ok();
        for bucket in ["bucket", "others"] {
            store.create_bucket(&bucket.into()).await.ok();
        }
        for (bucket, key) in [
            ("bucket", "mine/k"),
            ("bucket", "mine/k2"),
            ("bucket", "theirs/k"),
            ("others", "k"),
            ("ratchet-state", "v1/k"),
        ] {
            let bucket: Bucket = bucket.into();
            store
                .put(&bucket, &key.into(), BYTES.to_vec().into(), PutOptions::default())
                .await
                .unwrap();
        }
        if precondition == Precondition::Objects {
            return Sessions { fresh: self.clock.random_id(), ..Sessions::default() };
        }
        let (mine, etag) = self.create_session(account, "mine/k", precondition).await;
        let (theirs, _) = self.create_session(account, "theirs/k", precondition).await;
        let (foreign, _) = self.create_session("somebody", "mine/k", precondition).await;
        Sessions { mine, theirs, foreign, etag, fresh: self.clock.random_id() }
    }

    async fn create_session(
        &self,
        account: &str,
        key: &str,
        precondition: Precondition,
    ) -> (String, String) {
        let size = Some(BYTES.len() as u64);
        let (bucket, key, file_id) = ("bucket".into(), key.into(), self.clock.random_id());
        let new =
            NewBackup { bucket, key, chunk_size: CHUNK, size, file_id, ..NewBackup::default() };
        let (_, session) = self.uploads.create(&account.into(), new).await.unwrap();
        let admitted = session.admit(0, Sha256::of(BYTES), BYTES.len() as u64).await.unwrap();
        let Admission::Wanted(permit) = admitted else { panic!("the chunk is new") };
        permit.store(Body::from(bytes::Bytes::from_static(BYTES))).await.unwrap();
        let etag = session.part_entries().await.unwrap()[0].etag.to_string();
        if precondition == Precondition::CompleteSessions {
            session.finalize(None).await.unwrap();
        }
        (session.root().backup_id.to_string(), etag)
    }

    /// The mark of one cell, after both requests.
    async fn cell(&self, row: &Row, (name, key, _): (&str, Option<AccessKey>, &str)) -> String {
        let mut marks = Vec::new();
        for presigned in [false, true] {
            let sessions = self.reset(name, row.precondition).await;
            let request = (row.make)(&sessions, key).signed_by(key);
            let body = request.body.clone();
            let presigned_url = presigned && key.is_some() && row.op != "s3-post-object";
            let head = if presigned_url {
                request.presigned(60, self.gateway.address)
            } else {
                request.head(self.gateway.address)
            };
            let before = self.contents().await;
            let response = exchange_and_close(self.gateway.address, &head, &body).await;
            let mark = mark(row.op, &response);
            if !mark.contains('+') {
                assert_eq!(
                    self.contents().await,
                    before,
                    "{name}: {} {} changed something",
                    row.op,
                    row.target
                );
            }
            let shown = String::from_utf8_lossy(&response.body).contains("eyes only");
            assert!(
                !shown || mark.starts_with('+'),
                "{name}: {} {} shows bytes: {response:?}",
                row.op,
                row.target
            );
            marks.push(mark);
        }
        assert_eq!(
            marks[0], marks[1],
            "{name}: {} {}: header and URL disagree",
            row.op, row.target
        );
        marks.swap_remove(0)
    }
}

fn mark(op: &str, response: &Response) -> String {
    let text = String::from_utf8_lossy(&response.body).into_owned();
    let count = |mark: &str| text.matches(mark).count();
    let refusals = ["AccessDenied", "InvalidAccessKeyId", "forbidden", "unauthorized", ""];
    match (response.status, op) {
        (200..=299, "s3-delete-objects") => {
            let keys = text.split("<Key>").skip(1);
            let deleted = text.split("<Key>").map(|before| before.ends_with("<Deleted>"));
            assert!(count("<Code>") == count("<Code>AccessDenied</Code>"), "{text}");
            keys.zip(deleted).map(|(_, deleted)| if deleted { '+' } else { '-' }).collect()
        }
        (200..=299, "s3-list-buckets") => format!("+{}", count("<Name>")),
        (200..=299, "s3-list-objects" | "s3-list-objects-v2") => {
            format!("+{}", count("<Contents>"))
        }
        (200..=299, "s3-list-multipart-uploads") => format!("+{}", count("<Upload>")),
        (200..=299, "list") => format!("+{}", count("\"backupId\"")),
        (200..=299, "usage") => format!("+{}", count("\"key\"")),
        (200..=299, _) => "+".to_owned(),
        (401 | 403, _) if refusals.contains(&response.code().as_str()) => "-".to_owned(),
        (404, _) => "0".to_owned(),
        (status, _) => status.to_string(),
    }
}

#[tokio::test]
async fn every_account_may_do_what_its_grants_allow_and_no_more() {
    let rows = rows();
    let covered: BTreeSet<&str> = rows.iter().map(|row| row.op).collect();
    assert_eq!(covered, operations(), "every operation needs a row");
    let world = World::new().await;
    let mut table = String::new();
    for (name, _, may) in ACCOUNTS {
        writeln!(table, "{name:<10} {may}").unwrap();
    }
    write!(table, "\n{:<29}{:<41}", "operation", "target").unwrap();
    ACCOUNTS.iter().for_each(|(name, ..)| write!(table, "{name:<10}").unwrap());
    table = table.trim_end().to_owned();
    let mut cells = 0;
    for row in &rows {
        let mut line = format!("\n{:<29}{:<41}", row.op, row.target);
        for account in ACCOUNTS {
            write!(line, "{:<10}", world.cell(row, account).await).unwrap();
            cells += 1;
        }
        table.push_str(line.trim_end());
    }
    table.push('\n');
    // The request of each row must be the operation that the row names: the gateway counts requests
    // by operation.
    let metrics = exchange_and_close(
        world.gateway.address,
        &chunk_api("GET", "/metrics").signed_by(None).head(world.gateway.address),
        b"",
    )
    .await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    for op in operations() {
        let counted: usize = metrics
            .lines()
            .filter(|line| line.starts_with(&format!("ratchet_requests_total{{op=\"{op}\"")))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
            .sum();
        assert_eq!(
            counted,
            rows.iter().filter(|row| row.op == op).count() * ACCOUNTS.len() * 2,
            "{op}"
        );
    }
    if std::env::var_os("RATCHET_TEST_BLESS").is_some() {
        std::fs::write(GOLDEN, &table).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    let wrong =
        golden.lines().zip(table.lines()).filter(|(expected, actual)| expected != actual).count();
    println!("authorization: {cells} cells, each by header and by URL, {wrong} wrong");
    assert_eq!(
        golden, table,
        "RATCHET_TEST_BLESS=1 writes the file again; check every line that changes"
    );
}
