//! A request with an access key id that does not exist is refused for what is wrong with it in any
//! case, else because of the key: in headers, in URLs of both signature versions and in forms.

use crate::support::form::form;
use crate::support::gateway::{Gateway, ROOT, settings, start};
use crate::support::request::{AccessKey, NOW, Request, chunk_api, s3};
use crate::support::response::exchange_and_close;

async fn refusal(gateway: &Gateway, head: &str, body: &[u8]) -> (u16, String) {
    let response = exchange_and_close(gateway.address, head, body).await;
    (response.status, response.code())
}

#[tokio::test]
async fn an_unknown_key_id_is_named_where_nothing_else_is_wrong() {
    let gateway = start(settings()).await;
    let known = |secret: &'static str| -> AccessKey { (ROOT.0, secret) };
    let unknown = |secret: &'static str| -> AccessKey { ("AKUNKN", secret) };
    let requests_with = |key: AccessKey| -> Vec<(String, Vec<u8>)> {
        let put = || s3("PUT", "/bucket/x").body(b"x").signed_by(Some(key));
        let without = |request: Request, what: &str| {
            let head = request.head(gateway.address);
            let lines = head
                .split("\r\n")
                .filter(|line| !line.starts_with(what))
                .collect::<Vec<_>>()
                .join("\r\n");
            (lines, b"x".to_vec())
        };
        let url = |date: &str, expires| {
            (put().dated(date).presigned(expires, gateway.address), b"x".to_vec())
        };
        let with_unsigned = |name: &str| {
            let head = put().head(gateway.address);
            (head.replacen("\r\n", &format!("\r\n{name}: a\r\n"), 1), b"x".to_vec())
        };
        let plain = |request: Request| (request.head(gateway.address), request.body.clone());
        let version_2_url = |query: &str| {
            let target = format!("/bucket/k?AWSAccessKeyId={}&Signature=AAAA&{query}", key.0);
            (s3("GET", &target).signed_by(None).head(gateway.address), Vec::new())
        };
        let changed_form = |from: &str, to: &str| {
            let mut request = form("x", &[]);
            let text = String::from_utf8(request.body)
                .unwrap()
                .replace(ROOT.0, key.0)
                .replacen(from, to, 1);
            request.body = text.into_bytes();
            plain(request)
        };
        vec![
            plain(put()),
            plain(put().dated("20231114T210000Z")),
            plain(put().dated("20231114T233000Z")),
            plain(put().payload_hash("nonsense")),
            without(put(), "x-amz-content-sha256"),
            without(put(), "x-amz-date"),
            without(put(), "host"),
            with_unsigned("x-amz-meta-a"),
            plain(chunk_api("GET", "/backups").signed_by(Some(key))),
            plain(chunk_api("GET", "/backups").signed_by(Some(key)).dated("20231114T210000Z")),
            url(NOW, 60),
            url("20231114T210000Z", 60),
            url(NOW, 604_801),
            version_2_url("Expires=4000000000"),
            version_2_url("Expires=1"),
            version_2_url("Expires=x"),
            version_2_url("Expires=4000000000&x-id=a"),
            changed_form("name=\"x-amz-signature\"\r\n\r\n", "name=\"x-amz-signature\"\r\n\r\n0"),
            changed_form("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
            changed_form("/s3/aws4_request", "/ec2/aws4_request"),
            changed_form("name=\"policy\"\r\n\r\n", "name=\"policy\"\r\n\r\nAAAA"),
        ]
    };
    let (mut named, mut alike) = (0, 0);
    for ((one, body), (sent, sent_body)) in
        requests_with(known("wrong-secret-0123")).into_iter().zip(requests_with(unknown("secret")))
    {
        let (one, other) =
            (refusal(&gateway, &one, &body).await, refusal(&gateway, &sent, &sent_body).await);
        if one.1 == "SignatureDoesNotMatch" {
            assert_eq!(other, (403, "InvalidAccessKeyId".to_owned()), "{sent}");
            named += 1;
        } else {
            assert_eq!(one, other);
            assert!((400..500).contains(&one.0), "{one:?}");
            alike += 1;
        }
    }
    assert!(named >= 5 && alike >= 10, "{named} {alike}");
}
