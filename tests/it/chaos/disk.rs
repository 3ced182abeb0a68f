//! A gateway whose store, embedded or SeaweedFS, runs out of disk space: what does not fit is
//! refused with a clear error, and once there is space the same processes continue after the last
//! recorded chunk.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ratchet::clock::Clock;

use crate::support::process::Gateway;
use crate::support::seaweedfs::SeaweedFs;
use crate::support::small_disk::SmallDisk;

use super::{Backend, FILE_BYTES, make_files, restores_to, seed, store_command, stored_chunks};

const MIB: u64 = 1 << 20;
const CHUNK: u64 = 8 * MIB;

struct Setup {
    backend: Backend,
    disk: SmallDisk,
    state: String,
    bucket: String,
}

impl Setup {
    fn new(backend: Backend, disk: SmallDisk) -> Self {
        let [state, bucket] =
            ["s", "b"].map(|first| format!("{first}{}", Clock::system().random_id()));
        Self { backend, disk, state, bucket }
    }

    fn serve(&self) -> Gateway {
        let mut serve = store_command("serve", &self.backend.url(), &self.state);
        serve.args(["--listen", "127.0.0.1:0"]);
        self.backend.add_credentials(&mut serve);
        Gateway::spawn(serve)
    }

    fn target(&self, name: &str) -> String {
        format!("s3://{}/{name}", self.bucket)
    }
}

fn backup(gateway: &Gateway, file: &Path, target: &str, retry_for: &str) -> Command {
    let words = [
        "backup",
        file.to_str().unwrap(),
        target,
        "--jobs",
        "1",
        "--json",
        "--retry-for",
        retry_for,
    ];
    gateway.client(&words)
}

#[tokio::test]
async fn the_embedded_store_reports_a_full_disk_and_recovers() {
    let Some(disk) = SmallDisk::mount(160) else { return };
    let (seed, home) = (seed(), tempfile::tempdir().unwrap());
    let files = make_files(home.path(), &Clock::seeded(seed));
    let setup = Setup::new(Backend::Directory(disk.path().join("store")), disk);
    let mut gateway = setup.serve();
    let mut kept = 0;
    gateway.json(&["backup", files[0].to_str().unwrap(), &setup.target("before")]);
    for round in 0..3 {
        let (file, target) = (&files[1], setup.target(&format!("round{round}")));
        // Space for one and a half chunks, besides the reserve that bodies leave for the index.
        setup.disk.fill(16 * MIB + CHUNK + CHUNK / 2);
        let full = backup(&gateway, file, &target, "60").output().unwrap();
        let stderr = String::from_utf8_lossy(&full.stderr);
        assert_eq!(full.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("free space"), "{stderr}");
        let before = stored_chunks(&gateway, &target).unwrap();
        assert_eq!(before, 1, "{stderr}");
        // Not a byte is free, so the index cannot grow either.
        setup.disk.fill(0);
        for at in 0..20 {
            backup(&gateway, file, &setup.target(&format!("none{at}")), "0").output().unwrap();
        }
        assert!(
            restores_to(&gateway, &files[0], &setup.target("before")),
            "a complete backup is readable while the disk is full"
        );
        if round == 2 {
            gateway.kill();
            gateway = setup.serve();
        }
        assert_eq!(stored_chunks(&gateway, &target), Some(before), "recorded chunks stay recorded");
        setup.disk.clear();
        let report = gateway.json(&["backup", file.to_str().unwrap(), &target]);
        assert_eq!(report["bytesSkipped"], before * CHUNK, "{report}");
        assert!(
            restores_to(&gateway, file, &target),
            "seed {seed}: {target} differs from its file"
        );
        kept += before;
    }
    println!(
        "disk: seed {seed} on dir, 3 times full, {kept} chunks recorded before and sent once, 3 files identical, 0 lost"
    );
}

#[tokio::test]
async fn seaweedfs_reports_a_full_disk_and_recovers() {
    let Some(disk) = SmallDisk::mount(1024) else { return };
    let data = disk.path().join("weed");
    std::fs::create_dir(&data).unwrap();
    let Some(seaweedfs) = SeaweedFs::start(&data).await else { return };
    let (seed, home, clock) = (seed(), tempfile::tempdir().unwrap(), Clock::system());
    let files = make_files(home.path(), &Clock::seeded(seed));
    let setup = Setup::new(Backend::SeaweedFs(Box::new(seaweedfs)), disk);
    let gateway = setup.serve();
    gateway.json(&["backup", files[0].to_str().unwrap(), &setup.target("before")]);
    let (file, target) = (&files[1], setup.target("after"));
    setup.disk.fill(CHUNK + CHUNK / 2);
    let full = backup(&gateway, file, &target, "3").output().unwrap();
    let stderr = String::from_utf8_lossy(&full.stderr);
    assert_eq!(full.status.code(), Some(1), "{stderr}");
    // SeaweedFS answers 500 without a reason.
    assert!(stderr.contains("free space") || stderr.contains("Retry-After"), "{stderr}");
    let before = stored_chunks(&gateway, &target).unwrap_or(0);
    setup.disk.clear();
    // A volume server checks its disk once a minute.
    let mut client = backup(&gateway, file, &target, "600").stdout(Stdio::piped()).spawn().unwrap();
    while client.try_wait().unwrap().is_none() {
        clock.pause(Duration::from_millis(100)).await;
    }
    let report: serde_json::Value =
        serde_json::from_slice(&client.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(report["size"], FILE_BYTES, "{report}");
    assert!(
        report["bytesSkipped"].as_u64().unwrap() >= before * CHUNK,
        "{before} chunks were recorded: {report}"
    );
    for (file, name) in [(&files[0], "before"), (file, "after")] {
        assert!(
            restores_to(&gateway, file, &setup.target(name)),
            "seed {seed}: {name} differs from its file"
        );
    }
    let stderr = stderr.trim();
    println!(
        "disk: seed {seed} on SeaweedFS, once full ({stderr}), {before} chunks recorded before, 2 files identical, 0 lost"
    );
}
