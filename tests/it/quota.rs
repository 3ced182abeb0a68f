//! The quota of open uploads of one account: what is refused, what frees a place again, and the
//! responses of both protocols.

use std::sync::Arc;
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::upload::{Created, Error, Kind, Session, Settings, Uploads};

use crate::support::fleet::{Fleet, new_backup, new_upload, put_chunk, put_part};
use crate::support::gateway::{Gateway, OTHER, settings, start};
use crate::support::request::{Request, chunk_api, s3};

fn gateway_with_quota(fleet: &Fleet, max_open: u64) -> Uploads {
    let settings = Settings { max_open_of_account: max_open, ..Settings::default() };
    Uploads::new(
        Arc::clone(&fleet.store),
        Clock::seeded(fleet.clock.number_below(u64::MAX)),
        settings,
    )
}

async fn begin(gateway: &Uploads, key: &str) -> Result<Session, Error> {
    gateway.create_upload(&"home".into(), new_upload(key)).await
}

fn is_refused<T>(result: Result<T, Error>) -> bool {
    result.is_err_and(|error| error.kind() == Kind::QuotaExceeded)
}

#[tokio::test(start_paused = true)]
async fn an_upload_over_the_quota_is_refused_until_another_ends() {
    let fleet = Fleet::new(1).await;
    let gateway = gateway_with_quota(&fleet, 5);
    let mut open = Vec::new();
    for key in ["a", "b", "c"] {
        open.push(begin(&gateway, key).await.unwrap());
    }
    let (_, whole) = gateway.create(&"home".into(), new_backup("d", 1)).await.unwrap();
    let (_, own) =
        gateway.create_as(&"home".into(), &"mine".into(), new_backup("e", 1)).await.unwrap();
    let before = fleet.state_keys().await;
    let error = begin(&gateway, "f").await.unwrap_err();
    assert_eq!(error.kind(), Kind::QuotaExceeded);
    let text = error.to_string();
    assert!(text.contains("home") && text.contains('5') && text.contains("abort"), "{text}");
    assert!(is_refused(gateway.create(&"home".into(), new_backup("f", 1)).await));
    assert!(is_refused(
        gateway.create_as(&"home".into(), &"another".into(), new_backup("f", 1)).await
    ));
    assert_eq!(fleet.state_keys().await, before, "a refused create leaves nothing behind");
    assert_eq!(fleet.open_store_uploads(), 5);
    assert!(
        gateway.create(&"office".into(), new_backup("f", 1)).await.is_ok(),
        "another account has its own quota"
    );
    let existing = gateway.create(&"home".into(), new_backup("d", 1)).await.unwrap().0;
    assert_eq!(existing, Created::Existing, "an existing backup is found");
    put_part(&open[0], 1).await;
    open[0].abort_and_keep("").await.unwrap();
    assert!(
        is_refused(begin(&gateway, "f").await),
        "an upload that is kept for a successor counts"
    );
    put_chunk(&whole, 0).await;
    whole.finalize(None).await.unwrap();
    let successor = begin(&gateway, "a").await.unwrap();
    assert!(is_refused(begin(&gateway, "f").await));
    assert!(put_part(&successor, 1).await.1, "the kept upload is adopted");
    begin(&gateway, "f").await.unwrap();
    assert!(is_refused(begin(&gateway, "g").await));
    own.abort("").await.unwrap();
    own.abort("").await.unwrap();
    begin(&gateway, "g").await.unwrap();
    assert!(is_refused(begin(&gateway, "h").await), "a repeated abort frees no second place");
}

#[tokio::test(start_paused = true)]
async fn uploads_that_other_gateways_end_are_seen_by_the_next_count() {
    let fleet = Fleet::new(1).await;
    let (gateway, other) = (gateway_with_quota(&fleet, 3), gateway_with_quota(&fleet, 3));
    let mut open = Vec::new();
    for key in ["a", "b", "c"] {
        open.push(begin(&other, key).await.unwrap().root().backup_id.clone());
    }
    begin(&gateway, "d").await.unwrap();
    fleet.clock.pause(Duration::from_millis(1)).await;
    assert!(
        is_refused(begin(&gateway, "e").await),
        "the uploads of the other gateway are counted by now"
    );
    for id in &open {
        other.open(&"home".into(), id).await.unwrap().abort("").await.unwrap();
    }
    assert!(is_refused(begin(&gateway, "e").await), "the last count is too recent for another");
    fleet.clock.pause(Duration::from_secs(5)).await;
    begin(&gateway, "e").await.unwrap();
    begin(&gateway, "f").await.unwrap();
    assert!(is_refused(begin(&gateway, "g").await));
}

#[tokio::test(start_paused = true)]
async fn concurrent_creates_do_not_exceed_the_quota() {
    let fleet = Fleet::new(1).await;
    let gateway = gateway_with_quota(&fleet, 20);
    begin(&gateway, "first").await.unwrap();
    fleet.clock.pause(Duration::from_millis(1)).await;
    let keys: Vec<String> = (0..60).map(|number| format!("k{number}")).collect();
    let begun = futures_util::future::join_all(keys.iter().map(|key| begin(&gateway, key))).await;
    let (made, refused): (Vec<_>, Vec<_>) = begun.into_iter().partition(Result::is_ok);
    assert!((18..=19).contains(&made.len()), "{}", made.len());
    assert!(refused.into_iter().all(is_refused));
    assert!(begin(&gateway, "failing").await.is_err());
}

/// Sends a request; the status and body of the response.
async fn send(gateway: &Gateway, request: Request) -> (u16, String) {
    let response = request.send(gateway).await;
    (response.status, String::from_utf8(response.body).unwrap())
}

#[tokio::test]
async fn both_protocols_report_the_quota_and_over_half_of_it_aborts_free_parts() {
    let mut settings = settings();
    settings.upload.max_open_of_account = 4;
    let gateway = start(settings).await;
    let begin =
        async |key: &str| send(&gateway, s3("POST", &format!("/bucket/{key}?uploads="))).await;
    let abort = async |key: &str, text: &str| {
        let id = text.split_once("<UploadId>").unwrap().1.split_once("</UploadId>").unwrap().0;
        assert_eq!(
            send(&gateway, s3("DELETE", &format!("/bucket/{key}?uploadId={id}"))).await.0,
            204
        );
    };
    let first = begin("a").await.1;
    abort("a", &first).await;
    assert_eq!(gateway.store.begun_uploads(), 1, "the parts are kept for a successor");
    for key in ["b", "c"] {
        assert_eq!(begin(key).await.0, 200);
    }
    let last = begin("d").await;
    assert_eq!(last.0, 200, "{last:?}");
    abort("d", &last.1).await;
    assert_eq!(gateway.store.begun_uploads(), 3, "the parts are freed at once");
    assert_eq!(begin("d").await.0, 200);
    let (status, text) = begin("e").await;
    assert!(
        status == 403 && text.contains("<Code>QuotaExceeded</Code>") && text.contains("abort"),
        "{text}"
    );
    let new = serde_json::json!({"bucket": "bucket", "key": "e", "chunkSize": 5 << 20, "size": 1});
    let (status, text) = send(&gateway, chunk_api("POST", "/backups").json(&new)).await;
    assert!(status == 403 && text.contains("urn:ratchet:problem:quota-exceeded"), "{text}");
    assert_eq!(
        send(&gateway, chunk_api("POST", "/backups").json(&new).signed_by(Some(OTHER))).await.0,
        201
    );
    let put = s3("PUT", "/bucket/e").body(b"x");
    assert_eq!(send(&gateway, put).await.0, 200, "a whole object does not count as an upload");
}
