//! Pages of other origins: the configuration of a bucket, the rules of the settings, preflights,
//! and the headers on every response. The requests are those that browsers send.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::front::s3::CorsSettings;
use ratchet::store::{
    Kind, Store,
    faulty::{Call, Fault, Faulty, Op},
    memory::Memory,
};

use crate::support::gateway::{Gateway, LIMITED, READER, serve, settings, start};
use crate::support::request::{Request, s3};
use crate::support::response::{Response, exchange_and_close};

const PAGE: &str = "https://app.example.com";

/// A configuration of a bucket with these rules: patterns of an origin, methods, and more elements.
fn configuration(rules: &[(&str, &[&str], &str)]) -> Vec<u8> {
    let rule = |(origin, methods, more): &(&str, &[&str], &str)| {
        let methods: String = methods
            .iter()
            .map(|method| format!("<AllowedMethod>{method}</AllowedMethod>"))
            .collect();
        format!("<CORSRule><AllowedOrigin>{origin}</AllowedOrigin>{methods}{more}</CORSRule>")
    };
    let rules: String = rules.iter().map(rule).collect();
    format!("<CORSConfiguration>{rules}</CORSConfiguration>").into_bytes()
}

async fn configure(gateway: &Gateway, bucket: &str, rules: &[(&str, &[&str], &str)]) {
    let request = s3("PUT", &format!("/{bucket}?cors=")).body(&configuration(rules));
    let response = request.send(gateway).await;
    assert_eq!(response.status, 200, "{response:?}");
}

fn with_headers(request: Request, headers: &[(&str, &str)]) -> Request {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

fn preflight(target: &str, headers: &[(&str, &str)]) -> Request {
    with_headers(s3("OPTIONS", target).signed_by(None), headers)
}

/// Method, target and headers of a request; status, allowed origin and methods of its response.
type Row<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, u16, Option<&'a str>, Option<&'a str>);

fn allowed(response: &Response) -> (Option<&str>, Option<&str>) {
    let header = |name| response.header(name);
    (header("access-control-allow-origin"), header("access-control-allow-methods"))
}

#[tokio::test]
async fn requests_are_judged_by_the_rules_of_the_bucket() {
    let gateway = start(settings()).await;
    let expose = "<ExposeHeader>x-amz-meta-a</ExposeHeader>";
    let rules: [(&str, &[&str], &str); 4] = [
        ("*suffix", &["GET"], ""),
        ("start*end", &["GET"], ""),
        ("*.put", &["PUT"], "<AllowedHeader>x-amz-*</AllowedHeader>"),
        ("*", &["HEAD"], expose),
    ];
    configure(&gateway, "bucket", &rules).await;
    let method = "access-control-request-method";
    let table: Vec<Row<'_>> = vec![
        ("GET", "/bucket", vec![], 200, None, None),
        ("GET", "/bucket", vec![("origin", "foo.suffix")], 200, Some("foo.suffix"), Some("GET")),
        ("GET", "/bucket", vec![("origin", "foo.bar")], 200, None, None),
        ("GET", "/bucket", vec![("origin", "start1end")], 200, Some("start1end"), Some("GET")),
        ("GET", "/bucket", vec![("origin", "start1end1")], 200, None, None),
        ("GET", "/bucket/x", vec![("origin", "a.suffix")], 404, Some("a.suffix"), Some("GET")),
        ("HEAD", "/bucket", vec![("origin", "foo.bar")], 200, Some("*"), Some("HEAD")),
        ("PUT", "/bucket/p", vec![("origin", "foo.put")], 200, Some("foo.put"), Some("PUT")),
        ("PUT", "/bucket/p", vec![("origin", "foo.suffix")], 200, None, None),
        (
            "PUT",
            "/bucket/p",
            vec![("origin", "foo.suffix"), (method, "GET")],
            200,
            Some("foo.suffix"),
            Some("GET"),
        ),
        ("OPTIONS", "/bucket", vec![], 400, None, None),
        ("OPTIONS", "/bucket", vec![("origin", "foo.suffix")], 400, None, None),
        ("OPTIONS", "/bucket", vec![("origin", "foo.suffix"), (method, "PATCH")], 400, None, None),
        ("OPTIONS", "/bucket", vec![("origin", "foo.bar"), (method, "GET")], 403, None, None),
        ("OPTIONS", "/bucket", vec![("origin", "foo.suffix"), (method, "PUT")], 403, None, None),
        (
            "OPTIONS",
            "/bucket/a/b?uploads=",
            vec![("origin", "a.put"), (method, "PUT"), ("access-control-request-headers", "range")],
            403,
            None,
            None,
        ),
        (
            "OPTIONS",
            "/bucket/x",
            vec![("origin", "foo.suffix"), (method, "GET")],
            200,
            Some("foo.suffix"),
            Some("GET"),
        ),
    ];
    for (verb, target, headers, status, origin, methods) in table {
        let signed = (verb != "OPTIONS").then_some(crate::support::gateway::ROOT);
        let request = with_headers(s3(verb, target).signed_by(signed), &headers);
        let response = send(&gateway, request).await;
        let found = (response.status, allowed(&response));
        assert_eq!(found, (status, (origin, methods)), "{verb} {target} {headers:?}");
        let varies = response.header("vary").is_some_and(|vary| vary.contains("Origin"));
        assert_eq!(varies, !headers.is_empty(), "{verb} {target} {headers:?}");
    }
    let headers = [
        ("origin", "x.put"),
        (method, "PUT"),
        ("access-control-request-headers", "X-Amz-Date,x-amz-content-sha256"),
    ];
    let response = preflight("/bucket/k", &headers).send(&gateway).await;
    let header = |name| response.header(name);
    assert_eq!(header("access-control-allow-headers"), Some("x-amz-date, x-amz-content-sha256"));
    assert_eq!(header("access-control-allow-credentials"), Some("true"));
    assert_eq!((response.status, header("content-length")), (200, Some("0")));
}

/// As `Request::send`; the response to HEAD has no body.
async fn send(gateway: &Gateway, request: Request) -> Response {
    if request.method == "HEAD" {
        return exchange_and_close(gateway.address, &request.head(gateway.address), b"").await;
    }
    request.send(gateway).await
}

#[tokio::test]
async fn a_response_to_a_page_says_so_whatever_went_wrong() {
    let rule = CorsSettings { origins: vec![PAGE.to_owned()], ..CorsSettings::default() };
    let mut settings = settings();
    settings.s3.cors.push(rule);
    let gateway = start(settings).await;
    let put = s3("PUT", "/bucket/k").body(b"bytes").header("x-amz-meta-a", "1");
    assert_eq!(put.send(&gateway).await.status, 200);
    let table: Vec<(Request, u16)> = vec![
        (s3("GET", "/bucket/k"), 200),
        (s3("GET", "/bucket/k").header("if-none-match", "*"), 304),
        (s3("GET", "/bucket/missing"), 404),
        (s3("GET", "/missing"), 404),
        (s3("GET", "/"), 200),
        (s3("GET", "/bucket/k").signed_by(None), 403),
        (s3("GET", "/bucket/k").dated("20200101T000000Z"), 403),
        (s3("GET", "/bucket?acl=&cors="), 400),
        (s3("GET", "/bucket?prefix=a&prefix=b"), 400),
        (s3("GET", "/bucket/%FF"), 400),
        (s3("DELETE", "/bucket?uploads="), 501),
        (s3("GET", "http://other.test/bucket/k"), 400),
        (s3("POST", "/bucket"), 412),
    ];
    for (request, status) in table {
        let request = request.header("origin", PAGE);
        let what = format!("{} {}", request.method, request.target);
        let head = request.head(gateway.address);
        let response = exchange_and_close(gateway.address, &head, &request.body).await;
        assert_eq!(response.status, status, "{what}: {response:?}");
        assert_eq!(allowed(&response).0, Some(PAGE), "{what}: {response:?}");
        let exposed = response.header("access-control-expose-headers").unwrap_or_default();
        let names: Vec<&str> = exposed.split(", ").collect();
        assert!(
            names.contains(&"ETag") && names.contains(&"x-amz-request-id"),
            "{what}: {exposed}"
        );
        if status == 200 && request.target == "/bucket/k" {
            assert!(names.contains(&"x-amz-meta-a"), "{exposed}");
        }
    }
    let other = s3("GET", "/bucket/k").header("origin", "https://other").send(&gateway).await;
    assert_eq!((other.status, allowed(&other)), (200, (None, None)));
}

#[tokio::test]
async fn a_preflight_that_is_malformed_is_a_bad_request() {
    let gateway = start(settings()).await;
    let method = ("access-control-request-method", "GET");
    for (headers, expected) in [
        (vec![("origin", ""), method], "Origin request header needed"),
        (vec![("origin", PAGE)], "Invalid Access-Control-Request-Method: null"),
        (
            vec![("origin", PAGE), method, ("access-control-request-headers", "a,b c")],
            "Access-Control-Request-Headers &quot;b c&quot; contains invalid character.",
        ),
    ] {
        let response = preflight("/bucket", &headers).send(&gateway).await;
        let text = String::from_utf8(response.body.clone()).unwrap();
        assert_eq!((response.status, response.code().as_str()), (400, "BadRequest"), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn a_refused_preflight_says_whether_the_bucket_or_its_rules_are_missing() {
    let gateway = start(settings()).await;
    s3("PUT", "/with-rules").send(&gateway).await;
    configure(&gateway, "with-rules", &[("https://x", &["GET"], "")]).await;
    let headers = [("origin", PAGE), ("access-control-request-method", "GET")];
    let (not_enabled, not_allowed) =
        ("CORS is not enabled for this bucket.", "This CORS request is not allowed.");
    let missing = (404, "NoSuchBucket", "The specified bucket does not exist.");
    for (target, (status, code, message)) in [
        ("/bucket", (403, "AccessForbidden", not_enabled)),
        ("/bucket/k", (403, "AccessForbidden", not_enabled)),
        ("/with-rules", (403, "AccessForbidden", not_allowed)),
        ("/with-rules/k", (403, "AccessForbidden", not_allowed)),
        ("/", (403, "AccessForbidden", not_allowed)),
        ("/missing", missing),
        ("/missing/k", missing),
        ("/ratchet-state", missing),
        ("/A_b", (400, "InvalidBucketName", "The specified bucket is not valid.")),
    ] {
        // From what is kept, too.
        for _ in 0..2 {
            let response = preflight(target, &headers).send(&gateway).await;
            let text = String::from_utf8(response.body.clone()).unwrap();
            let found = (response.status, response.code());
            assert_eq!(found, (status, code.to_owned()), "{target}: {text}");
            assert!(text.contains(message), "{target}: {text}");
            let kind = if target.ends_with("/k") { "OBJECT" } else { "BUCKET" };
            let asked = format!("<Method>GET</Method><ResourceType>{kind}</ResourceType>");
            assert_eq!(text.contains(&asked), status == 403, "{text}");
        }
    }
    s3("PUT", "/missing").send(&gateway).await;
    let created = preflight("/missing", &headers).send(&gateway).await;
    assert_eq!((created.status, &*created.code()), (403, "AccessForbidden"));
}

/// Without a page that is refused, nothing but the document of the rules is read.
#[tokio::test]
async fn the_bucket_is_looked_for_only_where_there_is_no_rule() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let hook = move |call: Call<'_>| {
        let is_looked_for = call.op == Op::List && call.bucket != "ratchet-state";
        counted.fetch_add(usize::from(is_looked_for), Ordering::Relaxed);
        (Duration::ZERO, None)
    };
    let memory = Arc::new(Memory::new(Clock::seeded(3)));
    let store = Arc::new(Faulty::new(memory, Clock::seeded(4), Box::new(hook)));
    let mut settings = settings();
    let rule = CorsSettings { bucket: "ruled".to_owned(), ..CorsSettings::default() };
    settings.s3.cors = vec![CorsSettings { origins: vec![PAGE.to_owned()], ..rule }];
    let (address, _shutdown) = serve(store, settings).await;
    for (target, origin, status, looked_for) in [
        ("/ruled", PAGE, 200, 0),
        ("/ruled", "https://other", 403, 0),
        ("/bucket", PAGE, 403, 1),
        ("/bucket", PAGE, 403, 0),
        ("/missing", PAGE, 404, 1),
        ("/missing", PAGE, 404, 0),
    ] {
        let before = calls.load(Ordering::Relaxed);
        let headers = [("origin", origin), ("access-control-request-method", "GET")];
        let head = preflight(target, &headers).head(address);
        assert_eq!(exchange_and_close(address, &head, b"").await.status, status, "{target}");
        assert_eq!(calls.load(Ordering::Relaxed) - before, looked_for, "{target} {origin}");
    }
}

#[tokio::test]
async fn rules_of_the_settings_are_for_one_bucket_or_for_all() {
    let rule = |bucket: &str, origin: &str| CorsSettings {
        bucket: bucket.to_owned(),
        origins: vec![origin.to_owned()],
        ..CorsSettings::default()
    };
    let mut settings = settings();
    settings.s3.cors = vec![rule("bucket", "https://one"), rule("*", "https://all")];
    let gateway = start(settings).await;
    configure(&gateway, "bucket", &[("https://own", &["GET"], "")]).await;
    for (target, origin, expected) in [
        ("/bucket/k", "https://one", 200),
        ("/bucket/k", "https://all", 200),
        ("/bucket/k", "https://own", 200),
        ("/other/k", "https://one", 403),
        ("/other/k", "https://own", 403),
        ("/other/k", "https://all", 200),
        ("/", "https://all", 200),
        ("/", "https://one", 403),
    ] {
        let headers = [("origin", origin), ("access-control-request-method", "GET")];
        let response = preflight(target, &headers).send(&gateway).await;
        assert_eq!(response.status, expected, "{target} {origin}");
    }
}

#[tokio::test]
async fn a_configuration_is_kept_until_it_or_its_bucket_is_removed() {
    let gateway = start(settings()).await;
    let code = async |request: Request| {
        let response = request.send(&gateway).await;
        (response.status, response.code())
    };
    let missing = (404, "NoSuchCORSConfiguration".to_owned());
    let (get, delete) = (|| s3("GET", "/bucket?cors="), || s3("DELETE", "/bucket?cors="));
    assert_eq!(code(get()).await, missing);
    assert_eq!(code(delete()).await, (204, String::new()));
    let rules: &[(&str, &[&str], &str)] =
        &[("https://a", &["GET", "PUT"], "<ID>one</ID><MaxAgeSeconds>7</MaxAgeSeconds>")];
    configure(&gateway, "bucket", rules).await;
    let kept = get().send(&gateway).await;
    let text = String::from_utf8(kept.body).unwrap();
    for element in ["<ID>one</ID>", "<AllowedMethod>PUT</AllowedMethod>", "<MaxAgeSeconds>7<"] {
        assert!(text.contains(element), "{text}");
    }
    // Another gateway in front of the same store.
    let store: Arc<dyn Store> = gateway.store.clone();
    let (address, _shutdown) = second(store).await;
    let head = get().head(address);
    assert_eq!(exchange_and_close(address, &head, b"").await.status, 200);
    for key in [READER, LIMITED] {
        for request in [get(), delete(), s3("PUT", "/bucket?cors=").body(&configuration(rules))] {
            let denied = (403, "AccessDenied".to_owned());
            assert_eq!(code(request.signed_by(Some(key))).await, denied);
        }
    }
    let absent = (404, "NoSuchBucket".to_owned());
    assert_eq!(code(s3("PUT", "/missing?cors=").body(&configuration(rules))).await, absent);
    assert_eq!(code(s3("GET", "/ratchet-state?cors=")).await, absent);
    assert_eq!(code(s3("PUT", "/bucket?cors=").body(b"<x/>")).await.1, "MalformedXML");
    let headers = [("origin", "https://a"), ("access-control-request-method", "PUT")];
    assert_eq!(preflight("/bucket/k", &headers).send(&gateway).await.status, 200);
    assert_eq!(code(s3("DELETE", "/bucket")).await, (204, String::new()));
    assert_eq!(preflight("/bucket/k", &headers).send(&gateway).await.status, 404);
    assert_eq!(code(s3("PUT", "/bucket")).await, (200, String::new()));
    assert_eq!(code(get()).await, missing, "a new bucket of the same name has no rules");
}

async fn second(store: Arc<dyn Store>) -> (std::net::SocketAddr, tokio::sync::oneshot::Sender<()>) {
    store.delete_bucket(&"bucket".into()).await.unwrap();
    serve(store, settings()).await
}

#[tokio::test]
async fn settings_that_a_crash_left_behind_are_not_those_of_a_new_bucket() {
    let gateway = start(settings()).await;
    configure(&gateway, "bucket", &[("https://a", &["GET"], "")]).await;
    // As a gateway does that stops between the bucket and its settings.
    gateway.store.delete_bucket(&"bucket".into()).await.unwrap();
    assert_eq!(s3("PUT", "/bucket").send(&gateway).await.status, 200);
    assert_eq!(s3("GET", "/bucket?cors=").send(&gateway).await.status, 404);
}

#[tokio::test]
async fn a_store_that_fails_takes_no_response_away() {
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = Arc::clone(&broken);
    let hook = move |call: Call<'_>| {
        let fails =
            call.key.starts_with("v1/bucket_settings/") && is_broken.load(Ordering::Relaxed);
        (Duration::ZERO, fails.then_some(Fault::Before(Kind::Unavailable)))
    };
    let memory = Arc::new(Memory::new(Clock::seeded(3)));
    let store = Arc::new(Faulty::new(memory, Clock::seeded(4), Box::new(hook)));
    let mut settings = settings();
    settings.s3.cors =
        vec![CorsSettings { origins: vec![PAGE.to_owned()], ..CorsSettings::default() }];
    let (address, _shutdown) = serve(store, settings).await;
    broken.store(true, Ordering::Relaxed);
    let get = s3("GET", "/bucket").header("origin", PAGE).head(address);
    let response = exchange_and_close(address, &get, b"").await;
    assert_eq!((response.status, allowed(&response).0), (200, Some(PAGE)));
    let headers = [("origin", PAGE), ("access-control-request-method", "GET")];
    let asked = preflight("/bucket/k", &headers).head(address);
    assert_eq!(exchange_and_close(address, &asked, b"").await.status, 503);
    broken.store(false, Ordering::Relaxed);
    assert_eq!(exchange_and_close(address, &asked, b"").await.status, 200);
}
