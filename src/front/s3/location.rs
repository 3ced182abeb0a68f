//! The locations of buckets and objects in answers.
//!
//! Guarantees: that of an object is absolute and percent-encoded, with the scheme and the host by
//! which the client reached the gateway, so that the client can follow it; that of a bucket is its
//! path, in every addressing. Source: RFC 9110 §10.2.2; *Location* of
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>,
//! `API_CreateBucket.html`.

use http::{HeaderValue, header, request};
use percent_encoding::utf8_percent_encode;

use crate::names::{Bucket, Key};
use crate::sigv4::URI_PATH;
use crate::web::{Settings, bucket_of_host};

/// A slash and the name of a bucket.
pub(super) fn of_bucket(bucket: &Bucket) -> HeaderValue {
    let path = HeaderValue::from_str(&format!("/{bucket}"));
    path.expect("the name of a bucket is made of letters, digits, dots and dashes")
}

/// The URL of an object, in the addressing of the request, whose head is `head`.
pub(super) fn of_object(
    head: &request::Parts,
    bucket: &Bucket,
    key: &Key,
    settings: &Settings,
) -> String {
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    // A proxy that ends TLS says by which scheme the client came.
    let forwarded = text("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https"));
    let scheme = forwarded.or(head.uri.scheme_str()).unwrap_or(match settings.serves_tls {
        true => "https",
        false => "http",
    });
    let host = text(header::HOST.as_str()).or(head.uri.authority().map(|host| host.as_str()));
    let host = host.unwrap_or_default();
    let domain = settings.domain.as_deref();
    let in_host = domain.is_some_and(|domain| bucket_of_host(&head.headers, domain).is_some());
    let key = utf8_percent_encode(key.as_str(), URI_PATH);
    if in_host {
        format!("{scheme}://{host}/{key}")
    } else {
        format!("{scheme}://{host}/{bucket}/{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_absolute_encoded_and_in_the_addressing_of_the_request() {
        let settings = |serves_tls| Settings {
            domain: Some("s3.test".to_owned()),
            serves_tls,
            ..Settings::default()
        };
        let table = [
            ("h:9010", None, false, "http://h:9010/b/a/%C3%A4%20%3F"),
            ("h:9010", None, true, "https://h:9010/b/a/%C3%A4%20%3F"),
            ("h", Some("https"), false, "https://h/b/a/%C3%A4%20%3F"),
            ("h", Some("javascript"), false, "http://h/b/a/%C3%A4%20%3F"),
            ("b.s3.test", None, false, "http://b.s3.test/a/%C3%A4%20%3F"),
        ];
        for (host, proto, serves_tls, expected) in table {
            let mut request = http::Request::post("/b").header("host", host);
            if let Some(proto) = proto {
                request = request.header("x-forwarded-proto", proto);
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            let key = Key::from("a/ä ?");
            assert_eq!(of_object(&head, &"b".into(), &key, &settings(serves_tls)), expected);
        }
    }
}
