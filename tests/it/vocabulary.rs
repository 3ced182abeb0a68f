//! Every header and query parameter of every S3 operation, as the table of the gateway says: what
//! is refused is named and changes nothing, what is kept comes back, what means nothing changes
//! nothing, and what is acted on is not passed over.
//!
//! The cases are generated from `front/s3/vocabulary`; each runs against a gateway of its own.

use ratchet::front::s3::vocabulary::{
    Meaning,
    table::{Entry, entries},
};

use crate::support::form::form;
use crate::support::gateway::{Gateway, settings, start};
use crate::support::request::{Request, s3};
use crate::support::response::{Response, exchange_and_close};

const OLD: &[u8] = b"old bytes";
const NEW: &[u8] = b"new bytes";

const CORS: &[u8] = b"<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod>\
    <AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>";

/// What a client adds to a request.
#[derive(Clone, Copy, Debug)]
struct Added<'a> {
    name: &'a str,
    value: &'a str,
    as_header: bool,
}

/// A gateway with an object `k`, and an open upload of `up` with one part.
struct Scene {
    gateway: Gateway,
    upload: String,
    etag: String,
}

/// A response to HEAD has the length of a body that does not follow.
async fn send(gateway: &Gateway, request: Request) -> Response {
    let head = request.head(gateway.address);
    exchange_and_close(gateway.address, &head, &request.body).await
}

async fn ok(gateway: &Gateway, request: Request) -> Response {
    let response = send(gateway, request).await;
    assert!(response.status < 300, "{response:?}");
    response
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

fn element<'a>(text: &'a str, name: &str) -> &'a str {
    let rest = text.split_once(&format!("<{name}>")).unwrap().1;
    rest.split_once(&format!("</{name}>")).unwrap().0
}

impl Scene {
    async fn new() -> Self {
        let gateway = start(settings()).await;
        ok(&gateway, s3("PUT", "/bucket/k").body(OLD)).await;
        ok(&gateway, s3("PUT", "/bucket?cors=").body(CORS)).await;
        let created = text(&ok(&gateway, s3("POST", "/bucket/up?uploads=")).await);
        let upload = element(&created, "UploadId").to_owned();
        let part = format!("/bucket/up?partNumber=1&uploadId={upload}");
        let stored = ok(&gateway, s3("PUT", &part).body(OLD)).await;
        let etag = stored.header("etag").unwrap().trim_matches('"').to_owned();
        Self { gateway, upload, etag }
    }

    /// A request of an operation that succeeds as it is.
    fn request(&self, operation: &str) -> Request {
        let id = &self.upload;
        match operation {
            "ListBuckets" => s3("GET", "/"),
            "CreateBucket" => s3("PUT", "/another"),
            "HeadBucket" => s3("HEAD", "/bucket"),
            "DeleteBucket" => s3("DELETE", "/bucket"),
            "GetBucketLocation" => s3("GET", "/bucket?location="),
            "GetBucketVersioning" => s3("GET", "/bucket?versioning="),
            "GetBucketCors" => s3("GET", "/bucket?cors="),
            "PutBucketCors" => s3("PUT", "/bucket?cors=").body(CORS),
            "DeleteBucketCors" => s3("DELETE", "/bucket?cors="),
            "ListObjectVersions" => s3("GET", "/bucket?versions="),
            "ListObjects" => s3("GET", "/bucket"),
            "ListObjectsV2" => s3("GET", "/bucket?list-type=2"),
            "DeleteObjects" => s3("POST", "/bucket?delete=")
                .body(b"<Delete><Object><Key>k</Key></Object></Delete>"),
            "ListMultipartUploads" => s3("GET", "/bucket?uploads="),
            "PostObject" => form("k", &[]),
            "GetObject" => s3("GET", "/bucket/k"),
            "HeadObject" => s3("HEAD", "/bucket/k"),
            "PutObject" => s3("PUT", "/bucket/k").body(NEW),
            "CopyObject" => s3("PUT", "/bucket/copy")
                .header("x-amz-copy-source", "/bucket/k")
                .header("x-amz-metadata-directive", "REPLACE"),
            "DeleteObject" => s3("DELETE", "/bucket/k"),
            "GetObjectAttributes" => {
                s3("GET", "/bucket/k?attributes=").header("x-amz-object-attributes", "ETag")
            }
            "CreateMultipartUpload" => s3("POST", "/bucket/k?uploads="),
            "UploadPart" => s3("PUT", &format!("/bucket/up?partNumber=1&uploadId={id}")).body(NEW),
            "UploadPartCopy" => s3("PUT", &format!("/bucket/up?partNumber=1&uploadId={id}"))
                .header("x-amz-copy-source", "/bucket/k"),
            "CompleteMultipartUpload" => {
                s3("POST", &format!("/bucket/up?uploadId={id}")).body(self.completion().as_bytes())
            }
            "AbortMultipartUpload" => s3("DELETE", &format!("/bucket/up?uploadId={id}")),
            "ListParts" => s3("GET", &format!("/bucket/up?uploadId={id}")),
            other => panic!("no request for {other}"),
        }
    }

    fn completion(&self) -> String {
        format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
            self.etag
        )
    }

    async fn send(&self, operation: &str, added: Option<Added<'_>>) -> Response {
        let mut request = self.request(operation);
        if let Some(Added { name, value, as_header }) = added {
            // What a form says stands in its fields.
            if operation == "PostObject" && as_header {
                request = form("k", &[(name, value)]);
            } else if as_header {
                request.headers.retain(|(there, _)| there != name);
                request = request.header(name, value);
            } else {
                let mark = if request.target.contains('?') { '&' } else { '?' };
                let kept: Vec<&str> = request
                    .target
                    .split('&')
                    .filter(|pair| !pair.starts_with(&format!("{name}=")))
                    .collect();
                request.target = format!("{}{mark}{name}={value}", kept.join("&"));
            }
        }
        send(&self.gateway, request).await
    }

    /// Whether everything is as it was.
    async fn is_unchanged(&self) -> bool {
        let object = send(&self.gateway, s3("GET", "/bucket/k")).await;
        let parts = format!("/bucket/up?uploadId={}", self.upload);
        let parts = send(&self.gateway, s3("GET", &parts)).await;
        let uploads = text(&send(&self.gateway, s3("GET", "/bucket?uploads=")).await);
        let listed = text(&send(&self.gateway, s3("GET", "/bucket")).await);
        let another = send(&self.gateway, s3("HEAD", "/another")).await;
        object.body == OLD
            && text(&parts).contains(&format!("<ETag>&quot;{}&quot;</ETag>", self.etag))
            && uploads.matches("<Upload>").count() == 1
            && listed.matches("<Key>").count() == 1
            && another.status == 404
    }
}

/// A value that asks for nothing unusual.
fn valid(entry: &Entry) -> &'static str {
    match (entry.meaning, entry.name) {
        (Meaning::Only(values), _) => values[0],
        (_, "x-amz-storage-class") => "STANDARD_IA",
        (_, "x-amz-website-redirect-location") => "/to",
        (_, "content-encoding") => "gzip",
        (_, "expires") => "Thu, 01 Dec 2033 16:00:00 GMT",
        (_, "x-amz-bucket-object-lock-enabled") => "true",
        (_, "x-amz-server-side-encryption") => "AES256",
        _ => "1",
    }
}

/// A name for an entry that stands for many.
fn name(entry: &Entry) -> String {
    entry.name.replace('*', "any")
}

/// Whether a name can be added to a request as it is: the signature's own and the names that make
/// the request what it is cannot.
fn can_be_added(entry: &Entry) -> bool {
    let of_signature =
        ["x-amz-date", "x-amz-content-sha256", "AWSAccessKeyId", "Signature", "Expires"];
    !of_signature.contains(&entry.name) && !entry.name.starts_with("X-Amz-")
}

async fn check_refused(entry: &Entry, added: Added<'_>) {
    let scene = Scene::new().await;
    let response = scene.send(&entry.operation, Some(added)).await;
    assert_eq!(response.status, 501, "{} {added:?}: {response:?}", entry.operation);
    if !entry.operation.starts_with("Head") {
        let text = text(&response);
        assert!(text.contains(added.name), "{} {added:?}: {text}", entry.operation);
    }
    assert!(scene.is_unchanged().await, "{} {added:?}", entry.operation);
}

#[tokio::test]
async fn what_is_refused_is_named_and_changes_nothing() {
    let mut cases = 0;
    let unsupported = |meaning| matches!(meaning, Meaning::Refused | Meaning::Forwarded);
    let entries = entries();
    for entry in entries.iter().filter(|entry| unsupported(entry.meaning)) {
        let name = name(entry);
        let added = Added { name: &name, value: valid(entry), as_header: true };
        check_refused(entry, Added { as_header: entry.is_header, ..added }).await;
        cases += 1;
        if entry.is_header && name.starts_with("x-amz-") {
            check_refused(entry, Added { as_header: false, ..added }).await;
            cases += 1;
        }
    }
    for entry in entries.iter().filter(|entry| entry.name == "x-id") {
        let mut unknown = vec![("x-amz-unheard-of", "1", true), ("x-amz-unheard-of", "1", false)];
        unknown.push(("unheardOf", "", false));
        if !entry.is_read {
            unknown.push(("v", "2", false));
        }
        for (name, value, as_header) in unknown {
            check_refused(entry, Added { name, value, as_header }).await;
            cases += 1;
        }
    }
    println!("vocabulary: {} entries, {cases} refusals", entries.len());
}

#[tokio::test]
async fn what_means_nothing_changes_nothing() {
    let entries = entries();
    let harmless = |meaning| matches!(meaning, Meaning::Nothing(_) | Meaning::Only(_));
    let harmless = entries.iter().filter(|entry| harmless(entry.meaning) && can_be_added(entry));
    for entry in harmless {
        // A bucket with an object cannot be deleted.
        let expected = Scene::new().await.send(&entry.operation, None).await.status;
        let name = name(entry);
        let added = Added { name: &name, value: valid(entry), as_header: entry.is_header };
        let status = Scene::new().await.send(&entry.operation, Some(added)).await.status;
        assert_eq!(status, expected, "{} {added:?}", entry.operation);
    }
    for entry in entries.iter().filter(|entry| entry.name == "x-id" && entry.is_read) {
        let added = Added { name: "v", value: "2", as_header: false };
        let status = Scene::new().await.send(&entry.operation, Some(added)).await.status;
        assert_eq!(status, 200, "{} {added:?}", entry.operation);
    }
}

#[tokio::test]
async fn what_is_kept_comes_back() {
    for entry in entries().iter().filter(|entry| entry.meaning == Meaning::Kept) {
        let scene = Scene::new().await;
        let name = name(entry);
        let added = Added { name: &name, value: valid(entry), as_header: true };
        let response = scene.send(&entry.operation, Some(added)).await;
        assert!(response.status < 300, "{} {added:?}: {response:?}", entry.operation);
        let target = match entry.operation.as_str() {
            "CopyObject" => "/bucket/copy",
            "CreateMultipartUpload" => {
                let upload = element(&text(&response), "UploadId").to_owned();
                let part = format!("/bucket/k?partNumber=1&uploadId={upload}");
                ok(&scene.gateway, s3("PUT", &part).body(OLD)).await;
                let complete = s3("POST", &format!("/bucket/k?uploadId={upload}"));
                ok(&scene.gateway, complete.body(scene.completion().as_bytes())).await;
                "/bucket/k"
            }
            _ => "/bucket/k",
        };
        let found = send(&scene.gateway, s3("HEAD", target)).await;
        assert_eq!(found.header(&name), Some(valid(entry)), "{} {added:?}", entry.operation);
    }
}

/// Names whose every value is valid, or where S3 ignores what it cannot parse (RFC 9110 for ranges
/// and dates).
const ANY_VALUE: [&str; 26] = [
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    // They say how the body is framed, and only a framed body has them.
    "x-amz-decoded-content-length",
    "x-amz-trailer",
    "attributes",
    "bucket-region",
    "delete",
    "delimiter",
    "key-marker",
    "location",
    "marker",
    "prefix",
    "response-content-type",
    "start-after",
    "uploads",
    "versioning",
    "upload-id-marker",
    "x-amz-sdk-checksum-algorithm",
    "fetch-owner",
    "x-amz-tagging",
];

#[tokio::test]
async fn what_is_acted_on_is_not_passed_over() {
    let entries = entries();
    let acted_on = entries.iter().filter(|entry| {
        entry.meaning == Meaning::ActedOn
            && can_be_added(entry)
            && !ANY_VALUE.contains(&entry.name)
            && !entry.name.starts_with("response-")
    });
    let mut passed_over = Vec::new();
    for entry in acted_on {
        let scene = Scene::new().await;
        let added = Added { name: entry.name, value: "no-such-value", as_header: entry.is_header };
        let response = scene.send(&entry.operation, Some(added)).await;
        if response.status < 400 && response.status != 304 {
            passed_over.push(format!("{} {}", entry.operation, entry.name));
        }
    }
    assert!(passed_over.is_empty(), "a nonsensical value was passed over: {passed_over:#?}");
}

#[tokio::test]
async fn the_storage_class_is_in_every_answer_that_shows_an_object() {
    let gateway = start(settings()).await;
    let class = ("x-amz-storage-class", "STANDARD_IA");
    ok(&gateway, s3("PUT", "/bucket/k").body(NEW).header(class.0, class.1)).await;
    let created = s3("POST", "/bucket/up?uploads=").header(class.0, class.1);
    let created = text(&ok(&gateway, created).await);
    let parts = format!("/bucket/up?uploadId={}", element(&created, "UploadId"));
    let attributes =
        s3("GET", "/bucket/k?attributes=").header("x-amz-object-attributes", "StorageClass");
    let shown = [
        s3("GET", "/bucket"),
        s3("GET", "/bucket?list-type=2"),
        s3("GET", "/bucket?versions="),
        s3("GET", "/bucket?uploads="),
        s3("GET", &parts),
        attributes,
    ];
    for request in shown {
        let target = request.target.clone();
        let found = text(&ok(&gateway, request).await);
        assert_eq!(element(&found, "StorageClass"), class.1, "{target}: {found}");
    }
    let found = ok(&gateway, s3("HEAD", "/bucket/k")).await;
    assert_eq!(found.header(class.0), Some(class.1));
}
