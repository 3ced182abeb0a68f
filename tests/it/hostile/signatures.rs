//! Signatures that are valid for something else: expired, with another request, with unsigned
//! additions; chunks of a signed body in another order. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>,
//! `sigv4-streaming.html`.

use ratchet::digest::Sha256;

use super::{Target, closing};
use crate::support::form::{form, form_until};
use crate::support::gateway::ROOT;
use crate::support::request::{NOW, Request, chunk_api, s3, scope, sign_text};
use crate::support::response::exchange_and_close;

const DENIED: (u16, &str) = (403, "AccessDenied");
const MISMATCH: (u16, &str) = (403, "SignatureDoesNotMatch");
const MALFORMED: (u16, &str) = (400, "AuthorizationHeaderMalformed");
const MALFORMED_URL: (u16, &str) = (400, "AuthorizationQueryParametersError");
const ARGUMENT: (u16, &str) = (400, "InvalidArgument");
const UNKNOWN: (u16, &str) = (403, "InvalidAccessKeyId");

#[tokio::test]
async fn a_signature_is_valid_for_its_time_only() {
    let mut gateway = Target::new("expired signatures").await;
    let put = || s3("PUT", "/bucket/x").body(b"x");
    for date in [
        "20231114T215800Z",
        "20231113T221320Z",
        "20231114T222900Z",
        "20331114T221320Z",
        "19700101T000000Z",
    ] {
        gateway.refuses_request(date, put().dated(date), (403, "RequestTimeTooSkewed")).await;
        let abort = chunk_api("DELETE", "/backups/a").dated(date);
        gateway.refuses_request(date, abort, (401, "unauthorized")).await;
    }
    for date in [
        "20231114T221399Z",
        "20231114 221320",
        "2023-11-14T22:13:20Z",
        "20231114T221320+01",
        "2023111",
    ] {
        let mut request = put();
        request.date = format!("{date:0<8}");
        gateway.refuses_request(date, request, DENIED).await;
    }
    for (date, expires, expected) in [
        ("20231114T221200Z", 60, DENIED),
        ("20231107T221300Z", 604_800, DENIED),
        ("20231114T223000Z", 60, DENIED),
        (NOW, 604_801, MALFORMED_URL),
        ("20231114T221300Z", 0, DENIED),
    ] {
        let request = put().dated(date);
        let url = [request.clone().presigned(expires, gateway.address).as_bytes(), b"x"].concat();
        gateway.refuses(&format!("{date} for {expires} s"), &url, expected).await;
    }
    let old = put().dated("20231114T221200Z").presigned(60, gateway.address);
    for (from, to, expected) in [
        ("X-Amz-Expires=60", "X-Amz-Expires=3600", MISMATCH),
        ("X-Amz-Expires=60", "X-Amz-Expires=-60", MALFORMED_URL),
        ("X-Amz-Expires=60", "X-Amz-Expires=", MALFORMED_URL),
        ("X-Amz-Expires=60&", "", MALFORMED_URL),
        ("X-Amz-Date=20231114T221200Z", "X-Amz-Date=20231114T221320Z", MISMATCH),
        ("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=3600", (400, "InvalidRequest")),
    ] {
        assert!(old.contains(from), "{old}");
        gateway.refuses(to, &[old.replacen(from, to, 1).as_bytes(), b"x"].concat(), expected).await;
    }
    for (expiration, expected) in [
        ("2023-11-14T22:13:19Z", DENIED),
        ("1970-01-01T00:00:00Z", DENIED),
        ("zzzz-99-99T99:99:99Z", (400, "InvalidPolicyDocument")),
        ("2023-11-15T03:00:00+05:00", (400, "InvalidPolicyDocument")),
        ("", (400, "InvalidPolicyDocument")),
    ] {
        gateway.refuses_request(expiration, form_until(expiration, "x", &[]), expected).await;
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of requests")]
async fn a_signature_is_valid_for_its_request_only() {
    let mut gateway = Target::new("signatures of another request").await;
    let request = s3("PUT", "/bucket/x?x-id=a")
        .body(b"x")
        .payload_hash(&Sha256::of(b"x").hex())
        .header("x-amz-meta-a", "b");
    let header = request.head(gateway.address);
    let url = s3("PUT", "/bucket/x?x-id=a")
        .body(b"x")
        .header("x-amz-meta-a", "b")
        .presigned(60, gateway.address);
    let signature = |head: &str| head.rsplit_once("Signature=").unwrap().1[..64].to_owned();
    let other =
        |text: String| format!("{}{}", if text.starts_with('0') { '1' } else { '0' }, &text[1..]);
    for head in [&header, &url] {
        let table = [
            ("another method", "PUT /", "DELETE /".to_owned(), MISMATCH),
            ("another bucket", "/bucket/x", "/others/x".to_owned(), MISMATCH),
            ("another key", "/bucket/x", "/bucket/k".to_owned(), MISMATCH),
            ("another query", "x-id=a", "x-id=b".to_owned(), MISMATCH),
            ("a longer query", "x-id=a", "x-id=a&acl=".to_owned(), MISMATCH),
            ("another value", "x-amz-meta-a: b", "x-amz-meta-a: c".to_owned(), MISMATCH),
            (
                "a second value",
                "x-amz-meta-a: b",
                "x-amz-meta-a: b\r\nx-amz-meta-a: c".to_owned(),
                MISMATCH,
            ),
            ("a header removed", "x-amz-meta-a: b\r\n", String::new(), MALFORMED),
            ("another host", "host: ", "host: x".to_owned(), MISMATCH),
            (
                "a source that was not signed",
                "\r\n",
                "\r\nx-amz-copy-source: /bucket/k\r\n".to_owned(),
                DENIED,
            ),
            ("metadata that was not signed", "\r\n", "\r\nx-amz-meta-b: c\r\n".to_owned(), DENIED),
            ("another region", "us-east-1", "us-west-1".to_owned(), MISMATCH),
            ("another day", "/20231114/", "/20231113/".to_owned(), MALFORMED),
            ("another service", "s3", "ec2".to_owned(), MALFORMED),
            ("another key id", ROOT.0, "AKNOBODY".to_owned(), UNKNOWN),
            ("another signature", &signature(head), other(signature(head)), MISMATCH),
        ];
        for (what, from, to, expected) in table {
            let from = if head == &url {
                from.replace('/', "%2F")
                    .replace("PUT %2F", "PUT /")
                    .replace("%2Fbucket%2F", "/bucket/")
            } else {
                from.to_owned()
            };
            let to =
                if head == &url && to.starts_with("/2023") { to.replace('/', "%2F") } else { to };
            let expected =
                if head == &url && expected == MALFORMED { MALFORMED_URL } else { expected };
            let changed = head.replacen(&from, &to, 1);
            assert_ne!(&changed, head, "{what}: {from}");
            gateway.refuses(what, &[changed.as_bytes(), b"x"].concat(), expected).await;
        }
    }
    let mismatch = (400, "XAmzContentSHA256Mismatch");
    gateway.refuses("another body", &closing(&[header.as_bytes(), b"y"].concat()), mismatch).await;
    let hash = Sha256::of(b"x").hex();
    let unsigned = header.replacen(&hash, "UNSIGNED-PAYLOAD", 1);
    gateway
        .refuses(
            "a body that was signed, unsigned",
            &[unsigned.as_bytes(), b"y"].concat(),
            MISMATCH,
        )
        .await;
    let both =
        header.replacen("x-id=a", &format!("x-id=a&X-Amz-Signature={}", signature(&header)), 1);
    gateway.refuses("two signatures", &[both.as_bytes(), b"x"].concat(), ARGUMENT).await;
    let bare = header.replacen("SignedHeaders=host;", "SignedHeaders=", 1);
    gateway
        .refuses("a host that is not signed", &[bare.as_bytes(), b"x"].concat(), MALFORMED)
        .await;
    let response = exchange_and_close(gateway.address, &header, b"x").await;
    assert_eq!(response.status, 200, "the unchanged request is valid: {response:?}");
}

#[tokio::test]
async fn a_policy_is_valid_for_what_it_names_only() {
    let mut gateway = Target::new("forms").await;
    let good = form("x", &[]);
    let with = |from: &str, to: &str| {
        let text = String::from_utf8(good.body.clone()).unwrap();
        assert!(text.contains(from), "{from}");
        let mut changed = good.clone();
        changed.body = text.replacen(from, to, 1).into_bytes();
        changed
    };
    let field = "--b\r\nContent-Disposition: form-data; name=\"x-amz-meta-a\"\r\n\r\nb\r\n--b\r\n";
    let table = [
        ("a field that it does not name", with("--b\r\n", field), DENIED),
        (
            "another policy",
            with("name=\"policy\"\r\n\r\n", "name=\"policy\"\r\n\r\nAAAA"),
            MISMATCH,
        ),
        ("another key id", with(ROOT.0, "AKNOBODY"), UNKNOWN),
        ("another day", with("/20231114/", "/20231113/"), MISMATCH),
        ("another algorithm", with("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), ARGUMENT),
        ("no signature", with("name=\"x-amz-signature\"", "name=\"x-ignore-signature\""), ARGUMENT),
        ("no policy", with("name=\"policy\"", "name=\"x-ignore-policy\""), ARGUMENT),
        ("cut off", with("--b--\r\n", "--b"), (400, "MalformedPOSTRequest")),
        ("no file", with("name=\"file\"", "name=\"x-ignore-file\""), ARGUMENT),
    ];
    for (what, request, expected) in table {
        gateway.refuses_request(what, request, expected).await;
    }
    let mut hidden = good.clone();
    "/ratchet-state".clone_into(&mut hidden.target);
    gateway.refuses_request("the state bucket", hidden, (404, "NoSuchBucket")).await;
    gateway.accepts("as it was signed", good).await;
}

/// A body in signed chunks, and the head whose signature begins their chain.
fn signed_chunks(
    request: &Request,
    address: std::net::SocketAddr,
    chunks: &[&[u8]],
) -> (String, Vec<Vec<u8>>) {
    let head = request.head(address);
    let mut previous = head.rsplit_once("Signature=").unwrap().1[..64].to_owned();
    let mut framed = Vec::new();
    for chunk in chunks {
        let (nothing, hash) = (Sha256::of(b"").hex(), Sha256::of(chunk).hex());
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{NOW}\n{}\n{previous}\n{nothing}\n{hash}",
            scope(NOW)
        );
        previous = sign_text(ROOT.1, NOW, &text);
        let line = format!("{:x};chunk-signature={previous}\r\n", chunk.len());
        framed.push([line.as_bytes(), chunk, b"\r\n"].concat());
    }
    (head, framed)
}

#[tokio::test]
async fn signed_chunks_must_be_complete_and_in_order() {
    let mut gateway = Target::new("signed chunks").await;
    let address = gateway.address;
    let chunks: [&[u8]; 3] = [b"one", b"two", b""];
    // The framed length: three chunk headers with their signatures, and six bytes of data.
    let len = 3 * ("3;chunk-signature=".len() + 64 + 4) + 6;
    let request = |len: usize| {
        let request = s3("PUT", "/bucket/k").payload_hash("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
        request
            .header("x-amz-decoded-content-length", "6")
            .header("content-length", &len.to_string())
    };
    let body = |order: &[usize], change: fn(Vec<u8>) -> Vec<u8>| {
        let parts =
            |framed: &[Vec<u8>]| change(order.iter().flat_map(|at| framed[*at].clone()).collect());
        let (_, framed) = signed_chunks(&request(len), address, &chunks);
        let sent = parts(&framed);
        let (head, framed) = signed_chunks(&request(sent.len()), address, &chunks);
        [head.into_bytes(), parts(&framed)].concat()
    };
    let unchanged = |bytes: Vec<u8>| bytes;
    let flipped = |mut bytes: Vec<u8>| {
        let at = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        bytes[at] ^= 1;
        bytes
    };
    let unsigned = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        let at = text.find(';').unwrap();
        format!("{}{}", &text[..at], &text[at + 1 + "chunk-signature=".len() + 64..]).into_bytes()
    };
    let longer = |bytes: Vec<u8>| [bytes, b"more".to_vec()].concat();
    let trailed = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() - 2);
        [bytes, b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n".to_vec()].concat()
    };
    let table = [
        ("in another order", body(&[1, 0, 2], unchanged), MISMATCH),
        ("one of them twice", body(&[0, 0, 2], unchanged), MISMATCH),
        ("one of them missing", body(&[0, 2], unchanged), MISMATCH),
        ("one byte changed", body(&[0, 1, 2], flipped), MISMATCH),
        ("one of them not signed", body(&[0, 1, 2], unsigned), (400, "IncompleteBody")),
        ("without the last", body(&[0, 1], unchanged), (400, "IncompleteBody")),
        ("more behind the last", body(&[0, 1, 2], longer), (400, "MalformedTrailerError")),
        ("a trailer that is not signed", body(&[0, 1, 2], trailed), MISMATCH),
    ];
    for (what, bytes, expected) in table {
        gateway.refuses(what, &closing(&bytes), expected).await;
    }
    let (responses, _) =
        crate::support::response::send_raw(address, &closing(&body(&[0, 1, 2], unchanged))).await;
    assert_eq!(responses[0].status, 200, "{responses:?}");
    gateway.assert_object_is("k", b"onetwo").await;
}
