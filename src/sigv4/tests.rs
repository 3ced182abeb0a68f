//! The published examples, the refusals, and properties of signing and verifying.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::request::Parts;
use proptest::{prop_assert, proptest};
use sha2::Digest;

use super::*;

// The keys and dates of the published examples.
const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SKEW: Duration = Duration::from_secs(900);

impl RequestSignature {
    fn verify(
        self,
        parts: &Parts,
        secret: &Secret,
        now: SystemTime,
        skew: Duration,
    ) -> Result<Verified, Error> {
        self.check(parts, now, skew)?.verify(parts, secret)
    }
}

fn signing_time() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_369_353_600)
}

fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn empty_payload() -> Payload {
    Payload::Sha256(sha2::Sha256::digest(b"").into())
}

fn signed(method: &str, uri: &str, headers: &[(&str, &str)], payload: Payload) -> Parts {
    let mut parts = parts(method, uri, headers);
    let credentials = Credentials::new(KEY, SECRET, None);
    sign(&mut parts, &credentials, "us-east-1", payload, signing_time()).unwrap();
    parts
}

fn signature(parts: &Parts) -> &str {
    parts.headers["authorization"].to_str().unwrap().rsplit_once("Signature=").unwrap().1
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>, the four
/// examples.
#[test]
fn the_published_header_examples_get_their_published_signatures() {
    let get = signed(
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        &[("range", "bytes=0-9")],
        empty_payload(),
    );
    assert_eq!(signature(&get), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    let body = Payload::Sha256(sha2::Sha256::digest(b"Welcome to Amazon S3.").into());
    let headers =
        [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
    let put =
        signed("PUT", "https://examplebucket.s3.amazonaws.com/test%24file.text", &headers, body);
    assert_eq!(signature(&put), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    let lifecycle =
        signed("GET", "https://examplebucket.s3.amazonaws.com/?lifecycle", &[], empty_payload());
    assert_eq!(
        signature(&lifecycle),
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    );
    let list = signed(
        "GET",
        "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J",
        &[],
        empty_payload(),
    );
    assert_eq!(
        signature(&list),
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    );
    for request in [get, put, lifecycle, list] {
        let claim = parse(&request).unwrap();
        let checked = claim.check(&request, signing_time(), SKEW).unwrap();
        assert_eq!(checked.access_key_id(), KEY);
        checked.verify(&request, &Secret::new(SECRET)).unwrap();
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>
#[test]
fn the_published_presigned_example_gets_its_published_signature() {
    let get = parts("GET", "https://examplebucket.s3.amazonaws.com/test.txt", &[]);
    let credentials = Credentials::new(KEY, SECRET, None);
    let url = presign(&get, &credentials, "us-east-1", Duration::from_secs(86_400), signing_time())
        .unwrap();
    assert!(
        url.ends_with("aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"),
        "{url}"
    );
    let request = parts("GET", &url, &[("host", "examplebucket.s3.amazonaws.com")]);
    let verify = |at| {
        parse(&request)
            .unwrap()
            .verify(&request, &Secret::new(SECRET), at, SKEW)
            .map(|verified| verified.payload)
    };
    assert_eq!(verify(signing_time()), Ok(SignedPayload::Unsigned));
    assert!(verify(signing_time() + Duration::from_secs(86_400)).is_ok());
    let late = signing_time() + Duration::from_secs(86_401);
    let expiry = Expiry { validity: Some(86_400), until: 1_369_440_000, now: 1_369_440_001 };
    assert_eq!(verify(late), Err(Error::Expired(expiry)));
    assert!(matches!(verify(signing_time() - Duration::from_secs(901)), Err(Error::Denied(_))));
}

#[test]
fn each_fault_has_its_own_error() {
    let good =
        signed("PUT", "http://127.0.0.1:9010/b/k", &[("content-type", "x")], Payload::Unsigned);
    let verify = |parts: &Parts, secret, at| {
        let verified =
            parse(parts).and_then(|claim| claim.verify(parts, &Secret::new(secret), at, SKEW));
        verified.map(|verified| verified.payload)
    };
    assert!(verify(&good, SECRET, signing_time()).is_ok());
    assert!(matches!(verify(&good, "other", signing_time()), Err(Error::Mismatch(_))));
    assert_eq!(
        verify(&good, SECRET, signing_time() + Duration::from_secs(901)),
        Err(Error::Skewed)
    );
    assert_eq!(
        verify(&good, "other", signing_time() + Duration::from_secs(901)),
        Err(Error::Skewed),
        "the same error for every secret"
    );
    assert_eq!(parse(&parts("GET", "/b/k", &[])).unwrap_err(), Error::Unsigned);
    let kind = |result: Result<SignedPayload, Error>| {
        let text = format!("{:?}", result.unwrap_err());
        text.split('(').next().unwrap().to_owned()
    };
    for (name, value, expected) in [
        ("authorization", "AWS4-ECDSA-P256-SHA256 x", "Unsupported"),
        ("authorization", "AWS a:b", "Unsupported"),
        ("authorization", "Bearer x", "InvalidArgument"),
        ("authorization", "", "Unsigned"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=a/b,SignedHeaders=host,Signature=0",
            "Malformed",
        ),
        ("x-amz-date", "20130525T000000Z", "Malformed"),
        ("x-amz-date", "long ago", "Denied"),
        ("x-amz-content-sha256", "nonsense", "InvalidArgument"),
    ] {
        let mut bad = good.clone();
        bad.headers.insert(http::header::HeaderName::from_static(name), value.parse().unwrap());
        assert_eq!(kind(verify(&bad, SECRET, signing_time())), expected, "{name}: {value}");
    }
    let mut without_hash = good.clone();
    without_hash.headers.remove("x-amz-content-sha256");
    assert_eq!(kind(verify(&without_hash, SECRET, signing_time())), "Unsupported");
    assert_eq!(format!("{:?}", Credentials::new(KEY, SECRET, None)).find(SECRET), None);
}

/// AWS answers: "There were headers present in the request which were not signed".
#[test]
fn a_header_that_is_added_to_a_signed_request_is_refused() {
    let verify = |parts: &Parts| {
        parse(parts).unwrap().verify(parts, &Secret::new(SECRET), signing_time(), SKEW).map(drop)
    };
    let url = presign(
        &parts("PUT", "http://h/b/k", &[]),
        &Credentials::new(KEY, SECRET, None),
        "us-east-1",
        Duration::from_secs(60),
        signing_time(),
    );
    let presigned = parts("PUT", &url.unwrap(), &[("host", "h")]);
    for good in
        [presigned, signed("PUT", "http://h/b/k", &[("x-amz-meta-a", "1")], Payload::Unsigned)]
    {
        assert_eq!(verify(&good), Ok(()));
        for (name, expected) in [
            ("x-amz-copy-source", Err(Error::HeadersUnsigned("x-amz-copy-source".to_owned()))),
            ("x-amz-meta-b", Err(Error::HeadersUnsigned("x-amz-meta-b".to_owned()))),
            ("user-agent", Ok(())),
        ] {
            let mut with_header = good.clone();
            with_header
                .headers
                .insert(http::header::HeaderName::from_static(name), "/b/secret".parse().unwrap());
            assert_eq!(verify(&with_header), expected, "{name}");
        }
    }
}

#[test]
fn a_request_with_two_signatures_is_refused() {
    let good = signed("GET", "http://h/b/k", &[], Payload::Unsigned);
    let mut both = good.clone();
    both.uri = "http://h/b/k?X-Amz-Signature=0".parse().unwrap();
    assert!(matches!(parse(&both), Err(Error::InvalidArgument(_))));
    both.uri = "http://h/b/k?AWSAccessKeyId=a&Signature=0&Expires=1".parse().unwrap();
    assert!(matches!(parse(&both), Err(Error::InvalidArgument(_))));
    let mut twice = good.clone();
    twice.headers.append("authorization", good.headers["authorization"].clone());
    assert!(matches!(parse(&twice), Err(Error::InvalidArgument(_))));
}

#[test]
fn the_date_header_stands_in_for_x_amz_date() {
    // Signed here with both, so that `Date` is the time of the signature.
    for date in ["Fri, 24 May 2013 00:00:00 GMT", "20130524T000000Z"] {
        let mut request = signed("GET", "http://h/b/k", &[("date", date)], Payload::Unsigned);
        let line = request.headers["authorization"].to_str().unwrap().to_owned();
        let (_, signature) = line.rsplit_once("Signature=").unwrap();
        let names: Vec<_> = ["date", "host", "x-amz-content-sha256"]
            .map(http::HeaderName::from_static)
            .into_iter()
            .collect();
        let canonical =
            canonical::request(&request, &names, "UNSIGNED-PAYLOAD", canonical::Reading::AsSent);
        let scope = Scope { day: "20130524".to_owned(), region: "us-east-1".to_owned() };
        let key = Secret::new(SECRET).signing_key(&scope);
        let wanted = canonical::signature(&canonical.unwrap(), "20130524T000000Z", &scope, &key);
        let line = line.replace(";x-amz-date", "").replace(signature, &wanted);
        request.headers.insert("authorization", line.parse().unwrap());
        request.headers.remove("x-amz-date");
        let verify = |request: &Parts, at| {
            parse(request).and_then(|claim| claim.verify(request, &Secret::new(SECRET), at, SKEW))
        };
        assert!(verify(&request, signing_time()).is_ok(), "{date}");
        let late = signing_time() + 2 * SKEW;
        assert_eq!(verify(&request, late).map(drop), Err(Error::Skewed));
        request.headers.remove("date");
        assert!(matches!(verify(&request, signing_time()), Err(Error::Denied(_))));
    }
}

#[test]
fn latin_1_is_signed_as_sent_or_as_its_text() {
    let latin1 = http::HeaderValue::from_bytes(b"caf\xe9").unwrap();
    let as_text = signed("PUT", "http://h/b/k", &[("x-amz-meta-a", "café")], Payload::Unsigned);
    let verify = |request: &Parts| {
        let claim = parse(request).unwrap();
        claim.verify(request, &Secret::new(SECRET), signing_time(), SKEW).map(drop)
    };
    assert_eq!(verify(&as_text), Ok(()));
    let mut sent = as_text.clone();
    sent.headers.insert("x-amz-meta-a", latin1.clone());
    assert_eq!(verify(&sent), Ok(()), "signed as text, as botocore does");
    sent.headers.insert("x-amz-meta-a", http::HeaderValue::from_bytes(b"caf\xe8").unwrap());
    assert!(matches!(verify(&sent), Err(Error::Mismatch(_))));
    let mut raw = parts("PUT", "http://h/b/k", &[]);
    raw.headers.insert("x-amz-meta-a", latin1);
    let credentials = Credentials::new(KEY, SECRET, None);
    sign(&mut raw, &credentials, "us-east-1", Payload::Unsigned, signing_time()).unwrap();
    assert_eq!(verify(&raw), Ok(()), "signed as sent");
}

/// A query parser takes a plus for a space, so a value that was signed with an encoded plus must
/// not verify with a plain one.
#[test]
fn a_plus_in_the_query_is_a_space_in_the_signature_too() {
    let mut request = signed("GET", "http://h/b?prefix=a%2Bb", &[], Payload::Unsigned);
    request.uri = "http://h/b?prefix=a+b".parse().unwrap();
    let verified =
        parse(&request).unwrap().verify(&request, &Secret::new(SECRET), signing_time(), SKEW);
    assert!(matches!(verified, Err(Error::Mismatch(_))));
    request = signed("GET", "http://h/b?prefix=a%20b", &[], Payload::Unsigned);
    request.uri = "http://h/b?prefix=a+b".parse().unwrap();
    assert!(
        parse(&request)
            .unwrap()
            .verify(&request, &Secret::new(SECRET), signing_time(), SKEW)
            .is_ok()
    );
}

#[test]
fn queries_sort_by_name_not_by_pair() {
    let request = signed("GET", "http://h/b?a=1&a-b=2&A=3", &[], empty_payload());
    let text = canonical::request(&request, &[], "", canonical::Reading::AsSent).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("\nA=3&a=1&a-b=2\n"), "{text}");
}

proptest! {
    #[test]
    fn a_signed_request_verifies_and_a_changed_one_does_not(
        path in "(/[a-zA-Z0-9 _.~+=%@é-]{0,12}){1,3}",
        query in "[a-z0-9]{0,5}(=[a-z0-9]{0,5})?",
        header in "[ -~]{0,20}",
        flip in 0_usize..64,
    ) {
        let path = path.replace('%', "%25").replace(' ', "%20").replace('é', "%C3%A9");
        let uri = format!("http://127.0.0.1:9010{path}?{query}");
        let request = signed("PUT", &uri, &[("x-amz-meta-a", &header)], Payload::Unsigned);
        let secret = Secret::new(SECRET);
        let verified = parse(&request).unwrap().verify(&request, &secret, signing_time(), SKEW);
        prop_assert!(verified.is_ok());
        let mut other = request.clone();
        other.uri = format!("http://127.0.0.1:9010{path}x?{query}").parse().unwrap();
        let verified = parse(&other).unwrap().verify(&other, &secret, signing_time(), SKEW);
        prop_assert!(matches!(verified, Err(Error::Mismatch(_))));
        let mut other = request.clone();
        let line = other.headers["authorization"].to_str().unwrap().to_owned();
        let at = line.len() - 64 + flip;
        let flipped = if &line[at..=at] == "0" { "1" } else { "0" };
        let line = format!("{}{flipped}{}", &line[..at], &line[at + 1..]);
        other.headers.insert("authorization", line.parse().unwrap());
        let verified = parse(&other).unwrap().verify(&other, &secret, signing_time(), SKEW);
        prop_assert!(matches!(verified, Err(Error::Mismatch(_))));
    }

    #[test]
    fn no_header_or_query_causes_a_panic(line in "\\PC{0,80}", date in "\\PC{0,20}", query in "[!-~]{0,60}") {
        let uri = format!("/{}", http::Uri::try_from(format!("/?{query}")).map(|u| u.to_string()).unwrap_or_default());
        let Ok(request) = http::Request::builder()
            .uri(uri)
            .header("authorization", format!("AWS4-HMAC-SHA256 {line}"))
            .header("x-amz-date", date)
            .body(())
        else { return Ok(()) };
        let (mut request, ()) = request.into_parts();
        if let Ok(claim) = parse(&request) {
            claim.verify(&request, &Secret::new("s"), signing_time(), SKEW).ok();
        }
        request.headers.remove("authorization");
        parse(&request).ok();
    }
}
