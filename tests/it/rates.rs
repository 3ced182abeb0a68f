//! `--limit-rate`: of commands that read, and by the time of the day.

use std::time::{Duration, UNIX_EPOCH};

use ratchet::clock::Clock;

use crate::support::client::text;
use crate::support::lab::pattern;
use crate::support::process::Gateway;

const MIB: usize = 1 << 20;
const DAY_S: i64 = 86_400;

/// A gateway with an object of four chunks.
fn with_object(home: &tempfile::TempDir) -> Gateway {
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    let file = home.path().join("file");
    std::fs::write(&file, pattern(4 * MIB, 1)).unwrap();
    gateway.json(&["backup", text(&file), "s3://bucket/key", "--chunk-size", "1MiB"]);
    gateway
}

#[test]
fn commands_that_read_keep_to_the_rate() {
    let home = tempfile::tempdir().unwrap();
    let gateway = with_object(&home);
    let (clock, to) = (Clock::system(), home.path().join("to"));
    let commands: [&[&str]; 3] = [
        &["restore", "s3://bucket/key", text(&to), "--limit-rate", "2M"],
        &["verify", "s3://bucket/key", "--limit-rate", "2M"],
        &["cat", "s3://bucket/key", "--limit-rate", "2M"],
    ];
    for args in commands {
        let began = clock.monotonic();
        assert!(gateway.run(args).status.success());
        // The first chunk comes at once, the others half a second apart.
        let took = clock.monotonic() - began;
        assert!(took >= Duration::from_millis(1490), "{args:?}: {took:?}");
    }
    assert_eq!(std::fs::read(to).unwrap(), pattern(4 * MIB, 1));
}

/// The variable TZ of a place where it is now so many seconds before 8:00.
fn zone_before_eight(seconds: i64) -> String {
    let now = Clock::system().wall().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap() % DAY_S;
    let mut west = now - (8 * 3600 - seconds);
    if west > DAY_S / 2 {
        west -= DAY_S;
    } else if west < -DAY_S / 2 {
        west += DAY_S;
    }
    let (sign, west) = (if west < 0 { "-" } else { "" }, west.abs());
    format!("XXX{sign}{:02}:{:02}:{:02}", west / 3600, west / 60 % 60, west % 60)
}

#[test]
fn a_rate_changes_while_a_command_runs() {
    let home = tempfile::tempdir().unwrap();
    let gateway = with_object(&home);
    let clock = Clock::system();
    let schedule = ["cat", "s3://bucket/key", "--limit-rate", "06:00=100K,08:00=off"];
    let mut command = gateway.client(&schedule);
    command.env("TZ", zone_before_eight(3));
    let began = clock.monotonic();
    let output = command.output().unwrap();
    let took = clock.monotonic() - began;
    assert!(output.stdout == pattern(4 * MIB, 1), "{output:?}");
    // The second chunk would come after ten seconds, and does at 8:00.
    assert!((1900..9000).contains(&took.as_millis()), "{took:?}");
    for wrong in ["8=1M", "08:00=1M,08:00=2M", "08:00=x", "-1"] {
        let args = ["cat", "s3://bucket/key", &format!("--limit-rate={wrong}")];
        assert_eq!(gateway.refused(&args).0, Some(2), "{wrong}");
    }
}
