//! Signatures that a setting decides about, and what the answers to refused ones name.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use ratchet::sigv4::{Credentials, Payload, sign};

use crate::support::gateway::{ROOT, settings, start};
use crate::support::request::s3;
use crate::support::response::{exchange_and_close, send_raw};

fn sha1_mac(text: &str) -> String {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(ROOT.1.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn version_2_in_a_header_needs_a_setting() {
    let date = "Tue, 14 Nov 2023 22:13:20 GMT";
    let signature = sha1_mac(&format!("PUT\n\n\n{date}\nx-amz-meta-a:b\n/bucket/k"));
    let head = |signature: &str, date: &str| {
        format!(
            "PUT /bucket/k HTTP/1.1\r\nhost: h\r\ndate: {date}\r\nx-amz-meta-a: b\r\n\
             authorization: AWS {}:{signature}\r\ncontent-length: 1\r\n\r\n",
            ROOT.0
        )
    };
    let old = "Tue, 14 Nov 2023 21:13:20 GMT";
    for (on, head, expected) in [
        (false, head(&signature, date), (400, "InvalidRequest")),
        (true, head(&signature, date), (200, "")),
        (true, head("AAAA", date), (403, "SignatureDoesNotMatch")),
        (true, head(&signature, old), (403, "RequestTimeTooSkewed")),
        (true, head(&signature, "Bad Date"), (403, "AccessDenied")),
        (true, head(&signature, date).replace("AKROOT:", "AKROOT"), (400, "InvalidArgument")),
        (true, head(&signature, date).replace("AKROOT", "AKNONE"), (403, "InvalidAccessKeyId")),
    ] {
        let mut settings = settings();
        settings.web.signature_v2 = on;
        let gateway = start(settings).await;
        let response = exchange_and_close(gateway.address, &head, b"x").await;
        assert_eq!((response.status, &*response.code()), expected, "{on} {head}");
    }
}

#[tokio::test]
async fn a_url_of_version_2_carries_its_headers() {
    let gateway = start(settings()).await;
    let signature = sha1_mac("PUT\n\ntext/plain\n1700003600\nx-amz-meta-a:b c\n/bucket/k");
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let url = format!(
        "/bucket/k?AWSAccessKeyId={}&Signature={signature}&content-type=text%2Fplain&x-amz-meta-a=b%20c&Expires=1700003600",
        ROOT.0
    );
    let head =
        |more: &str| format!("PUT {url} HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n{more}\r\n");
    for (more, expected) in [
        ("content-type: text/html\r\n", (403, "AccessDenied")),
        ("x-amz-meta-b: x\r\n", (403, "SignatureDoesNotMatch")),
        ("content-type: text/plain\r\n", (200, "")),
        ("", (200, "")),
    ] {
        let response = exchange_and_close(gateway.address, &head(more), b"x").await;
        assert_eq!((response.status, &*response.code()), expected, "{more}: {response:?}");
    }
    let stored = s3("GET", "/bucket/k").send(&gateway).await;
    assert_eq!(stored.header("content-type"), Some("text/plain"));
    assert_eq!(stored.header("x-amz-meta-a"), Some("b c"));
}

/// The keys of accounts are permanent, and a token would be that of another key. Some tools send an
/// empty one.
#[tokio::test]
async fn a_session_token_is_refused() {
    let gateway = start(settings()).await;
    let token = "x-amz-security-token";
    let get = || s3("GET", "/bucket?list-type=2");
    let in_url = |value: &str| {
        let mut request = get();
        request.target.push_str(&format!("&X-Amz-Security-Token={value}"));
        request.presigned(60, gateway.address)
    };
    let unknown = ("AKNONE", "secret");
    let unsigned = get().presigned(60, gateway.address);
    let unsigned = unsigned.replacen(" HTTP", "&X-Amz-Security-Token=t HTTP", 1);
    let signature = sha1_mac("GET\n\n\n1700003600\nx-amz-security-token:t\n/bucket");
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let v2 = format!(
        "GET /bucket?AWSAccessKeyId={}&Signature={signature}&x-amz-security-token=t&\
         Expires=1700003600 HTTP/1.1\r\nhost: h\r\n\r\n",
        ROOT.0
    );
    for (head, expected) in [
        (get().header(token, "t").head(gateway.address), (400, "InvalidToken")),
        (get().header(token, "").head(gateway.address), (200, "")),
        (in_url("t"), (400, "InvalidToken")),
        (in_url(""), (200, "")),
        (unsigned, (400, "InvalidToken")),
        (v2, (400, "InvalidToken")),
        (
            get().header(token, "t").signed_by(Some(unknown)).head(gateway.address),
            (403, "InvalidAccessKeyId"),
        ),
    ] {
        let response = exchange_and_close(gateway.address, &head, b"").await;
        assert_eq!((response.status, &*response.code()), expected, "{head}: {response:?}");
    }
}

#[tokio::test]
async fn a_region_that_is_set_must_be_signed() {
    let mut settings = settings();
    settings.web.region = Some("eu-central-1".to_owned());
    let gateway = start(settings).await;
    let response = s3("GET", "/bucket").send(&gateway).await;
    assert_eq!((response.status, &*response.code()), (400, "AuthorizationHeaderMalformed"));
    let text = String::from_utf8(response.body.clone()).unwrap();
    assert!(text.contains("<Region>eu-central-1</Region>"), "{text}");
    assert_eq!(response.header("x-amz-bucket-region"), Some("eu-central-1"));
    let url = s3("GET", "/bucket").presigned(60, gateway.address);
    let response = exchange_and_close(gateway.address, &url, b"").await;
    assert_eq!((response.status, &*response.code()), (400, "AuthorizationQueryParametersError"));
}

#[tokio::test]
async fn refusals_have_the_codes_of_s3() {
    let gateway = start(settings()).await;
    let good = s3("GET", "/bucket").head(gateway.address);
    let line = good.split("\r\n").find(|line| line.starts_with("authorization")).unwrap();
    let date = "x-amz-date: 20231114T221320Z\r\n";
    for (what, from, to, expected) in [
        ("another scheme", line, "authorization: Bearer x", (400, "InvalidArgument")),
        ("nothing", line, "authorization: ", (403, "AccessDenied")),
        ("a field is missing", "Signature=", "Sig=", (400, "AuthorizationHeaderMalformed")),
        ("no date", date, "", (403, "AccessDenied")),
        ("no hash", "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n", "", (400, "InvalidRequest")),
        ("a wrong hash", ": UNSIGNED-PAYLOAD", ": nonsense", (400, "InvalidArgument")),
        ("an unknown key", "AKROOT", "AKNONE", (403, "InvalidAccessKeyId")),
    ] {
        assert!(good.contains(from), "{from} in {good}");
        let head = good.replacen(from, to, 1);
        let response = exchange_and_close(gateway.address, &head, b"").await;
        assert_eq!((response.status, &*response.code()), expected, "{what}: {response:?}");
    }
}

#[tokio::test]
async fn latin_1_metadata_is_signed_as_sent_and_kept() {
    let gateway = start(settings()).await;
    let (request, ()) = http::Request::put(format!("http://{}/bucket/k", gateway.address))
        .header("x-amz-meta-a", http::HeaderValue::from_bytes(b"caf\xe9").unwrap())
        .header("x-amz-meta-b", "caf\u{e9}")
        .body(())
        .unwrap()
        .into_parts();
    let mut parts = request;
    let credentials = Credentials::new(ROOT.0, ROOT.1, None);
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    sign(&mut parts, &credentials, "us-east-1", Payload::Unsigned, now).unwrap();
    let mut head = b"PUT /bucket/k HTTP/1.1\r\nconnection: close\r\ncontent-length: 0\r\n".to_vec();
    for (name, value) in &parts.headers {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    let (responses, _) = send_raw(gateway.address, &head).await;
    assert_eq!(responses[0].status, 200, "{responses:?}");
    let get = s3("GET", "/bucket/k").header("connection", "close").head(gateway.address);
    let (_, received) = send_raw(gateway.address, get.as_bytes()).await;
    for line in [&b"x-amz-meta-a: caf\xe9\r\n"[..], "x-amz-meta-b: caf\u{e9}\r\n".as_bytes()] {
        assert!(received.windows(line.len()).any(|window| window == line), "{received:?}");
    }
}

/// What is replaced in the head of a good request, and what the `Authorization` header is said to
/// lack then, without quotes.
const MALFORMED: &[(&str, &str, &str)] = &[
    (
        "SignedHeaders=host;",
        "host;",
        "the authorization component 'host;x-amz-content-sha256;x-amz-date' is malformed.",
    ),
    (
        ", SignedHeaders=",
        ";",
        "the authorization header requires three components: Credential, SignedHeaders, and \
         Signature.",
    ),
    ("Credential=", "X=", "missing Credential."),
    ("SignedHeaders=", "X=", "missing SignedHeaders."),
    ("Signature=", "X=", "missing Signature."),
    (
        "/s3/aws4_request",
        "/s3",
        "the Credential is mal-formed; expecting \
         '&lt;YOUR-AKID&gt;/YYYYMMDD/REGION/SERVICE/aws4_request'.",
    ),
    ("/s3/", "/ec2/", "incorrect service 'ec2'. This endpoint belongs to 's3'."),
    ("/aws4_request", "/aws5", "incorrect terminal 'aws5'. This endpoint uses 'aws4_request'."),
    (
        "/20231114/",
        "/2023111/",
        "incorrect date format '2023111'. This date in the credential must be in the format \
         'yyyyMMdd'.",
    ),
    (
        "/20231114/",
        "/20231113/",
        "Invalid credential date '20231113'. This date is not the same as X-Amz-Date: '20231114'.",
    ),
];

/// The same for other refusals, and what the document has besides the message.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "AWS4-HMAC-SHA256 ",
        "Bearer ",
        "<Code>InvalidArgument</Code><Message>Unsupported Authorization Type</Message>",
        "<ArgumentName>Authorization</ArgumentName><ArgumentValue>Bearer</ArgumentValue>",
    ),
    (
        "AWS4-HMAC-SHA256 ",
        "AWS ",
        "<Message>The authorization mechanism you have provided is not supported. Please use \
         AWS4-HMAC-SHA256.</Message>",
        "<Code>InvalidRequest</Code>",
    ),
    (
        "x-amz-content-sha256: ",
        "x-amz-content-sha256: x",
        "<Code>InvalidArgument</Code><Message>x-amz-content-sha256 must be UNSIGNED-PAYLOAD, ",
        "<ArgumentName>x-amz-content-sha256</ArgumentName><ArgumentValue>x",
    ),
    (
        "\r\n\r\n",
        "\r\nx-amz-acl: private\r\nx-amz-a: b\r\n\r\n",
        "<Message>There were headers present in the request which were not signed</Message>",
        "<HeadersNotSigned>x-amz-a, x-amz-acl</HeadersNotSigned>",
    ),
    (
        "Signature=",
        "Signature=0",
        "<AWSAccessKeyId>AKROOT</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256\n",
        "<CanonicalRequest>GET\n/bucket\n",
    ),
    (
        "authorization: ",
        "x-authorization: ",
        "<Code>AccessDenied</Code><Message>Access Denied.</Message>",
        "<Detail>the request is not signed</Detail>",
    ),
];

#[tokio::test]
async fn a_refused_signature_is_explained_in_the_words_of_s3() {
    let gateway = start(settings()).await;
    let good = s3("GET", "/bucket").head(gateway.address);
    let refusal = async |from: &str, to: &str| {
        assert!(good.contains(from), "{from}: {good}");
        let head = good.replacen(from, to, 1);
        let response = exchange_and_close(gateway.address, &head, b"").await;
        String::from_utf8(response.body).unwrap()
    };
    for (from, to, what) in MALFORMED {
        let expected = format!(
            "<Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is \
             malformed; {what}</Message>"
        );
        let body = refusal(from, to).await;
        assert!(body.replace("&quot;", "'").contains(&expected), "{from} {to}: {body}");
    }
    for (from, to, message, more) in REFUSED {
        let body = refusal(from, to).await;
        assert!(body.contains(message) && body.contains(more), "{from} {to}: {body}");
    }
}

#[tokio::test]
async fn a_refused_url_is_explained_in_the_words_of_s3() {
    let gateway = start(settings()).await;
    let url = |expires| s3("GET", "/bucket").presigned(expires, gateway.address);
    let credential = |what: &str| format!("Error parsing the X-Amz-Credential parameter; {what}");
    let required = "Query-string authentication version 4 requires the X-Amz-Algorithm, \
                    X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and \
                    X-Amz-Expires parameters.";
    let table = [
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256&", "", required.to_owned()),
        ("X-Amz-Expires=60", "X-Amz-Expires=", required.to_owned()),
        ("X-Amz-Expires=60", "X-Amz-Expires=a", "X-Amz-Expires should be a number".to_owned()),
        ("X-Amz-Expires=60", "X-Amz-Expires=-1", "X-Amz-Expires must be non-negative".to_owned()),
        (
            "X-Amz-Expires=60",
            "X-Amz-Expires=604801",
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires \
             must be less than 604800 seconds"
                .to_owned(),
        ),
        (
            "AWS4-HMAC-SHA256",
            "AWS4-ECDSA-P256-SHA256",
            "X-Amz-Algorithm only supports &quot;AWS4-HMAC-SHA256&quot;".to_owned(),
        ),
        (
            "%2Fs3%2F",
            "%2Fsns%2F",
            credential("incorrect service &quot;sns&quot;. This endpoint belongs to &quot;s3&quot;."),
        ),
        (
            "%2F20231114%2F",
            "%2F20231113%2F",
            "Invalid credential date &quot;20231113&quot;. This date is not the same as X-Amz-Date: \
             &quot;20231114&quot;."
                .to_owned(),
        ),
    ];
    for (from, to, message) in table {
        let head = url(60);
        assert!(head.contains(from), "{head}");
        let head = head.replacen(from, to, 1);
        let response = exchange_and_close(gateway.address, &head, b"").await;
        let expected =
            format!("<Code>AuthorizationQueryParametersError</Code><Message>{message}</Message>");
        let body = String::from_utf8(response.body).unwrap();
        assert!(response.status == 400 && body.contains(&expected), "{head}{body}");
    }
    let old = s3("GET", "/bucket").dated("20231114T221200Z").presigned(60, gateway.address);
    let response = exchange_and_close(gateway.address, &old, b"").await;
    let body = String::from_utf8(response.body).unwrap();
    let expected = "<X-Amz-Expires>60</X-Amz-Expires><Expires>2023-11-14T22:13:00Z</Expires>\
                    <ServerTime>2023-11-14T22:13:20Z</ServerTime>";
    assert!(body.contains("<Message>Request has expired.</Message>"), "{body}");
    assert!(body.contains(expected), "{body}");
}
