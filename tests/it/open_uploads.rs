//! Many open uploads of one account: the store calls of a listing and of a create, the order and
//! the pages of a listing, and the migration of the older index.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::store::{Body, DeleteOptions, PutOptions};
use ratchet::upload::{
    ListQuery, NewBackup, OpenPage, OpenQuery, Root, Session, Settings, Uploads,
};

use crate::support::fleet::{Fleet, MINUTE, new_backup, new_upload, put_part};
use crate::support::lab;

/// A gateway whose store calls are counted.
fn counting_gateway(fleet: &Fleet) -> (Uploads, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let gateway = fleet.slow_gateway(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Duration::ZERO
    });
    (gateway, calls)
}

fn query(limit: usize) -> OpenQuery {
    OpenQuery { bucket: "b".into(), limit, ..OpenQuery::default() }
}

fn after(limit: usize, key: &str, id: Option<&str>) -> OpenQuery {
    OpenQuery { key_marker: key.into(), id_marker: id.map(str::to_owned), ..query(limit) }
}

async fn page(gateway: &Uploads, query: &OpenQuery) -> OpenPage {
    gateway.open_uploads(&"home".into(), query, |_: &Root| true).await.unwrap()
}

/// The entries of all pages: keys with ids, and common prefixes without an id.
async fn pages(gateway: &Uploads, mut query: OpenQuery) -> Vec<(String, String)> {
    let mut found = Vec::new();
    loop {
        let page = page(gateway, &query).await;
        assert!(page.uploads.len() + page.prefixes.len() <= query.limit);
        let uploads =
            page.uploads.iter().map(|root| (root.key.to_string(), root.backup_id.to_string()));
        let mut entries: Vec<_> =
            uploads.chain(page.prefixes.iter().map(|key| (key.clone(), String::new()))).collect();
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        found.extend(entries);
        let Some((key, id)) = page.next else { return found };
        (query.key_marker, query.id_marker) = (key, Some(id).filter(|id| !id.is_empty()));
    }
}

/// Begins an upload with metadata of its own, so that it adopts nothing.
async fn begin(gateway: &Uploads, bucket: &str, key: &str, run: usize) -> Session {
    let mut new = new_upload(key);
    new.bucket = bucket.into();
    new.metadata.insert("run".into(), run.to_string());
    gateway.create_upload(&"home".into(), new).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_one_upload_costs_the_same_however_many_are_open() {
    let fleet = Fleet::new(1).await;
    let (gateway, calls) = counting_gateway(&fleet);
    let mut costs = BTreeSet::new();
    for open in 0..3000 {
        let key = format!("{}/{open:04}", ["a", "b", "c"][open % 3]);
        fleet.gateway().create(&"home".into(), new_backup(&key, 1)).await.unwrap();
        if open % 1000 < 10 && open >= 10 {
            calls.store(0, Ordering::SeqCst);
            let first = page(&gateway, &query(1)).await;
            costs.insert(calls.load(Ordering::SeqCst));
            assert_eq!((first.uploads[0].key.as_str(), first.uploads.len()), ("a/0000", 1));
            let (key, id) = first.next.unwrap();
            let second = page(&gateway, &after(1, &key, Some(&id))).await;
            assert_eq!(second.uploads[0].key, "a/0003");
        }
    }
    println!("open_uploads: store calls of a listing of one, 10 to 3,000 open: {costs:?}");
    assert_eq!(
        costs,
        BTreeSet::from([3]),
        "one listing, and the roots of the shown upload and of the next one"
    );
    calls.store(0, Ordering::SeqCst);
    let rolled = page(&gateway, &OpenQuery { delimiter: Some("/".into()), ..query(1000) }).await;
    assert_eq!(
        (rolled.prefixes, rolled.uploads.len(), rolled.next),
        (vec!["a/".into(), "b/".into(), "c/".into()], 0, None)
    );
    let cost = calls.load(Ordering::SeqCst);
    println!("open_uploads: store calls of three groups of 1,000: {cost}");
    assert!(cost < 60, "{cost}");
    calls.store(0, Ordering::SeqCst);
    let all = pages(&gateway, OpenQuery { prefix: "b/".into(), ..query(1000) }).await;
    assert_eq!(all.len(), 1000);
    assert!(calls.load(Ordering::SeqCst) < 1010);
}

const ODD_KEYS: [&str; 22] = [
    "a", "a!", "a/b", "a-b", "a.b", "a//b", "a/", "//", "/", "..", "./x", "a\\b", "a]b", "a~",
    "ab", "ä", "äb", "b/c/d", "b/c/e", "%41", "A", "😀",
];

/// On every store: the order is that of S3, and pages of any size show every upload once.
#[tokio::test]
async fn uploads_are_listed_in_the_order_of_key_and_creation() {
    for lab in [lab::memory().await, lab::dir().await, lab::s3().await].into_iter().flatten() {
        let state_bucket = format!("state-{}", Clock::system().random_id()).into();
        let settings = Settings { state_bucket, ..Settings::default() };
        let uploads = Uploads::new(lab.store.clone(), Clock::system(), settings);
        uploads.prepare().await.unwrap();
        let bucket = lab.bucket.as_str();
        let long = [
            "x".repeat(159),
            "x".repeat(160),
            "x".repeat(161),
            "x".repeat(700),
            "x/".repeat(255),
            "x".repeat(1024),
        ];
        let keys: Vec<&str> = ODD_KEYS.into_iter().chain(long.iter().map(String::as_str)).collect();
        let mut roots = Vec::new();
        for (run, key) in keys.iter().chain(&keys[..6]).enumerate() {
            // Backups without bytes, for which no upload is begun in the store, so that any key
            // works.
            let file_id = run.to_string();
            let new = NewBackup {
                bucket: bucket.into(),
                key: (*key).into(),
                file_id,
                chunk_size: 1,
                size: Some(0),
                ..NewBackup::default()
            };
            roots.push(uploads.create(&"home".into(), new).await.unwrap().1.root());
        }
        roots.sort_by(|a, b| {
            (a.key.as_bytes(), a.created_at, &a.backup_id).cmp(&(
                b.key.as_bytes(),
                b.created_at,
                &b.backup_id,
            ))
        });
        for limit in [1, 3, 1000] {
            for prefix in ["", "a", "a/", "x", "ä", &long[5]] {
                let query =
                    OpenQuery { bucket: bucket.into(), prefix: prefix.into(), ..query(limit) };
                let below = roots.iter().filter(|root| root.key.starts_with(prefix));
                let expected: Vec<_> = below
                    .clone()
                    .map(|root| (root.key.to_string(), root.backup_id.to_string()))
                    .collect();
                assert_eq!(pages(&uploads, query.clone()).await, expected, "{prefix} by {limit}");
                let rolled = below.map(|root| match root.key[prefix.len()..].find('/') {
                    Some(at) => (root.key[..=prefix.len() + at].to_owned(), String::new()),
                    None => (root.key.to_string(), root.backup_id.to_string()),
                });
                let mut expected: Vec<_> = rolled.collect();
                expected.dedup();
                let query = OpenQuery { delimiter: Some("/".into()), ..query };
                assert_eq!(
                    pages(&uploads, query).await,
                    expected,
                    "{prefix} by {limit}, with delimiter"
                );
            }
        }
        for key in keys {
            let exact = ListQuery {
                bucket: Some(bucket.into()),
                key: Some(key.into()),
                limit: 1,
                ..ListQuery::default()
            };
            assert_eq!(uploads.list(&"home".into(), &exact).await.unwrap().roots[0].key, key);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_continues_after_a_marker_of_an_ended_upload() {
    let fleet = Fleet::new(1).await;
    let gateway = fleet.gateway();
    let mut ids = Vec::new();
    for (run, key) in ["k", "k", "k", "l"].into_iter().enumerate() {
        fleet.clock.pause(Duration::from_secs(1)).await;
        ids.push(begin(&gateway, "b", key, run).await.root().backup_id.clone());
    }
    let next = async |key: &str, id: Option<&str>| {
        let page = page(&gateway, &after(1, key, id)).await;
        page.uploads.first().map(|root| root.backup_id.clone()).unwrap_or_default()
    };
    gateway.open(&"home".into(), &ids[1]).await.unwrap().abort("").await.unwrap();
    assert_eq!(next("k", Some(&ids[0])).await, ids[2], "an aborted upload is skipped");
    assert_eq!(next("k", Some(&ids[1])).await, ids[2], "an aborted upload is still a valid marker");
    assert_eq!(
        next("k", Some("nobody")).await,
        ids[3],
        "with an unknown id the page begins after the key"
    );
    assert_eq!(
        next("k", Some(&ids[3])).await,
        ids[3],
        "the id of an upload of another key is ignored"
    );
    assert_eq!(next("k", None).await, ids[3]);
    assert_eq!(next("", Some(&ids[0])).await, ids[0], "an id without a key is ignored");
    assert_eq!(next("j", None).await, ids[0]);
    assert_eq!(next("l", None).await, "");
    let none = page(&gateway, &query(0)).await;
    assert!(none.uploads.is_empty() && none.next.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_page_with_many_stale_entries_ends_early_and_can_be_continued() {
    let fleet = Fleet::new(1).await;
    let gateway = fleet.gateway();
    let last = begin(&gateway, "b", "z", 0).await.root().backup_id.clone();
    let state = "ratchet-state".into();
    for at in 0..10_500 {
        let entry = format!("v1/home/open-uploads/b/k{}!000000000007-x{at}", at % 7);
        fleet
            .store
            .put(&state, &entry.as_str().into(), Body::empty(), PutOptions::default())
            .await
            .unwrap();
    }
    // The entry of a create that was killed and later repeated with the same id.
    let stale = format!("v1/home/open-uploads/b/z!000000000007-{last}");
    fleet
        .store
        .put(&state, &stale.as_str().into(), Body::empty(), PutOptions::default())
        .await
        .unwrap();
    let first = page(&gateway, &query(5)).await;
    assert!(first.uploads.is_empty());
    let (key, id) = first.next.unwrap();
    assert_eq!(key, "k6");
    let second = page(&gateway, &after(5, &key, Some(&id))).await;
    let ids: Vec<&str> = second.uploads.iter().map(|root| root.backup_id.as_str()).collect();
    assert_eq!((ids, second.next), (vec![&*last], None));
    fleet.assert_nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_create_costs_the_same_however_many_uploads_of_its_key_are_open() {
    let fleet = Fleet::new(1).await;
    let mut costs = Vec::new();
    for open in [0, 16, 120, 2500] {
        let key = format!("k{open}");
        for run in 0..open {
            begin(&fleet.gateway(), "b", &key, run).await;
            if run % 2 == 0 {
                fleet.clock.pause(Duration::from_secs(1)).await;
            }
        }
        // The newest uploads have the same metadata as the create that is measured, and are active.
        let fit = futures_util::future::join_all((0..open.min(120)).map(|_| {
            let gateway = fleet.gateway();
            let key = key.clone();
            async move { gateway.create_upload(&"home".into(), new_upload(&key)).await.unwrap() }
        }));
        fit.await;
        let (gateway, calls) = counting_gateway(&fleet);
        gateway.create_upload(&"home".into(), new_upload(&key)).await.unwrap();
        costs.push(calls.load(Ordering::SeqCst));
    }
    println!(
        "open_uploads: store calls of a create with 0, 32, 240 and 2,620 open uploads of its key: {costs:?}"
    );
    assert!(costs[0] < 8 && costs[..3].iter().all(|cost| *cost <= 150), "{costs:?}");
    assert!(costs[3] <= 170, "finding the newest of more than one page: {costs:?}");
}

#[tokio::test(start_paused = true)]
async fn the_newest_aborted_upload_is_adopted_among_thousands_of_its_key() {
    let fleet = Fleet::new(1).await;
    let gateway = fleet.gateway();
    for run in 0..2500 {
        begin(&gateway, "b", "k", run).await;
        if run % 3 == 0 {
            fleet.clock.pause(Duration::from_secs(1)).await;
        }
    }
    let first = gateway.create_upload(&"home".into(), new_upload("k")).await.unwrap();
    put_part(&first, 1).await;
    first.abort_and_keep("its client went away").await.unwrap();
    let second = fleet.gateway().create_upload(&"home".into(), new_upload("k")).await.unwrap();
    assert!(put_part(&second, 1).await.1, "the part of the predecessor is known");
}

#[tokio::test(start_paused = true)]
async fn a_create_does_not_wait_and_the_first_part_waits_for_the_end_of_the_same_file() {
    for aborted in [true, false] {
        let fleet = Fleet::new(1).await;
        let first = fleet.gateway().create_upload(&"home".into(), new_upload("k")).await.unwrap();
        put_part(&first, 1).await;
        let end_first = async {
            fleet.clock.pause(Duration::from_secs(3)).await;
            let remaining = if aborted {
                first.abort_and_keep("").await
            } else {
                first.client_disconnected().await
            };
            remaining.unwrap();
        };
        let gateway = fleet.gateway();
        let begun = fleet.clock.monotonic();
        let second = gateway.create_upload(&"home".into(), new_upload("k")).await.unwrap();
        assert_eq!(fleet.clock.monotonic(), begun, "a create does not wait");
        let ((_, known), ()) = tokio::join!(put_part(&second, 1), end_first);
        assert!(known, "the part of the predecessor is known");
        assert!(fleet.clock.monotonic() - begun < Duration::from_secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn the_index_of_older_gateways_is_moved_by_any_number_of_gateways_at_once() {
    let fleet = Fleet::new(1).await;
    let gateway = fleet.gateway();
    let keys = ["a", "a//b", "c/d"];
    for (run, key) in keys.into_iter().enumerate() {
        begin(&gateway, "b", key, run).await;
    }
    let ended = begin(&gateway, "b", "ended", 3).await;
    let kept = begin(&gateway, "b", "kept", 4).await;
    put_part(&kept, 1).await;
    kept.abort_and_keep("").await.unwrap();
    let before = fleet.state_keys().await;
    let state = "ratchet-state".into();
    // The entries as older gateways wrote them.
    for entry in before.iter().filter(|key| key.starts_with("v1/home/open-uploads/")) {
        let id = entry.rsplit_once('-').unwrap().1;
        let root = gateway.root_of(&"home".into(), &id.into()).await.unwrap().unwrap();
        let old = match root.key.contains("//") {
            true => format!("v1/home/index-hashed/b/0011/{id}"),
            false => format!("v1/home/index/b/{}/{id}", root.key),
        };
        fleet
            .store
            .put(&state, &old.as_str().into(), Body::empty(), PutOptions::default())
            .await
            .unwrap();
        fleet
            .store
            .delete(&state, &entry.as_str().into(), &DeleteOptions::default())
            .await
            .unwrap();
    }
    let rootless = "v1/home/index/b/k/gone";
    fleet.store.put(&state, &rootless.into(), Body::empty(), PutOptions::default()).await.unwrap();
    ended.abort("").await.unwrap();
    assert!(
        pages(&gateway, query(10)).await.is_empty(),
        "the old entries are not in the new index"
    );
    let (one, two) =
        tokio::join!(gateway.move_old_index(), async { fleet.gateway().move_old_index().await });
    assert!((4..=10).contains(&(one.unwrap() + two.unwrap())));
    let listed: Vec<String> =
        pages(&gateway, query(10)).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(listed, keys);
    let remaining: Vec<String> = fleet
        .state_keys()
        .await
        .into_iter()
        .filter(|key| key.starts_with("v1/home/index"))
        .collect();
    assert_eq!(remaining, [rootless], "the create of this entry may be in progress");
    assert_eq!(fleet.gateway().move_old_index().await.unwrap(), 0);
    let successor = begin(&fleet.gateway(), "b", "kept", 4).await;
    assert!(put_part(&successor, 1).await.1, "the moved entry shows the predecessor");
    fleet.clock.pause(MINUTE).await;
    assert_eq!(kept.fresh_root().await.unwrap().status.word(), "superseded");
    assert!(successor.fresh_root().await.unwrap().is_open());
    fleet.assert_nothing_is_left().await;
}
