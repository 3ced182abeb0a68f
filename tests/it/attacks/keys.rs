//! Whether an access key exists shows in no answer: a request with a known key and one with an
//! unknown key, each without the secret, are refused alike, in headers, URLs of both versions and
//! forms.

use crate::gateway::{Ask, Gateway, Key, NOW, ROOT, ask, last_exchange, s3, settings, start};
use crate::hostile::injection::form;

/// A secret of nobody, which the source of the gateway tells everybody.
const NOBODYS: &str = "no signature is ever made with this";

async fn told(gateway: &Gateway, head: &str, body: &[u8]) -> (u16, String, String) {
    let told = last_exchange(gateway.address, head, body).await;
    let text = String::from_utf8_lossy(&told.body).into_owned();
    // What is new in every answer.
    let id = told.header("x-amz-request-id").unwrap_or_default().to_owned();
    (told.status, told.code(), text.replace(&id, "ID"))
}

#[tokio::test]
async fn known_and_unknown_keys_are_refused_alike() {
    let gateway = start(settings()).await;
    let known = |secret: &'static str| -> Key { (ROOT.0, secret) };
    let unknown = |secret: &'static str| -> Key { ("AKUNKN", secret) };
    let by = |key: Key| -> Vec<(String, Vec<u8>)> {
        let put = || s3("PUT", "/bucket/x").body(b"x").by(Some(key));
        let cut = |ask: Ask, what: &str| {
            let head = ask.head(gateway.address);
            let lines = head
                .split("\r\n")
                .filter(|line| !line.starts_with(what))
                .collect::<Vec<_>>()
                .join("\r\n");
            (lines, b"x".to_vec())
        };
        let url = |date: &str, expires| {
            (put().at(date).presigned(expires, gateway.address), b"x".to_vec())
        };
        let more = |name: &str| {
            let head = put().head(gateway.address);
            (head.replacen("\r\n", &format!("\r\n{name}: a\r\n"), 1), b"x".to_vec())
        };
        let plain = |ask: Ask| (ask.head(gateway.address), ask.body.clone());
        let old = |query: &str| {
            let target = format!("/bucket/k?AWSAccessKeyId={}&Signature=AAAA&{query}", key.0);
            (s3("GET", &target).by(None).head(gateway.address), Vec::new())
        };
        let of_form = |from: &str, to: &str| {
            let mut ask = form("x", &[]);
            let text =
                String::from_utf8(ask.body).unwrap().replace(ROOT.0, key.0).replacen(from, to, 1);
            ask.body = text.into_bytes();
            plain(ask)
        };
        vec![
            plain(put()),
            plain(put().at("20231114T210000Z")),
            plain(put().at("20231114T233000Z")),
            plain(put().payload("nonsense")),
            cut(put(), "x-amz-content-sha256"),
            cut(put(), "x-amz-date"),
            cut(put(), "host"),
            more("x-amz-meta-a"),
            plain(ask("GET", "/backups").by(Some(key))),
            plain(ask("GET", "/backups").by(Some(key)).at("20231114T210000Z")),
            url(NOW, 60),
            url("20231114T210000Z", 60),
            url(NOW, 604_801),
            old("Expires=4000000000"),
            old("Expires=1"),
            old("Expires=x"),
            old("Expires=4000000000&x-id=a"),
            of_form("name=\"x-amz-signature\"\r\n\r\n", "name=\"x-amz-signature\"\r\n\r\n0"),
            of_form("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
            of_form("/s3/aws4_request", "/ec2/aws4_request"),
            of_form("name=\"policy\"\r\n\r\n", "name=\"policy\"\r\n\r\nAAAA"),
        ]
    };
    let mut compared = 0;
    for secret in ["wrong-secret-0123", NOBODYS] {
        for ((one, body), (other, _)) in by(known(secret)).into_iter().zip(by(unknown(secret))) {
            let (one, other) =
                (told(&gateway, &one, &body).await, told(&gateway, &other, &body).await);
            assert_eq!(one, other, "{body:?}");
            assert!((400..500).contains(&one.0), "{one:?}");
            compared += 1;
        }
    }
    println!(
        "attacks: {compared} refusals, alike for a key that somebody has and one that nobody has"
    );
}
