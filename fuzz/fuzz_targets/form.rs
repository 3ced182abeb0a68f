//! Forms of POST uploads, their boundary `b`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ratchet::front::s3::fuzz::form(data, "b"));
