//! A request's head: method and target, headers, both signatures, the route.
#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use ratchet::front::s3::fuzz;
use ratchet::sigv4::{self, Secret, V2Signature};

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let Some((method, uri)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        request = request.header(name, value.trim());
    }
    let Ok(request) = request.body(()) else { return };
    let (head, ()) = request.into_parts();
    let (secret, now) = (Secret::new("secret"), UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    if let Ok(claim) = sigv4::parse(&head) {
        let checked = claim.check(&head, now, Duration::from_secs(900));
        checked.and_then(|checked| checked.verify(&head, &secret)).ok();
    }
    if let Some(claim) = V2Signature::parse(&head) {
        claim.verify(&head, Some("bucket"), &secret, now, Duration::from_secs(900)).ok();
    }
    fuzz::route(&head.method, head.uri.path(), head.uri.query(), &head.headers);
});
