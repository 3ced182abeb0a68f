//! Forms: a policy that names no bucket, a redirect to a script, and forms that are sent slowly or
//! not at all.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::BodyExt;
use ratchet::accounts::Accounts;
use ratchet::clock::Clock;
use ratchet::front::{Fronts, Shared};
use ratchet::object::Objects;
use ratchet::store::{Store, memory::Memory};
use ratchet::upload::Uploads;
use ratchet::web::{Admission, Metrics, Settings};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::reach::refusal_of_reserved_name;
use super::{ROOT, Setup, setups};
use crate::support::gateway::{settings, start};
use crate::support::request::{chunk_api, s3, scope, sign_text};
use crate::support::response::{Response, exchange_and_close};

async fn post(setup: &Setup, conditions: &[Value], more: &[(&str, &str)]) -> Response {
    post_to(setup, &setup.bucket, conditions, more).await
}

/// Posts a form whose policy has these conditions, with more fields.
async fn post_to(
    setup: &Setup,
    bucket: &str,
    conditions: &[Value],
    more: &[(&str, &str)],
) -> Response {
    let date = time(Clock::system().wall());
    let credential = format!("{}/{}", ROOT.0, scope(&date));
    let mut all = vec![json!(["starts-with", "$key", ""]), json!({"x-amz-credential": credential})];
    all.push(json!({"x-amz-algorithm": "AWS4-HMAC-SHA256"}));
    all.push(json!({"x-amz-date": date}));
    all.extend(conditions.iter().cloned());
    all.extend(more.iter().map(|(name, value)| json!({*name: value})));
    let policy = STANDARD
        .encode(json!({"expiration": "2099-01-01T00:00:00Z", "conditions": all}).to_string());
    let signature = sign_text(ROOT.1, &date, &policy);
    let fields = [
        ("key", "mine/form"),
        ("x-amz-credential", &*credential),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-date", &*date),
        ("policy", &*policy),
        ("x-amz-signature", &*signature),
    ];
    let part = |(name, value): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body: String =
        fields.iter().chain(more).chain([&("file", "new")]).map(part).collect::<String>()
            + "--b--\r\n";
    let head = format!(
        "POST /{bucket} HTTP/1.1\r\nhost: {}\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: {}\r\n\r\n",
        setup.address(),
        body.len()
    );
    exchange_and_close(setup.address(), &head, body.as_bytes()).await
}

/// `YYYYMMDDTHHMMSSZ`.
fn time(now: std::time::SystemTime) -> String {
    let parts = http::Request::get("http://x/").body(()).unwrap().into_parts();
    let mut head = parts.0;
    let credentials = ratchet::sigv4::Credentials::new("a", "b", None);
    ratchet::sigv4::sign(
        &mut head,
        &credentials,
        "us-east-1",
        ratchet::sigv4::Payload::Unsigned,
        now,
    )
    .unwrap();
    head.headers["x-amz-date"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_policy_must_name_its_bucket_and_a_redirect_must_be_a_web_page() {
    let home = tempfile::tempdir().unwrap();
    for setup in setups(home.path()).await {
        let bucket = json!({"bucket": setup.bucket});
        let start = json!(["starts-with", "$bucket", ""]);
        for conditions in [vec![], vec![start]] {
            let response = post(&setup, &conditions, &[]).await;
            assert_eq!(
                (response.status, response.code().as_str()),
                (403, "AccessDenied"),
                "{conditions:?}: {response:?}"
            );
        }
        for url in [
            "javascript:alert(1)",
            "data:text/html,x",
            "//evil.test/",
            "/path",
            "ftp://h/",
            "http:",
            "https:///x",
        ] {
            let response =
                post(&setup, std::slice::from_ref(&bucket), &[("success_action_redirect", url)])
                    .await;
            assert_eq!(
                (response.status, response.code().as_str()),
                (400, "InvalidArgument"),
                "{url}: {response:?}"
            );
        }
        assert!(setup.keys().await.is_empty());
        let response = post(
            &setup,
            std::slice::from_ref(&bucket),
            &[("x-amz-meta-ratchet-checksum", "crc32:AAAAAA==")],
        )
        .await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "InvalidArgument"),
            "{response:?}"
        );
        let response = post_to(&setup, "minio", &[json!({"bucket": "minio"})], &[]).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            refusal_of_reserved_name(&setup),
            "{response:?}"
        );
        let response = post(&setup, &[json!(["eq", "$bucket", setup.bucket])], &[]).await;
        assert_eq!(response.status, 204, "{response:?}");
        let response =
            post(&setup, &[bucket], &[("success_action_redirect", "HTTPS://h.test/done")]).await;
        assert_eq!(response.status, 303, "{response:?}");
        assert_eq!(setup.keys().await, ["mine/form"]);
    }
}

#[tokio::test]
async fn forms_that_never_arrive_do_not_block_other_requests() {
    let mut settings = settings();
    settings.web.queue_timeout = Duration::from_millis(200);
    let gateway = start(settings).await;
    let head = format!(
        "POST /bucket HTTP/1.1\r\nhost: {}\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 1000\r\n\r\n",
        gateway.address
    );
    let mut open = Vec::new();
    for _ in 0..100 {
        let mut socket = TcpStream::connect(gateway.address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        open.push(socket);
    }
    // More forms than the gateway reads at once: it refuses the others before any of their bytes
    // arrive.
    let responses =
        open.into_iter().map(|mut socket| async move { Response::read(&mut socket).await });
    let mut responses: FuturesUnordered<_> = responses.collect();
    for _ in 0..36 {
        let response = responses.next().await.unwrap();
        assert_eq!((response.status, response.code().as_str()), (503, "SlowDown"), "{response:?}");
    }
    assert_eq!(
        s3("GET", "/bucket").send(&gateway).await.status,
        200,
        "signed requests are served meanwhile"
    );
    assert_eq!(chunk_api("GET", "/backups").send(&gateway).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_fields_of_a_form_have_a_time_limit() {
    let clock = Clock::seeded(3);
    let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
    let (uploads, http) =
        (Uploads::new(Arc::clone(&store), clock.clone(), Default::default()), Settings::default());
    let shared = Shared {
        objects: Objects::new(store, uploads.clone()),
        uploads,
        accounts: Accounts::new(&settings().accounts).unwrap(),
        metrics: Metrics::default(),
        admission: Admission::new(clock.clone(), http.clone()),
        clock: clock.clone(),
        http,
    };
    let fronts = Fronts::new(shared, Default::default(), true);
    // One byte per second: fast enough for a body, but not for the fields of a sender who is not
    // authenticated yet.
    let slow_body = futures_util::stream::unfold(clock.clone(), |clock| async move {
        clock.pause(Duration::from_secs(1)).await;
        Some((Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(b"x"))), clock))
    });
    let request = http::Request::post("/bucket")
        .header("host", "h")
        .header("content-type", "multipart/form-data; boundary=b")
        .header("content-length", "1000000")
        .body(http_body_util::StreamBody::new(Box::pin(slow_body)))
        .unwrap();
    let reply = fronts.respond(request).await.unwrap();
    assert!(clock.monotonic() <= Duration::from_secs(11), "{:?}", clock.monotonic());
    assert_eq!(reply.status(), 400);
    let text = reply.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("<Code>RequestTimeout</Code>"), "{text:?}");
}
