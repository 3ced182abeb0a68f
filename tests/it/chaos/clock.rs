//! A gateway whose clock jumps, by minutes under its clients' hands and by days between them. The
//! library libfaketime stands between the program and its clock; `scripts/debian.sh libfaketime`
//! unpacks it below `target/debian`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ratchet::clock::Clock;

use crate::process::Gateway;

use super::{Place, Weed, make_files, program, restored, seed, stored};

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

/// A clock that a process is given instead of the machine's.
struct FalseClock {
    library: PathBuf,
    home: tempfile::TempDir,
}

impl FalseClock {
    fn new() -> Option<Self> {
        let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian/usr/lib");
        let places = std::fs::read_dir(libraries).into_iter().flatten().flatten();
        let found = places
            .map(|place| place.path().join("faketime/libfaketimeMT.so.1"))
            .find(|path| path.exists());
        let Some(library) = found else {
            println!("SKIP a clock that jumps: scripts/debian.sh libfaketime has not been run");
            return None;
        };
        let clock = Self { library, home: tempfile::tempdir().unwrap() };
        clock.set(0);
        Some(clock)
    }

    /// So many seconds before or after the machine's.
    fn set(&self, offset_s: i64) {
        let (next, now) = (self.home.path().join("next"), self.home.path().join("now"));
        std::fs::write(&next, format!("{offset_s:+}")).unwrap();
        std::fs::rename(next, now).unwrap();
    }

    fn give_to(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.home.path().join("now"));
        command.envs([
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ]);
    }
}

struct Room {
    clock: FalseClock,
    place: Place,
    state: String,
    bucket: String,
}

impl Room {
    fn new(clock: FalseClock, place: Place) -> Self {
        let [state, bucket] =
            ["s", "b"].map(|first| format!("{first}{}", Clock::system().random_id()));
        Self { clock, place, state, bucket }
    }

    fn serve(&self) -> Gateway {
        let mut serve = program("serve", &self.place.url(), &self.state);
        // It sweeps as often as it can.
        serve
            .args(["--listen", "127.0.0.1:0"])
            .envs([("RATCHET_GC_ENABLED", "true"), ("RATCHET_GC_EVERY_S", "1")]);
        self.place.key(&mut serve);
        self.clock.give_to(&mut serve);
        Gateway::spawn(serve)
    }

    fn target(&self, name: &str) -> String {
        format!("s3://{}/{name}", self.bucket)
    }
}

fn backup(gateway: &Gateway, file: &Path, target: &str, rate: &str) -> Child {
    let words = ["backup", file.to_str().unwrap(), target, "--jobs", "1", "--limit-rate", rate];
    gateway.client(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn backups_go_on_while_the_clock_jumps_by_minutes() {
    let Some(clock) = FalseClock::new() else { return };
    let (seed, home) = (seed(), tempfile::tempdir().unwrap());
    let random = Clock::seeded(seed);
    let room = Room::new(clock, Place::Directory(home.path().join("store")));
    let gateway = room.serve();
    let files = make_files(home.path(), &random);
    let (mut jumps, mut done) = (0, 0);
    while jumps < 30 {
        let (file, target) = (&files[done % files.len()], room.target(&format!("file{done}")));
        let mut client = backup(&gateway, file, &target, "40M");
        let ended = loop {
            if let Some(ended) = client.try_wait().unwrap() {
                break ended;
            }
            random.pause(Duration::from_millis(20)).await;
            if random.number_below(5) == 0 {
                // Within what a signature's time may be off by.
                room.clock.set(random.number_below(20) as i64 * MINUTE - 10 * MINUTE);
                jumps += 1;
            }
        };
        assert!(ended.success(), "seed {seed}: {ended}");
        assert!(restored(&gateway, file, &target), "seed {seed}: {target} is another file");
        done += 1;
    }
    println!(
        "clock: seed {seed}, {jumps} jumps of up to 20 minutes, {done} files identical, 0 lost"
    );
}

#[tokio::test]
async fn a_clock_that_jumps_by_days_loses_nothing_that_is_under_way() {
    let home = tempfile::tempdir().unwrap();
    let weed = home.path().join("weed");
    std::fs::create_dir(&weed).unwrap();
    let mut places = vec![Place::Directory(home.path().join("store"))];
    places.extend(Weed::start(&weed).await.map(|weed| Place::Weed(Box::new(weed))));
    let (seed, mut jumps) = (seed(), 0);
    let random = Clock::seeded(seed);
    let files = make_files(home.path(), &random);
    for place in places {
        let Some(clock) = FalseClock::new() else { return };
        let room = Room::new(clock, place);
        let mut gateway = room.serve();
        for days in [30, -30, 400] {
            let (file, target) = (&files[0], room.target(&format!("after{days}")));
            let mut client = backup(&gateway, file, &target, "16M");
            while stored(&gateway, &target).unwrap_or(0) == 0 {
                assert!(client.try_wait().unwrap().is_none(), "it was to be cut off");
            }
            room.clock.set(days * DAY);
            client.wait().unwrap();
            let (code, told) =
                gateway.refused(&["backup", file.to_str().unwrap(), &target, "--retry-for", "0"]);
            assert_eq!(code, Some(1), "{told}");
            assert!(told.contains("clock"), "{told}");
            // It sweeps with the wrong clock, before and after a start.
            gateway.kill();
            if matches!(room.place, Place::Directory(_)) {
                gateway = room.serve();
                random.pause(Duration::from_millis(1500)).await;
                room.clock.set(0);
            } else {
                // The store refuses signatures of another day.
                room.clock.set(0);
                gateway = room.serve();
            }
            let before = stored(&gateway, &target).unwrap();
            let report = gateway.json(&["backup", file.to_str().unwrap(), &target]);
            let skipped = report["bytesSkipped"].as_u64().unwrap();
            assert!(
                before > 0 && skipped >= before * (8 << 20),
                "day {days}: {before} chunks were there, {report}"
            );
            assert!(restored(&gateway, file, &target), "day {days}");
            jumps += 1;
        }
        println!(
            "clock: seed {seed} on {}, {jumps} jumps of 30 to 400 days, 0 lost",
            room.place.url()
        );
    }
}
