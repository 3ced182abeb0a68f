//! Asks the server which names it reserves for itself, and whether its administration APIs accept
//! the gateway's key.
//!
//! Guarantees: a name counts as a bucket only if the server responds to a listing of it as S3 does:
//! with a listing, or with S3's error for a bucket that does not exist or belongs to another owner,
//! status and code together (Ceph's `auth` responds 401 with the code `AccessDenied`). After any
//! other response (HTML, JSON, none at all) the name counts as reserved. Nothing is written.

use futures_util::future::join_all;
use http::{Method, Response};
use hyper::body::Incoming;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::{Body, Bucket, Key, Result};
use super::error::code;
use super::names::POSSIBLY_RESERVED;
use super::signed_client::{SignedClient, StoreRequest, document};
use crate::digest::Sha256;
use crate::sigv4::Payload;

/// Attempts for a name, until there is a clear response.
const MAX_ATTEMPTS: usize = 3;

/// The largest document: more than a listing of one key or an error has.
const MAX_DOCUMENT_BYTES: usize = 64 << 10;

/// The names of [`POSSIBLY_RESERVED`] that this server reserves.
pub(super) async fn find(client: &SignedClient) -> Vec<String> {
    let checks = POSSIBLY_RESERVED
        .map(|name| async move { (!is_bucket(client, name).await).then(|| name.to_owned()) });
    join_all(checks).await.into_iter().flatten().collect()
}

/// Administration APIs on the port of S3: name, and bucket, key and query of a call that only reads
/// and returns no secret.
const ADMIN_APIS: [(&str, &str, &str, &str); 2] = [
    ("MinIO's admin API", "minio", "admin/v3/info", ""),
    ("Ceph's admin API", "admin", "info", "format=json"),
];

/// The administration APIs that accept the gateway's key.
pub(super) async fn accessible_admin_apis(client: &SignedClient) -> Vec<&'static str> {
    let checks = ADMIN_APIS.map(|(api, bucket, key, query)| async move {
        let response = get(client, bucket, key, query).await.ok()?;
        // A server without such an API looks for an object of this name, and finds none.
        response.status().is_success().then_some(api)
    });
    join_all(checks).await.into_iter().flatten().collect()
}

async fn get(
    client: &SignedClient,
    bucket: &str,
    key: &str,
    query: &str,
) -> Result<Response<Incoming>> {
    let request = StoreRequest {
        method: Method::GET,
        bucket: &Bucket::from(bucket),
        key: &Key::from(key),
        query: query.to_owned(),
        headers: Vec::new(),
        user: Vec::new(),
        payload: Payload::Sha256(Sha256::of(b"").0),
    };
    client.send_any_status(&request, Body::empty()).await.map(|(response, _)| response)
}

async fn is_bucket(client: &SignedClient, name: &str) -> bool {
    // A temporary failure must not make a bucket unavailable until the gateway is restarted.
    for _ in 0..MAX_ATTEMPTS {
        let Ok(response) = get(client, name, "", "list-type=2&max-keys=1").await else { continue };
        let status = response.status();
        let Ok(document) = document(response, MAX_DOCUMENT_BYTES).await else { continue };
        if !status.is_server_error() {
            return is_bucket_response(status.as_u16(), &document);
        }
    }
    false
}

fn is_bucket_response(status: u16, document: &[u8]) -> bool {
    match (status, root_element(document).as_deref()) {
        (200, Some("ListBucketResult")) => true,
        (403, Some("Error")) => code(document) == "AccessDenied",
        (404, Some("Error")) => code(document) == "NoSuchBucket",
        _ => false,
    }
}

/// The name of a document's root element; None if it is no XML.
fn root_element(document: &[u8]) -> Option<String> {
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
    fn only_the_responses_of_s3_make_a_name_a_bucket() {
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
        for (status, document, expected) in table {
            assert_eq!(
                is_bucket_response(status, document.as_bytes()),
                expected,
                "{status} {document}"
            );
        }
    }
}
