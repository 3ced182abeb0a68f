//! A gateway whose clock jumps: by minutes during backups, and by days between them.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use ratchet::clock::Clock;

use crate::support::fake_clock::FakeClock;
use crate::support::process::Gateway;
use crate::support::seaweedfs::SeaweedFs;

use super::{Backend, make_files, restores_to, seed, store_command, stored_chunks};

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

struct Setup {
    clock: FakeClock,
    backend: Backend,
    state: String,
    bucket: String,
}

impl Setup {
    fn new(clock: FakeClock, backend: Backend) -> Self {
        let [state, bucket] =
            ["s", "b"].map(|first| format!("{first}{}", Clock::system().random_id()));
        Self { clock, backend, state, bucket }
    }

    fn serve(&self) -> Gateway {
        let mut serve = store_command("serve", &self.backend.url(), &self.state);
        // Sweeps as often as the settings allow.
        serve
            .args(["--listen", "127.0.0.1:0"])
            .envs([("RATCHET_GC_ENABLED", "true"), ("RATCHET_GC_EVERY_S", "1")]);
        self.backend.add_credentials(&mut serve);
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
async fn backups_continue_while_the_clock_jumps_by_minutes() {
    let Some(clock) = FakeClock::new() else { return };
    let (seed, home) = (seed(), tempfile::tempdir().unwrap());
    let random = Clock::seeded(seed);
    let setup = Setup::new(clock, Backend::Directory(home.path().join("store")));
    let gateway = setup.serve();
    let files = make_files(home.path(), &random);
    let (mut jumps, mut done) = (0, 0);
    while jumps < 30 {
        let (file, target) = (&files[done % files.len()], setup.target(&format!("file{done}")));
        let mut client = backup(&gateway, file, &target, "40M");
        let ended = loop {
            if let Some(ended) = client.try_wait().unwrap() {
                break ended;
            }
            random.pause(Duration::from_millis(20)).await;
            if random.number_below(5) == 0 {
                // Within the allowed clock skew of a signature.
                setup.clock.set(random.number_below(20) as i64 * MINUTE - 10 * MINUTE);
                jumps += 1;
            }
        };
        assert!(ended.success(), "seed {seed}: {ended}");
        assert!(
            restores_to(&gateway, file, &target),
            "seed {seed}: {target} differs from its file"
        );
        done += 1;
    }
    println!(
        "clock: seed {seed}, {jumps} jumps of up to 20 minutes, {done} files identical, 0 lost"
    );
}

#[tokio::test]
async fn a_clock_jump_of_days_loses_no_backup_in_progress() {
    let home = tempfile::tempdir().unwrap();
    let seaweedfs = home.path().join("weed");
    std::fs::create_dir(&seaweedfs).unwrap();
    let mut backends = vec![Backend::Directory(home.path().join("store"))];
    backends.extend(
        SeaweedFs::start(&seaweedfs).await.map(|seaweedfs| Backend::SeaweedFs(Box::new(seaweedfs))),
    );
    let (seed, mut jumps) = (seed(), 0);
    let random = Clock::seeded(seed);
    let files = make_files(home.path(), &random);
    for backend in backends {
        let Some(clock) = FakeClock::new() else { return };
        let setup = Setup::new(clock, backend);
        let mut gateway = setup.serve();
        for days in [30, -30, 400] {
            let (file, target) = (&files[0], setup.target(&format!("after{days}")));
            let mut client = backup(&gateway, file, &target, "16M");
            while stored_chunks(&gateway, &target).unwrap_or(0) == 0 {
                assert!(
                    client.try_wait().unwrap().is_none(),
                    "the backup ended before the clock jumped"
                );
            }
            setup.clock.set(days * DAY);
            client.wait().unwrap();
            let (code, stderr) =
                gateway.refused(&["backup", file.to_str().unwrap(), &target, "--retry-for", "0"]);
            assert_eq!(code, Some(1), "{stderr}");
            assert!(stderr.contains("clock"), "{stderr}");
            // The gateway sweeps with the wrong clock, before and after its restart.
            gateway.kill();
            if matches!(setup.backend, Backend::Directory(_)) {
                gateway = setup.serve();
                random.pause(Duration::from_millis(1500)).await;
                setup.clock.set(0);
            } else {
                // The store refuses signatures with a date of another day.
                setup.clock.set(0);
                gateway = setup.serve();
            }
            let before = stored_chunks(&gateway, &target).unwrap();
            let report = gateway.json(&["backup", file.to_str().unwrap(), &target]);
            let skipped = report["bytesSkipped"].as_u64().unwrap();
            assert!(
                before > 0 && skipped >= before * (8 << 20),
                "day {days}: {before} chunks were stored, {report}"
            );
            assert!(restores_to(&gateway, file, &target), "day {days}");
            jumps += 1;
        }
        println!(
            "clock: seed {seed} on {}, {jumps} jumps of 30 to 400 days, 0 lost",
            setup.backend.url()
        );
    }
}
