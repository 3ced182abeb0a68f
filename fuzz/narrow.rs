//! Random requests of an account with a narrow grant, to gateways on two stores: they must not
//! change or read a byte outside the grant. Shared by the fuzz target `narrow` and by
//! `tests/it/attacks/random.rs`.
//!
//! Each byte of an input chooses one of a list of words that have a meaning in some request, so one
//! input is one request, and a shorter input a simpler one.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ratchet::accounts::{Access, AccountSettings, GrantSettings, KeySettings};
use ratchet::app;
use ratchet::clock::Clock;
use ratchet::settings::Settings;
use ratchet::sigv4::{Credentials, Payload, sign};
use ratchet::store::{ListOptions, PutOptions, Store, dir::Dir, memory::Memory};
use ratchet::upload::{NewUpload, Settings as UploadSettings, Uploads};

const ACCOUNT: &str = "narrow";
const KEY: (&str, &str) = ("AKNARROW", "narrow-secret-0123");
/// What no response may contain: bytes of an object, and a key that no request names.
const SECRETS: [&str; 2] = ["eyes-only-5f2c", "unnamed-71d0"];

const METHODS: &[&str] =
    &["GET", "PUT", "POST", "DELETE", "GET", "PUT", "POST", "HEAD", "PATCH", "OPTIONS"];
const BUCKETS: &[&str] = &[
    "bucket",
    "bucket",
    "bucket",
    "bucket",
    "bucket",
    "bucket",
    "others",
    "ratchet-state",
    "minio",
    "admin",
    "missing",
    "",
    "_all",
    "%2e%2e",
    "BUCKET",
];
const KEYS: &[&str] = &[
    "mine/k",
    "mine/k",
    "mine/k",
    "mine/k",
    "mine/k2",
    "theirs/k",
    "",
    "mine/",
    "mine",
    "mine/../theirs/k",
    "mine%2F..%2Ftheirs%2Fk",
    "min",
    "mine/%2e%2e/theirs/k",
    "//theirs/k",
    "mine/k%00",
    "v1/root/",
    "theirs/",
    "mine\\..\\theirs\\k",
    "mine/k/../../../others/k",
    "%6Dine/k",
];
const QUERY: &[&str] = &[
    "list-type=2",
    "uploads",
    "delete",
    "prefix=",
    "prefix=mine%2F",
    "prefix=theirs%2F",
    "delimiter=%2F",
    "max-keys=0",
    "start-after=a",
    "marker=a",
    "key-marker=a",
    "upload-id-marker=a",
    "continuation-token=YQ",
    "encoding-type=url",
    "versionId=null",
    "versionId=a",
    "partNumber=1",
    "partNumber=0",
    "uploadId=MINE",
    "uploadId=FOREIGN",
    "uploadId=..",
    "attributes",
    "acl",
    "tagging",
    "policy",
    "website",
    "versions",
    "versioning",
    "location",
    "restore",
    "select",
    "select-type=2",
    "retention",
    "legal-hold",
    "renameObject",
    "append",
    "logging",
    "replication",
    "lifecycle",
    "cors",
    "object-lock",
    "session",
    "torrent",
    "x-id=GetObject",
    "response-content-type=a",
    "view=missing",
    "bucket=bucket",
    "key=theirs%2Fk",
    "status=complete",
    "X-Amz-Copy-Source=%2Fbucket%2Ftheirs%2Fk",
    "x-amz-acl=public-read",
    "a=b",
];
const HEADERS: &[(&str, &str)] = &[
    ("x-amz-copy-source", "/bucket/theirs/k"),
    ("x-amz-copy-source", "/others/k"),
    ("x-amz-copy-source", "/bucket/mine/k"),
    ("x-amz-copy-source", "bucket/mine/../theirs/k"),
    ("x-amz-copy-source", "/ratchet-state/v1/root/"),
    ("x-amz-copy-source", "/minio/admin/v3/info"),
    ("x-amz-copy-source-range", "bytes=0-3"),
    ("x-amz-metadata-directive", "REPLACE"),
    ("x-amz-meta-snowball-auto-extract", "true"),
    ("x-amz-meta-a", "b"),
    ("x-amz-meta-ratchet-upload", "a"),
    ("x-amz-meta-ratchet-checksum", "crc32:AAAAAA=="),
    ("if-match", "*"),
    ("if-none-match", "*"),
    ("range", "bytes=0-3"),
    ("x-amz-acl", "public-read"),
    ("x-amz-rename-source", "/theirs/k"),
    ("x-amz-write-offset-bytes", "0"),
    ("x-amz-bypass-governance-retention", "true"),
    ("x-amz-tagging", "a=b"),
    ("x-amz-object-attributes", "ETag,ObjectSize,Checksum"),
    ("x-amz-checksum-mode", "ENABLED"),
    ("x-amz-expected-bucket-owner", "root"),
    ("content-type", "multipart/form-data; boundary=b"),
    ("x-amz-website-redirect-location", "/theirs/k"),
    ("x-http-method-override", "DELETE"),
    ("x-forwarded-host", "others"),
    ("content-digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
    ("expect", "100-continue"),
];
const BODIES: &[&str] = &[
    "",
    "new",
    "<Delete><Object><Key>theirs/k</Key></Object><Object><Key>mine/k</Key></Object></Delete>",
    "<Delete><Object><Key>mine/../theirs/k</Key></Object><Object><Key>k</Key></Object></Delete>",
    "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>",
    "<RestoreRequest><OutputLocation><S3><BucketName>others</BucketName></S3></OutputLocation></RestoreRequest>",
    "<Tagging><TagSet/></Tagging>",
    r#"{"bucket":"bucket","key":"theirs/k","chunkSize":5242880}"#,
    r#"{"bucket":"others","key":"k","chunkSize":5242880,"size":0}"#,
    r#"{"bucket":"bucket","key":"mine/k","chunkSize":5242880,"size":0,"metadata":{"ratchet-upload":"a"}}"#,
    r#"{"bucket":"ratchet-state","key":"v1/root/x","chunkSize":5242880,"size":0}"#,
    r#"{"bucket":"minio","key":"admin/v3/add-user","chunkSize":5242880,"size":0}"#,
    "{}",
    "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\ntheirs/k\r\n--b\r\nContent-Disposition: form-data; \
     name=\"file\"\r\n\r\nnew\r\n--b--\r\n",
];
const API: &[&str] = &[
    "",
    "/MINE",
    "/FOREIGN",
    "/FOREIGN/chunks/0",
    "/MINE/chunks/0",
    "/FOREIGN/finalize",
    "/MINE/finalize",
    "/chosen",
];

/// The bytes of an input, one for each choice. After the last byte the first word is chosen.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn choose<T: Copy>(&mut self, words: &[T]) -> T {
        words[usize::from(self.0.next().copied().unwrap_or(0)) % words.len()]
    }

    fn choose_some<T: Copy>(&mut self, words: &[T], max: usize) -> Vec<T> {
        // Mostly few: a request with many words is usually refused because of one of them.
        let count = self.choose(&[0, 0, 0, 0, 1, 1, 2, 3]).min(max);
        (0..count).map(|_| self.choose(words)).collect()
    }
}

struct Gateway {
    address: SocketAddr,
    store: Arc<dyn Store>,
    /// Upload ids: one of the account, and one of another account.
    mine: String,
    foreign: String,
    outside: BTreeSet<String>,
}

/// Gateways on two stores, each with the same objects.
pub struct World {
    runtime: tokio::runtime::Runtime,
    gateways: Vec<Gateway>,
    _home: tempfile::TempDir,
}

impl World {
    /// Starts both gateways.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let home = tempfile::tempdir().expect("a directory");
        let dir = Dir::open(&home.path().join("store"), Clock::system()).expect("a store");
        let stores: [Arc<dyn Store>; 2] = [Arc::new(Memory::new(Clock::system())), Arc::new(dir)];
        let gateways = stores.into_iter().map(|store| start(&runtime, store)).collect();
        Self { runtime, gateways, _home: home }
    }

    /// Sends the request of an input to both gateways. Panics if it changed or returned anything
    /// outside the grant. Returns whether a response was a success, so that a test can tell that
    /// not all requests were refused.
    pub fn try_one(&mut self, input: &[u8]) -> bool {
        let mut succeeded = false;
        for gateway in &mut self.gateways {
            let Some(request) = request(input, gateway) else {
                return false;
            };
            let response = send(gateway.address, &request);
            let text = String::from_utf8_lossy(&response);
            let head = String::from_utf8_lossy(&request[..request.len().min(400)]).into_owned();
            for secret in SECRETS {
                assert!(!text.contains(secret), "{head}\nreturned {secret}:\n{text}");
            }
            let outside = self.runtime.block_on(outside(gateway.store.as_ref()));
            assert_eq!(
                outside, gateway.outside,
                "{head}\nchanged something outside its grant:\n{text}"
            );
            succeeded |= text.starts_with("HTTP/1.1 2");
        }
        succeeded
    }
}

fn start(runtime: &tokio::runtime::Runtime, store: Arc<dyn Store>) -> Gateway {
    let key = |(id, secret): (&str, &str)| KeySettings {
        id: id.to_owned(),
        secret: secret.to_owned().into(),
    };
    let grant = GrantSettings {
        bucket: "bucket".to_owned(),
        prefix: "mine/".to_owned(),
        access: Access::Write,
    };
    let mut settings =
        Settings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Settings::default() };
    settings.gc.enabled = false;
    settings.accounts.accounts.push(AccountSettings {
        name: ACCOUNT.to_owned(),
        root: false,
        keys: vec![key(KEY)],
        grants: vec![grant],
    });
    let (mine, foreign) = runtime.block_on(create_objects(&store));
    let outside = runtime.block_on(outside(store.as_ref()));
    let (tx, rx) = mpsc::channel();
    let gateway_store = Arc::clone(&store);
    runtime.spawn(async move {
        let ready = move |ready: app::Ready| tx.send(ready.address).expect("the receiver exists");
        app::run_on(gateway_store, settings, Clock::system(), ready, std::future::pending())
            .await
            .expect("it serves");
    });
    let address = rx.recv().expect("it starts");
    Gateway { address, store, mine, foreign, outside }
}

/// Objects inside and outside the grant, and an upload of each of two accounts.
async fn create_objects(store: &Arc<dyn Store>) -> (String, String) {
    let uploads = Uploads::new(Arc::clone(store), Clock::system(), UploadSettings::default());
    uploads.prepare().await.expect("a state bucket");
    for (bucket, key) in
        [("bucket", "mine/k"), ("bucket", "theirs/k"), ("bucket", SECRETS[1]), ("others", "k")]
    {
        uploads.make_bucket(&bucket.into()).await.expect("a bucket");
        let bytes = if key == "mine/k" { "public" } else { SECRETS[0] };
        let (bucket, key, body) = (bucket.into(), key.into(), bytes.as_bytes().to_vec().into());
        store.put(&bucket, &key, body, PutOptions::default()).await.expect("an object");
    }
    let upload = async |account: &str, key: &str| {
        let new = NewUpload { bucket: "bucket".into(), key: key.into(), ..NewUpload::default() };
        uploads
            .create_upload(&account.into(), new)
            .await
            .expect("an upload")
            .root()
            .backup_id
            .clone()
    };
    (upload(ACCOUNT, "mine/k").await.to_string(), upload("root", "theirs/k").await.to_string())
}

/// Names and ETags of all objects that the account must not change.
async fn outside(store: &dyn Store) -> BTreeSet<String> {
    let inside = |name: &str| {
        name.starts_with("bucket/mine/") || name.starts_with("ratchet-state/v1/narrow/")
    };
    let mut outside = BTreeSet::new();
    for info in store.list_buckets().await.expect("buckets") {
        outside.insert(info.bucket.to_string());
        let mut options = ListOptions { limit: 1000, ..ListOptions::default() };
        loop {
            let page = store.list(&info.bucket, &options).await.expect("a listing");
            let names = page
                .objects
                .iter()
                .map(|object| (format!("{}/{}", info.bucket, object.key), &object.etag));
            outside.extend(
                names
                    .filter(|(name, _)| !inside(name))
                    .map(|(name, etag)| format!("{name} {etag}")),
            );
            let Some(next) = page.next else {
                break;
            };
            options.continue_at(next);
        }
    }
    outside
}

/// The signed request of an input; None if its words form no valid request.
fn request(input: &[u8], gateway: &Gateway) -> Option<Vec<u8>> {
    let mut choices = Choices(input.iter());
    let method = choices.choose(METHODS);
    let path = if choices.choose(&[false, false, false, true]) {
        format!("/_ratchet/v1/backups{}", choices.choose(API))
    } else {
        format!("/{}/{}", choices.choose(BUCKETS), choices.choose(KEYS))
    };
    let query = choices.choose_some(QUERY, 3).join("&");
    let target = if query.is_empty() { path } else { format!("{path}?{query}") };
    let with_ids =
        |text: &str| text.replace("MINE", &gateway.mine).replace("FOREIGN", &gateway.foreign);
    let (target, body) = (with_ids(&target), choices.choose(BODIES));
    let mut request =
        http::Request::builder().method(method).uri(format!("http://{}{target}", gateway.address));
    for (name, value) in choices.choose_some(HEADERS, 3) {
        request = request.header(name, value);
    }
    let (mut parts, ()) = request.body(()).ok()?.into_parts();
    let credentials = Credentials::new(KEY.0, KEY.1, None);
    sign(&mut parts, &credentials, "us-east-1", Payload::Unsigned, Clock::system().wall()).ok()?;
    let mut fields = String::new();
    for (name, value) in &parts.headers {
        fields.push_str(&format!("{name}: {}\r\n", value.to_str().ok()?));
    }
    let head = format!(
        "{method} {target} HTTP/1.1\r\n{fields}connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Some([head.as_bytes(), body.as_bytes()].concat())
}

fn send(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).expect("it accepts");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    // The gateway may respond and close the connection before it has read the whole request.
    socket.write_all(request).ok();
    let mut response = Vec::new();
    socket.read_to_end(&mut response).ok();
    response
}
