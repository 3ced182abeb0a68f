//! Listings of the S3 API: pages of each size have what the store's own listing has, key by key;
//! tokens, markers and limits are S3's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use percent_encoding::percent_decode_str;
use ratchet::clock::Clock;
use ratchet::digest::{Algorithm, Checksum};
use ratchet::sigv4::Payload;
use ratchet::store::{Body, PutOptions, Store, dir::Dir, memory::Memory};

use crate::support::gateway::{Gateway, serve, serve_as_it_is, settings, start};
use crate::support::lab;
use crate::support::request::{Request, payload_of, s3, signed_head};
use crate::support::response::{Response, exchange_and_close};

const KEYS: usize = 10_000;

fn text(response: Response) -> String {
    String::from_utf8(response.body).unwrap()
}

fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&open).skip(1).filter_map(|rest| Some(rest.split_once(&close)?.0)).collect()
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    elements(text, name).first().copied()
}

/// Keys that differ in what servers make of them: below other keys, with characters that are
/// escaped in URLs or XML, and with neighbours of `/` in the order of bytes.
fn odd_keys(count: usize) -> BTreeSet<String> {
    let key = |n: usize| match n % 8 {
        0 => format!("l/{:05}", n),
        1 => format!("l/{:05}/below", n - 1),
        2 => format!("l/{:05}/below/that", n - 2),
        3 => format!("l/{:05}-beside", n - 3),
        4 => format!("l/{n:05} with+signs&<%41>"),
        5 => format!("ä/{}/{n:05}", n % 13),
        6 => format!("{}/~{n:05}.'\"", n % 7),
        _ => format!("l/{:05}/below.x", n - 7),
    };
    (0..count).map(key).collect()
}

async fn fill(store: &Arc<dyn Store>, bucket: &str, keys: &BTreeSet<String>) {
    let put = |key: String| {
        let (store, bucket) = (Arc::clone(store), bucket.into());
        async move {
            store
                .put(
                    &bucket,
                    &key.as_str().into(),
                    Body::from(b"1".to_vec()),
                    PutOptions::default(),
                )
                .await
                .unwrap();
        }
    };
    stream::iter(keys.iter().cloned()).map(put).buffer_unordered(64).collect::<()>().await;
}

/// Whom a listing is asked from.
enum Server {
    /// A gateway, whose clock is seeded.
    Gateway(SocketAddr),
    /// The store itself.
    Direct(String),
}

impl Server {
    async fn get(&self, target: &str) -> String {
        let response = match self {
            Self::Gateway(address) => {
                let head = s3("GET", target).head(*address);
                exchange_and_close(*address, &head, b"").await
            }
            Self::Direct(host) => {
                let key = (
                    &*std::env::var("AWS_ACCESS_KEY_ID").unwrap(),
                    &*std::env::var("AWS_SECRET_ACCESS_KEY").unwrap(),
                );
                let payload: Payload = payload_of(b"");
                let head = signed_head(host, key, ("GET", target), &[], payload, 0);
                exchange_and_close(host.parse().unwrap(), &head, b"").await
            }
        };
        assert_eq!(response.status, 200, "{target}: {response:?}");
        let is_chunked = response.header("transfer-encoding") == Some("chunked");
        if is_chunked { without_framing(&text(response)) } else { text(response) }
    }

    /// All keys and rolled-up prefixes, page by page, in the order in which they come.
    async fn list(&self, bucket: &str, query: &str, limit: usize, v2: bool) -> Vec<String> {
        let api = if v2 { "&list-type=2" } else { "" };
        let base = format!("/{bucket}?encoding-type=url&max-keys={limit}{api}{query}");
        let (mut found, mut target) = (Vec::new(), base.clone());
        loop {
            let page = self.get(&target).await;
            let contents = elements(&page, "Contents").into_iter();
            let keys = contents.map(|object| element(object, "Key").unwrap());
            let rolled_up = elements(&page, "CommonPrefixes").into_iter();
            let rolled_up = rolled_up.map(|prefix| element(prefix, "Prefix").unwrap());
            let names: Vec<String> = keys.chain(rolled_up).map(decoded).collect();
            // SeaweedFS counts a key and the prefix of the keys below it as one.
            assert!(names.len() <= 2 * limit, "{target}: {} of {limit}", names.len());
            if v2 && matches!(self, Self::Gateway(_)) {
                assert_eq!(element(&page, "KeyCount"), Some(&*names.len().to_string()));
            }
            let last = names.last().cloned();
            assert!(last.is_none() || !found.contains(last.as_ref().unwrap()), "{target}: again");
            found.extend(names);
            if element(&page, "IsTruncated") == Some("false") {
                return found;
            }
            target = if v2 {
                let token = element(&page, "NextContinuationToken").unwrap();
                format!("{base}&continuation-token={}", encoded(&unescaped(token)))
            } else {
                // SeaweedFS does not encode it.
                let marker = element(&page, "NextMarker").map(unescaped);
                let marker = marker.filter(|marker| last.as_ref() != Some(marker));
                let marker = marker.map(|marker| decoded(&marker)).or(last).unwrap();
                format!("{base}&marker={}", encoded(&marker))
            };
        }
    }
}

/// A body without its chunked framing.
fn without_framing(text: &str) -> String {
    let (mut whole, mut rest) = (String::new(), text);
    while let Some((size, chunk)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&chunk[..size]);
        rest = &chunk[size + 2..];
    }
    whole
}

fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (name, character) in
        [("lt", "<"), ("gt", ">"), ("quot", "\""), ("#34", "\""), ("apos", "'"), ("#39", "'")]
    {
        text = text.replace(&format!("&{name};"), character);
    }
    text.replace("&amp;", "&")
}

fn decoded(text: &str) -> String {
    let text = unescaped(text).replace('+', " ");
    percent_decode_str(&text).decode_utf8().unwrap().into_owned()
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

async fn listed_in_every_page_size(store: Arc<dyn Store>) {
    let (address, _shutdown) = serve(Arc::clone(&store), settings()).await;
    let keys = odd_keys(KEYS);
    fill(&store, "bucket", &keys).await;
    let gateway = Server::Gateway(address);
    let expected: Vec<String> = keys.iter().cloned().collect();
    for limit in [3, 7, 1000] {
        assert!(gateway.list("bucket", "", limit, true).await == expected, "pages of {limit}");
    }
    assert!(gateway.list("bucket", "", 1000, false).await == expected, "V1");
    // Prefixes and delimiters, in pages of one too.
    let rolled_up = |prefix: &str, delimiter: &str| {
        let names = keys.iter().filter(|key| key.starts_with(prefix)).map(|key| {
            let within = &key[prefix.len()..];
            match within.find(delimiter).filter(|_| !delimiter.is_empty()) {
                Some(at) => key[..prefix.len() + at + delimiter.len()].to_owned(),
                None => key.clone(),
            }
        });
        names.collect::<BTreeSet<String>>()
    };
    for (prefix, delimiter) in [("l/0001", ""), ("l/0002", "/"), ("l/000", "/be"), ("", "/")] {
        let query = format!("&prefix={}&delimiter={}", encoded(prefix), encoded(delimiter));
        for (limit, v2) in [(1, true), (1, false), (7, true), (1000, false)] {
            let found = gateway.list("bucket", &query, limit, v2).await;
            let (count, found) = (found.len(), found.into_iter().collect::<BTreeSet<String>>());
            let expected = rolled_up(prefix, delimiter);
            assert_eq!(count, found.len(), "{query} in pages of {limit}: a name twice");
            assert!(found == expected, "{query} in pages of {limit}, V2: {v2}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_keys_are_listed_in_every_page_size_on_memory() {
    listed_in_every_page_size(Arc::new(Memory::new(Clock::seeded(3)))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_keys_are_listed_in_every_page_size_on_dir() {
    let home = tempfile::tempdir().unwrap();
    let store = Dir::open(home.path(), Clock::seeded(3)).unwrap();
    listed_in_every_page_size(Arc::new(store)).await;
}

/// Objects of one put have one; that of an object of parts is in the gateway's records only.
async fn checksums_are_listed(store: Arc<dyn Store>) {
    let (address, _shutdown) = serve(store, settings()).await;
    let send = async |request: Request| {
        let response = exchange_and_close(address, &request.head(address), &request.body).await;
        assert_eq!(response.status, 200, "{response:?}");
        text(response)
    };
    for algorithm in Algorithm::ALL {
        let put = s3("PUT", &format!("/bucket/{algorithm}")).body(b"bytes");
        let value = Checksum::of(algorithm, b"bytes").base64();
        send(put.header(algorithm.header().as_str(), &value)).await;
    }
    send(s3("PUT", "/bucket/usual").body(b"bytes")).await;
    let created = send(s3("POST", "/bucket/parts?uploads=")).await;
    let id = element(&created, "UploadId").unwrap();
    let part = s3("PUT", &format!("/bucket/parts?partNumber=1&uploadId={id}")).body(b"part");
    let part = exchange_and_close(address, &part.head(address), b"part").await;
    let tag = part.header("etag").unwrap();
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let complete = s3("POST", &format!("/bucket/parts?uploadId={id}"));
    send(complete.body(document.as_bytes())).await;
    let mut expected: BTreeMap<&str, _> =
        Algorithm::ALL.map(|algorithm| (algorithm.name(), Some(algorithm.name()))).into();
    expected.extend([("usual", Some("CRC64NVME")), ("parts", None)]);
    for (query, entry) in [("", "Contents"), ("list-type=2", "Contents"), ("versions=", "Version")]
    {
        let page = send(s3("GET", &format!("/bucket?{query}"))).await;
        let found: BTreeMap<&str, _> = elements(&page, entry)
            .into_iter()
            .map(|object| {
                let algorithm = element(object, "ChecksumAlgorithm");
                let kind = element(object, "ChecksumType");
                assert_eq!(kind, algorithm.map(|_| "FULL_OBJECT"), "{object}");
                (element(object, "Key").unwrap(), algorithm)
            })
            .collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn the_checksums_of_objects_are_listed_on_memory() {
    checksums_are_listed(Arc::new(Memory::new(Clock::seeded(3)))).await;
}

#[tokio::test]
async fn the_checksums_of_objects_are_listed_on_dir() {
    let home = tempfile::tempdir().unwrap();
    checksums_are_listed(Arc::new(Dir::open(home.path(), Clock::seeded(3)).unwrap())).await;
}

/// A server may leave keys out of its own listing (docs/backends.md#listing-with-start-after). The
/// gateway shows the same keys, in the same order.
#[tokio::test(flavor = "multi_thread")]
async fn odd_keys_are_listed_as_the_s3_server_lists_them() {
    let Some(lab) = lab::s3().await else { return };
    let endpoint = std::env::var("RATCHET_TEST_S3").unwrap();
    let direct = Server::Direct(endpoint.trim_start_matches("http://").to_owned());
    let (address, _shutdown) = serve_as_it_is(Arc::clone(&lab.store), settings()).await;
    let gateway = Server::Gateway(address);
    let bucket = lab.bucket.as_str();
    let keys = odd_keys(KEYS);
    fill(&lab.store, bucket, &keys).await;
    for limit in [3, 7, 1000] {
        let (ours, own) = (
            gateway.list(bucket, "", limit, true).await,
            direct.list(bucket, "", limit, true).await,
        );
        assert!(ours == own, "{} of {} in pages of {limit}", ours.len(), own.len());
        println!("pages of {limit}: {} of {} keys", ours.len(), keys.len());
    }
    for query in ["&prefix=l%2F0001", "&prefix=l%2F0002&delimiter=%2F", "&delimiter=%2F"] {
        for (limit, v2) in [(1, true), (1, false), (3, false), (7, true), (1000, true)] {
            let ours = gateway.list(bucket, query, limit, v2).await;
            let own = direct.list(bucket, query, limit, v2).await;
            assert_eq!(ours, own, "{query} in pages of {limit}, V2: {v2}");
        }
    }
}

async fn status_and_code(gateway: &Gateway, target: &str) -> (u16, String) {
    let response = s3("GET", target).send(gateway).await;
    let (status, text) = (response.status, text(response));
    (status, element(&text, "Code").unwrap_or_default().to_owned())
}

#[tokio::test]
async fn limits_and_tokens_are_those_of_s3() {
    let gateway = start(settings()).await;
    let store: Arc<dyn Store> = gateway.store.clone();
    fill(&store, "bucket", &odd_keys(10)).await;
    let created = text(s3("POST", "/bucket/up?uploads").send(&gateway).await);
    let upload = element(&created, "UploadId").unwrap();
    let part = s3("PUT", &format!("/bucket/up?partNumber=1&uploadId={upload}")).body(b"part");
    assert_eq!(part.send(&gateway).await.status, 200);
    let parts = format!("/bucket/up?uploadId={upload}&");
    for (target, limit) in [
        ("/bucket?", "max-keys"),
        ("/bucket?list-type=2&", "max-keys"),
        ("/bucket?versions&", "max-keys"),
        ("/bucket?uploads&", "max-uploads"),
        (&*parts, "max-parts"),
    ] {
        let none = text(s3("GET", &format!("{target}{limit}=0")).send(&gateway).await);
        assert_eq!(element(&none, "IsTruncated"), Some("false"), "{target}{limit}=0: {none}");
        for next in ["NextMarker", "NextContinuationToken", "NextKeyMarker", "NextUploadIdMarker"] {
            assert_eq!(element(&none, next), None, "{target}{limit}=0");
        }
        for bad in ["-1", "x", "1.5", "2147483648"] {
            let outcome = status_and_code(&gateway, &format!("{target}{limit}={bad}")).await;
            assert_eq!(outcome, (400, "InvalidArgument".to_owned()), "{target}{limit}={bad}");
        }
        let most = s3("GET", &format!("{target}{limit}=2147483647")).send(&gateway).await;
        assert_eq!(most.status, 200, "{target}{limit}=2147483647");
        assert!(text(most).contains(">1000</Max"), "{target}{limit}=2147483647");
    }
    let page = text(s3("GET", "/bucket?list-type=2&max-keys=1").send(&gateway).await);
    let token = element(&page, "NextContinuationToken").unwrap().to_owned();
    for (target, status) in [
        (format!("/bucket?list-type=2&continuation-token={token}"), 200),
        (format!("/bucket?list-type=2&prefix=l&continuation-token={token}"), 400),
        ("/bucket?list-type=2&continuation-token=bC9h".to_owned(), 400),
    ] {
        assert_eq!(status_and_code(&gateway, &target).await.0, status, "{target}");
    }
    // Without a delimiter the next page of V1 begins behind the last key, and S3 says no marker.
    let page = text(s3("GET", "/bucket?max-keys=1").send(&gateway).await);
    assert_eq!((element(&page, "IsTruncated"), element(&page, "NextMarker")), (Some("true"), None));
    let page = text(s3("GET", "/bucket?max-keys=1&delimiter=%2F").send(&gateway).await);
    let rolled_up = element(&page, "CommonPrefixes").and_then(|found| element(found, "Prefix"));
    assert_eq!(element(&page, "NextMarker"), rolled_up);
    assert!(rolled_up.is_some(), "{page}");
}

#[tokio::test]
async fn buckets_are_filtered_and_paged() {
    let gateway = start(settings()).await;
    for name in ["alpha-1", "alpha-2", "alpha-3", "beta"] {
        gateway.store.create_bucket(&name.into()).await.unwrap();
    }
    let names = async |query: &str| {
        let page = text(s3("GET", &format!("/?{query}")).send(&gateway).await);
        let names: Vec<String> = elements(&page, "Name").into_iter().map(str::to_owned).collect();
        (names.join(" "), element(&page, "ContinuationToken").map(str::to_owned))
    };
    assert_eq!(names("").await, ("alpha-1 alpha-2 alpha-3 beta bucket".to_owned(), None));
    assert_eq!(names("prefix=beta").await, ("beta".to_owned(), None));
    assert_eq!(names("bucket-region=eu-central-1").await, (String::new(), None));
    assert_eq!(names("bucket-region=us-east-1&prefix=b").await.0, "beta bucket");
    let (first, token) = names("prefix=alpha&max-buckets=2").await;
    assert_eq!(first, "alpha-1 alpha-2");
    let query = format!("prefix=alpha&max-buckets=2&continuation-token={}", token.unwrap());
    assert_eq!(names(&query).await, ("alpha-3".to_owned(), None));
    for bad in ["max-buckets=0", "max-buckets=10001", "max-buckets=x", "continuation-token=x"] {
        let outcome = status_and_code(&gateway, &format!("/?{bad}")).await;
        assert_eq!(outcome, (400, "InvalidArgument".to_owned()), "{bad}");
    }
}
