//! `aws-chunked` bodies, signed and unsigned, in frames of every size. The first byte is the size
//! of the frames, the second says whether the body is signed.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use ratchet::web::fuzz;
use ratchet::sigv4::{self, ChunkVerifier, Credentials, Payload, Secret};

static SIGNER: LazyLock<ChunkVerifier> = LazyLock::new(|| {
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let request =
        http::Request::put("http://host/b/k").header("host", "host").body(()).expect("a request");
    let (mut head, ()) = request.into_parts();
    sigv4::sign(
        &mut head,
        &Credentials::new("AK", "secret", None),
        "us-east-1",
        Payload::Unsigned,
        now,
    )
    .expect("signed");
    let claim = sigv4::parse(&head).expect("a claim");
    let checked = claim.check(&head, now, Duration::from_secs(1)).expect("checked");
    checked
        .verify(&head, &Secret::new("secret"))
        .expect("verified")
        .chunk_verifier
});

fuzz_target!(|data: &[u8]| {
    let [frame_bytes, signed, body @ ..] = data else { return };
    fuzz::aws_chunked(body, usize::from(*frame_bytes), (signed & 1 == 1).then(|| SIGNER.clone()));
});
