//! Requests of an account with a narrow grant: see `fuzz/narrow.rs`.
#![no_main]

use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;

#[path = "../narrow.rs"]
mod narrow;

static WORLD: LazyLock<Mutex<narrow::World>> = LazyLock::new(|| Mutex::new(narrow::World::start()));

fuzz_target!(|data: &[u8]| {
    WORLD.lock().expect("no earlier run panicked").try_one(data);
});
