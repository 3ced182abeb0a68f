//! Waiting for a condition that becomes true by itself, for as long as a slow machine may need.

use std::path::Path;
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::store::dir::Dir;

/// Waits until the condition holds. Panics with `what` after a minute.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = Clock::system();
    while !holds() {
        assert!(clock.monotonic() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::yield_now();
    }
}

/// Waits until the store in `home` has no unfinished body, and `data/` exactly the files that the
/// index names: files that are no longer needed are removed after the response.
pub fn until_nothing_leaks(what: &str, home: &Path, store: &Dir) {
    no_unfinished_bodies(what, home);
    until(&format!("{what}: the files are those that the index names"), || {
        let shards = std::fs::read_dir(home.join("data")).unwrap();
        shards.map(|shard| files_in(&shard.unwrap().path())).sum::<u64>()
            == store.count_files().unwrap()
    });
}

/// Waits until `incoming/` is empty: no body is being written or waits to be moved to `data/`. A
/// pack that is begun is there for a moment, also when packs are compacted.
pub fn no_unfinished_bodies(what: &str, home: &Path) {
    until(&format!("{what}: nothing is left in incoming/"), || {
        files_in(&home.join("incoming")) == 0
    });
}

fn files_in(directory: &Path) -> u64 {
    std::fs::read_dir(directory).unwrap().count() as u64
}
