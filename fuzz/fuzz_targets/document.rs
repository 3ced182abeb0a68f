//! The XML of Complete and DeleteObjects.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ratchet::front::s3::fuzz::document(data));
