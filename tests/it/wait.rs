//! Waiting for what comes to hold by itself, for as long as a slow machine may take.

use std::path::Path;
use std::time::Duration;

use ratchet::clock::Clock;
use ratchet::store::dir::Dir;

/// Panics with `what` where it never holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = Clock::system();
    while !holds() {
        assert!(clock.monotonic() < Duration::from_secs(60), "never: {what}");
        std::thread::yield_now();
    }
}

/// Nothing of a store in `home` is in the air; in `data/` every file that the index names is there,
/// and soon no other: what was let go is removed after the answer.
pub fn until_nothing_leaks(what: &str, home: &Path, store: &Dir) {
    nothing_in_the_air(what, home);
    until(&format!("{what}: the files are those that the index names"), || {
        let shards = std::fs::read_dir(home.join("data")).unwrap();
        shards.map(|shard| files_in(&shard.unwrap().path())).sum::<u64>()
            == store.count_files().unwrap()
    });
}

/// No body of a store in `home` is being written or waits to be moved to its place.
pub fn nothing_in_the_air(what: &str, home: &Path) {
    assert_eq!(files_in(&home.join("incoming")), 0, "{what}: files stay in the air");
}

fn files_in(place: &Path) -> u64 {
    std::fs::read_dir(place).unwrap().count() as u64
}
