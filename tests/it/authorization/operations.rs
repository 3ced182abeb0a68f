//! The rows of the table: every operation with its targets, and the request of each row.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{BYTES, CHUNK, Sessions};
use crate::support::request::{AccessKey, NOW, Request, chunk_api, s3, scope, sign_text};

const BUCKETS: [&str; 4] = ["bucket", "others", "ratchet-state", "missing"];
const OBJECTS: [&str; 5] =
    ["bucket/mine/k", "bucket/theirs/k", "others/k", "ratchet-state/v1/k", "missing/k"];
/// The owner of a session and its key. The third is requested under the key of the second.
const SESSIONS: [&str; 4] = ["own mine", "own theirs", "own mine as theirs", "foreign mine"];
type Make = Box<dyn Fn(&Sessions, Option<AccessKey>) -> Request>;

/// What must exist before the request of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    Objects,
    OpenSessions,
    CompleteSessions,
}

pub struct Row {
    pub op: &'static str,
    pub target: String,
    pub precondition: Precondition,
    pub make: Make,
}

fn row(op: &'static str, target: &str, make: impl Fn() -> Request + 'static) -> Row {
    Row {
        op,
        target: target.to_owned(),
        precondition: Precondition::Objects,
        make: Box::new(move |_, _| make()),
    }
}

pub fn rows() -> Vec<Row> {
    [
        bucket_rows(),
        listing_rows(),
        object_rows(),
        copy_rows(),
        upload_rows(),
        chunk_api_rows(),
        backup_rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn bucket_rows() -> Vec<Row> {
    let mut rows = vec![row("s3-list-buckets", "", || s3("GET", "/"))];
    let table = [
        ("s3-create-bucket", "PUT", ""),
        ("s3-head-bucket", "HEAD", ""),
        ("s3-get-bucket-location", "GET", "?location="),
        ("s3-get-bucket-versioning", "GET", "?versioning="),
        ("s3-get-bucket-cors", "GET", "?cors="),
        ("s3-put-bucket-cors", "PUT", "?cors="),
        ("s3-delete-bucket-cors", "DELETE", "?cors="),
        ("s3-other", "GET", "?policy="),
        ("s3-other", "PUT", "?lifecycle="),
        ("s3-other", "PUT", "?logging="),
        ("s3-other", "PUT", "?notification="),
        ("s3-other", "PUT", "?policy="),
        ("s3-list-object-versions", "GET", "?versions="),
        ("s3-other", "GET", "?policy="),
        ("s3-delete-bucket", "DELETE", ""),
    ];
    for (op, method, query) in table {
        for bucket in BUCKETS {
            let target = format!("/{bucket}{query}");
            rows.push(row(op, &format!("{method} {target}"), move || s3(method, &target)));
        }
    }
    for bucket in BUCKETS {
        let keys =
            ["mine/k", "theirs/k"].map(|key| format!("<Object><Key>{key}</Key></Object>")).concat();
        let target = format!("/{bucket}?delete=");
        rows.push(row("s3-delete-objects", &format!("/{bucket} mine/k, theirs/k"), move || {
            s3("POST", &target).body(format!("<Delete>{keys}</Delete>").as_bytes())
        }));
    }
    rows
}

fn listing_rows() -> Vec<Row> {
    let places = [
        ("bucket", ""),
        ("bucket", "mine/"),
        ("bucket", "theirs/"),
        ("others", ""),
        ("ratchet-state", ""),
    ];
    let listings = [
        ("s3-list-objects", "?", Precondition::Objects),
        ("s3-list-objects-v2", "?list-type=2&", Precondition::Objects),
        ("s3-list-multipart-uploads", "?uploads=&", Precondition::OpenSessions),
    ];
    let mut rows = Vec::new();
    for (op, query, precondition) in listings {
        for (bucket, prefix) in places.into_iter().chain([("missing", "")]) {
            let target = format!("/{bucket}{query}prefix={}", prefix.replace('/', "%2F"));
            let listed = row(op, &format!("{bucket}/{prefix}*"), move || s3("GET", &target));
            rows.push(Row { precondition, ..listed });
        }
    }
    for (bucket, prefix) in places.into_iter().chain([("missing", "")]) {
        let path = format!("/usage?bucket={bucket}&prefix={}", prefix.replace('/', "%2F"));
        rows.push(row("usage", &format!("{bucket}/{prefix}*"), move || chunk_api("GET", &path)));
    }
    let keys = places.iter().filter(|(_, prefix)| !prefix.is_empty());
    let keys = keys.map(|(bucket, prefix)| (*bucket, format!("{prefix}k")));
    let missing = ["others", "ratchet-state", "missing"].map(|bucket| (bucket, "k".to_owned()));
    for (bucket, key) in keys.chain(missing) {
        let name = serde_json::json!({ "bucket": bucket, "key": key });
        rows.push(row("materialize", &format!("{bucket}/{key}"), move || {
            chunk_api("POST", "/materialize").json(&name)
        }));
    }
    for query in ["", "?bucket=bucket&prefix=theirs%2F", "?bucket=others"] {
        let listed = row("list", &format!("/backups{query}"), move || {
            chunk_api("GET", &format!("/backups{query}"))
        });
        rows.push(Row { precondition: Precondition::OpenSessions, ..listed });
    }
    rows
}

fn object_rows() -> Vec<Row> {
    let table = [
        ("s3-get-object", "GET", ""),
        ("s3-head-object", "HEAD", ""),
        ("s3-get-object-attributes", "GET", "?attributes="),
        ("s3-put-object", "PUT", ""),
        ("s3-delete-object", "DELETE", ""),
        ("s3-create-multipart-upload", "POST", "?uploads="),
        ("s3-other", "GET", "?tagging="),
        ("s3-other", "PUT", "?tagging="),
        ("s3-other", "PUT", "?retention="),
        ("s3-other", "POST", "?select="),
    ];
    let mut rows = Vec::new();
    for object in OBJECTS {
        // Only an administrator of the key may shorten its retention.
        let target = format!("/{object}?retention=");
        rows.push(row("s3-other", &format!("bypass {target}"), move || {
            s3("PUT", &target).header("x-amz-bypass-governance-retention", "true")
        }));
    }
    for (op, method, query) in table {
        for object in OBJECTS {
            let target = format!("/{object}{query}");
            rows.push(row(op, &format!("{method} {target}"), move || {
                let request = s3(method, &target);
                match method {
                    "PUT" => request.body(b"new"),
                    _ if target.ends_with("?attributes=") => {
                        request.header("x-amz-object-attributes", "ETag")
                    }
                    _ => request,
                }
            }));
        }
    }
    for object in OBJECTS {
        let posted = row("s3-post-object", &format!("form {object}"), || s3("POST", ""));
        let object = object.to_owned();
        rows.push(Row { make: Box::new(move |_, key| form(&object, key)), ..posted });
    }
    rows
}

/// A form whose policy allows only this object, signed with the key.
fn form(object: &str, key: Option<AccessKey>) -> Request {
    let (bucket, name) = object.split_once('/').unwrap();
    let credential = format!("{}/{}", key.map_or("", |key| key.0), scope(NOW));
    let policy = json!({
        "expiration": "2023-11-14T23:00:00Z",
        "conditions": [
            {"bucket": bucket}, {"key": name}, {"x-amz-credential": credential}, {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
            {"x-amz-date": NOW},
        ],
    });
    let policy = STANDARD.encode(policy.to_string());
    let signature = key.map_or_else(String::new, |(_, secret)| sign_text(secret, NOW, &policy));
    let fields = [
        ("key", name),
        ("x-amz-credential", &credential),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-date", NOW),
        ("policy", &policy),
        ("x-amz-signature", &signature),
        ("file", "new"),
    ];
    let parts = fields.map(|(name, value)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    });
    let request =
        s3("POST", &format!("/{bucket}")).body(format!("{}--b--\r\n", parts.concat()).as_bytes());
    request.header("content-type", "multipart/form-data; boundary=b")
}

fn copy_rows() -> Vec<Row> {
    let pairs = [
        ("mine/k", "/bucket/mine/k2"),
        ("mine/k", "/bucket/theirs/k"),
        ("mine/k", "/others/k"),
        ("mine/k", "/ratchet-state/v1/k"),
        ("mine/k", "/missing/k"),
        ("theirs/k", "/bucket/mine/k2"),
    ];
    let mut rows = Vec::new();
    for (to, from) in pairs {
        let copied = row("s3-copy-object", &format!("bucket/{to} from {from}"), move || {
            s3("PUT", &format!("/bucket/{to}")).header("x-amz-copy-source", from)
        });
        rows.push(copied);
        let make = move |sessions: &Sessions, _: Option<AccessKey>| {
            let id = if to == "mine/k" { &sessions.mine } else { &sessions.theirs };
            let target = format!("/bucket/{to}?partNumber=1&uploadId={id}");
            s3("PUT", &target)
                .header("x-amz-copy-source", from)
                .header("x-amz-copy-source-range", "bytes=0-8")
        };
        let target = format!("bucket/{to} from {from}");
        rows.push(Row {
            op: "s3-upload-part-copy",
            target,
            precondition: Precondition::OpenSessions,
            make: Box::new(make),
        });
    }
    rows
}

/// Key and id of one of [`SESSIONS`].
fn session<'a>(name: &str, sessions: &'a Sessions) -> (&'static str, &'a str) {
    match name {
        "own mine" => ("mine/k", &sessions.mine),
        "own theirs" => ("theirs/k", &sessions.theirs),
        "own mine as theirs" => ("theirs/k", &sessions.mine),
        _ => ("mine/k", &sessions.foreign),
    }
}

fn upload_rows() -> Vec<Row> {
    let table = [
        ("s3-upload-part", "PUT", "partNumber=1&"),
        ("s3-list-parts", "GET", ""),
        ("s3-abort-multipart-upload", "DELETE", ""),
        ("s3-complete-multipart-upload", "POST", ""),
    ];
    let mut rows = Vec::new();
    for (op, method, query) in table {
        for name in SESSIONS {
            let make = move |sessions: &Sessions, _: Option<AccessKey>| {
                let (key, id) = session(name, sessions);
                let request = s3(method, &format!("/bucket/{key}?{query}uploadId={id}"));
                let part = format!(
                    "<Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>",
                    sessions.etag
                );
                match method {
                    "PUT" => request.body(BYTES),
                    "POST" => request.body(
                        format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>")
                            .as_bytes(),
                    ),
                    _ => request,
                }
            };
            rows.push(Row {
                op,
                target: name.to_owned(),
                precondition: Precondition::OpenSessions,
                make: Box::new(make),
            });
        }
    }
    rows
}

fn chunk_api_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (op, path) in [
        ("openapi", "openapi.json"),
        ("healthz", "healthz"),
        ("readyz", "readyz"),
        ("metrics", "metrics"),
    ] {
        rows.push(row(op, "", move || chunk_api("GET", &format!("/{path}"))));
    }
    for object in OBJECTS {
        let (bucket, key) = object.split_once('/').unwrap();
        let body = json!({"bucket": bucket, "key": key, "chunkSize": CHUNK});
        let same = body.clone();
        rows.push(row("create", object, move || chunk_api("POST", "/backups").json(&body)));
        let make = move |sessions: &Sessions, _: Option<AccessKey>| {
            chunk_api("PUT", &format!("/backups/{}", sessions.fresh)).json(&same)
        };
        let target = format!("{object} under an id");
        rows.push(Row {
            op: "create",
            target,
            precondition: Precondition::Objects,
            make: Box::new(make),
        });
        let make = move |sessions: &Sessions, _: Option<AccessKey>| {
            let path = format!("/backups/{}/whole?bucket={bucket}&key={key}", sessions.fresh);
            chunk_api("PUT", &path).body(BYTES).digest_of(BYTES)
        };
        rows.push(Row {
            op: "put-whole",
            target: object.to_owned(),
            precondition: Precondition::Objects,
            make: Box::new(make),
        });
    }
    rows
}

fn backup_rows() -> Vec<Row> {
    let table = [
        ("get", "GET", "", Precondition::OpenSessions),
        ("get", "GET", "?view=missing", Precondition::OpenSessions),
        ("put-chunk", "PUT", "/chunks/0", Precondition::OpenSessions),
        ("get-chunk", "GET", "/chunks/0", Precondition::CompleteSessions),
        ("claim-chunks", "POST", "/claims", Precondition::OpenSessions),
        ("finalize", "POST", "/finalize", Precondition::OpenSessions),
        ("abort", "DELETE", "", Precondition::OpenSessions),
    ];
    let mut rows = Vec::new();
    for (op, method, path, precondition) in table {
        for name in SESSIONS.into_iter().filter(|name| !name.contains(" as ")) {
            let make = move |sessions: &Sessions, _: Option<AccessKey>| {
                let (_, id) = session(name, sessions);
                let request = chunk_api(method, &format!("/backups/{id}{path}"));
                match (method, path) {
                    ("PUT", _) => request.body(BYTES).digest_of(BYTES),
                    (_, "/claims") => request.body(br#"{"chunks":[]}"#),
                    _ => request,
                }
            };
            rows.push(Row {
                op,
                target: format!("{name} {path}"),
                precondition,
                make: Box::new(make),
            });
        }
    }
    rows
}

/// The operations that the sources name: the strings after `=>` in the two functions `name`.
pub fn operations() -> BTreeSet<&'static str> {
    let sources = [
        include_str!("../../../src/front/s3/route.rs"),
        include_str!("../../../src/front/chunk/route.rs"),
    ];
    let named = |source: &'static str| {
        let body = source.split_once("fn name(").unwrap().1.split_once("\n    }\n").unwrap().0;
        body.lines()
            .filter_map(|line| line.split_once("=> \"")?.1.split_once('"').map(|(name, _)| name))
    };
    sources.into_iter().flat_map(named).collect()
}
