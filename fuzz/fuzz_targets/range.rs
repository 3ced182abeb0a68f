//! `Range`, and entity tags.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &str)| ratchet::front::s3::fuzz::range(input.1, input.0));
