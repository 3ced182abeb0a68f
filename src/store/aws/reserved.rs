//! Asks the server which of the names that servers are known to keep for themselves it keeps, and
//! whether its administration is open to the gateway's key.
//!
//! Guarantees: a name counts as a bucket's only where the server answers a listing of it as S3
//! answers one: with a listing, or with S3's error for a bucket that is absent or another's, status
//! and code together (Ceph's `auth` answers 401 with the code `AccessDenied`). Whatever else comes
//! (a page, JSON, nothing at all), the name is the server's. Nothing is written.

use futures_util::future::join_all;
use http::{Method, Response};
use hyper::body::Incoming;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::{Body, Bucket, Key, Result};
use super::error::code;
use super::names::DOUBTFUL;
use super::signed_client::{SignedClient, StoreRequest, document};
use crate::digest::Sha256;
use crate::sigv4::Payload;

/// How often a name is asked for where no clear answer comes.
const TRIES: usize = 3;

/// More than a listing of one key or an error ever has.
const DOCUMENT_BYTES: usize = 64 << 10;

/// The names of [`DOUBTFUL`] that are no buckets here.
pub(super) async fn find(wire: &SignedClient) -> Vec<String> {
    let asked =
        DOUBTFUL.map(|name| async move { (!is_bucket(wire, name).await).then(|| name.to_owned()) });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Administration APIs on the port of S3: whose, and a call that reads and tells no secret.
const APIS: [(&str, &str, &str, &str); 2] = [
    ("MinIO's admin API", "minio", "admin/v3/info", ""),
    ("Ceph's admin API", "admin", "info", "format=json"),
];

/// The administration APIs that the gateway's key opens.
pub(super) async fn opened_apis(wire: &SignedClient) -> Vec<&'static str> {
    let asked = APIS.map(|(api, first, rest, query)| async move {
        let answer = get(wire, first, rest, query).await.ok()?;
        // A server that knows no such path takes it for an object, and has none.
        answer.status().is_success().then_some(api)
    });
    join_all(asked).await.into_iter().flatten().collect()
}

async fn get(
    wire: &SignedClient,
    bucket: &str,
    key: &str,
    query: &str,
) -> Result<Response<Incoming>> {
    let call = StoreRequest {
        method: Method::GET,
        bucket: &Bucket::from(bucket),
        key: &Key::from(key),
        query: query.to_owned(),
        headers: Vec::new(),
        user: Vec::new(),
        payload: Payload::Sha256(Sha256::of(b"").0),
    };
    wire.send_any_status(&call, Body::empty()).await.map(|(answer, _)| answer)
}

async fn is_bucket(wire: &SignedClient, name: &str) -> bool {
    // A server that is busy for a moment must not take a bucket away until the gateway starts
    // again.
    for _ in 0..TRIES {
        let Ok(answer) = get(wire, name, "", "list-type=2&max-keys=1").await else { continue };
        let status = answer.status();
        let Ok(document) = document(answer, DOCUMENT_BYTES).await else { continue };
        if !status.is_server_error() {
            return speaks_of_a_bucket(status.as_u16(), &document);
        }
    }
    false
}

fn speaks_of_a_bucket(status: u16, document: &[u8]) -> bool {
    match (status, root(document).as_deref()) {
        (200, Some("ListBucketResult")) => true,
        (403, Some("Error")) => code(document) == "AccessDenied",
        (404, Some("Error")) => code(document) == "NoSuchBucket",
        _ => false,
    }
}

/// The name of a document's first element; None where it is no XML.
fn root(document: &[u8]) -> Option<String> {
    let mut reader = Reader::from_reader(document);
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) => {
                return Some(tag.local_name().as_ref().to_owned());
            }
            Ok(Event::Decl(_) | Event::Comment(_) | Event::Text(_) | Event::PI(_)) => {}
            Ok(_) | Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_s3_says_of_a_bucket_makes_a_name_one() {
        let error =
            |code: &str| format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code></Error>");
        let table = [
            (200, "<ListBucketResult><Name>status</Name></ListBucketResult>".to_owned(), true),
            (404, error("NoSuchBucket"), true),
            (403, error("AccessDenied"), true),
            (401, error("AccessDenied"), false),
            (403, error("SignatureDoesNotMatch"), false),
            (405, error("MethodNotAllowed"), false),
            (404, "404 page not found".to_owned(), false),
            (404, String::new(), false),
            (200, String::new(), false),
            (200, "OK".to_owned(), false),
            (200, "<html></html>".to_owned(), false),
            (200, error("NoSuchBucket"), false),
            (403, "{\"Code\": \"AccessDenied\"}".to_owned(), false),
        ];
        for (status, document, wanted) in table {
            assert_eq!(
                speaks_of_a_bucket(status, document.as_bytes()),
                wanted,
                "{status} {document}"
            );
        }
    }
}
