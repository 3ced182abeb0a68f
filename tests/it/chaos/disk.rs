//! A gateway whose store runs out of room, embedded or SeaweedFS: what does not fit is refused with
//! a clear error, and once there is room the same processes carry on from the last recorded chunk.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ratchet::clock::Clock;

use crate::full_disk::SmallDisk;
use crate::process::Gateway;

use super::{FILE_BYTES, Place, Weed, make_files, program, restored, seed, stored};

const MIB: u64 = 1 << 20;
const CHUNK: u64 = 8 * MIB;

struct Room {
    place: Place,
    disk: SmallDisk,
    state: String,
    bucket: String,
}

impl Room {
    fn new(place: Place, disk: SmallDisk) -> Self {
        let [state, bucket] =
            ["s", "b"].map(|first| format!("{first}{}", Clock::system().random_id()));
        Self { place, disk, state, bucket }
    }

    fn serve(&self) -> Gateway {
        let mut serve = program("serve", &self.place.url(), &self.state);
        serve.args(["--listen", "127.0.0.1:0"]);
        self.place.key(&mut serve);
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
async fn a_full_disk_under_the_embedded_store_is_said_and_got_over() {
    let Some(disk) = SmallDisk::mount(160) else { return };
    let (seed, home) = (seed(), tempfile::tempdir().unwrap());
    let files = make_files(home.path(), &Clock::seeded(seed));
    let room = Room::new(Place::Directory(disk.path().join("store")), disk);
    let mut gateway = room.serve();
    let mut kept = 0;
    gateway.json(&["backup", files[0].to_str().unwrap(), &room.target("before")]);
    for round in 0..3 {
        let (file, target) = (&files[1], room.target(&format!("round{round}")));
        // Room for one chunk and a half, beside what bodies leave to the index.
        room.disk.fill(16 * MIB + CHUNK + CHUNK / 2);
        let full = backup(&gateway, file, &target, "60").output().unwrap();
        let told = String::from_utf8_lossy(&full.stderr);
        assert_eq!(full.status.code(), Some(1), "{told}");
        assert!(told.contains("make room"), "{told}");
        let before = stored(&gateway, &target).unwrap();
        assert_eq!(before, 1, "{told}");
        // To the last byte: also the index cannot grow.
        room.disk.fill(0);
        for at in 0..20 {
            backup(&gateway, file, &room.target(&format!("none{at}")), "0").output().unwrap();
        }
        assert!(
            restored(&gateway, &files[0], &room.target("before")),
            "what is there is read all the time"
        );
        if round == 2 {
            gateway.kill();
            gateway = room.serve();
        }
        assert_eq!(stored(&gateway, &target), Some(before), "what was recorded stays recorded");
        room.disk.clear();
        let report = gateway.json(&["backup", file.to_str().unwrap(), &target]);
        assert_eq!(report["bytesSkipped"], before * CHUNK, "{report}");
        assert!(restored(&gateway, file, &target), "seed {seed}: {target} is another file");
        kept += before;
    }
    println!(
        "disk: seed {seed} on dir, 3 times full, {kept} chunks recorded before and sent once, 3 files identical, 0 lost"
    );
}

#[tokio::test]
async fn a_full_disk_under_seaweedfs_is_said_and_got_over() {
    let Some(disk) = SmallDisk::mount(1024) else { return };
    let data = disk.path().join("weed");
    std::fs::create_dir(&data).unwrap();
    let Some(weed) = Weed::start(&data).await else { return };
    let (seed, home, clock) = (seed(), tempfile::tempdir().unwrap(), Clock::system());
    let files = make_files(home.path(), &Clock::seeded(seed));
    let room = Room::new(Place::Weed(Box::new(weed)), disk);
    let gateway = room.serve();
    gateway.json(&["backup", files[0].to_str().unwrap(), &room.target("before")]);
    let (file, target) = (&files[1], room.target("after"));
    room.disk.fill(CHUNK + CHUNK / 2);
    let full = backup(&gateway, file, &target, "3").output().unwrap();
    let told = String::from_utf8_lossy(&full.stderr);
    assert_eq!(full.status.code(), Some(1), "{told}");
    // SeaweedFS says 500 and no more.
    assert!(told.contains("make room") || told.contains("Retry-After"), "{told}");
    let before = stored(&gateway, &target).unwrap_or(0);
    room.disk.clear();
    // A volume server looks at its disk once a minute.
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
            restored(&gateway, file, &room.target(name)),
            "seed {seed}: {name} is another file"
        );
    }
    let told = told.trim();
    println!(
        "disk: seed {seed} on SeaweedFS, once full ({told}), {before} chunks recorded before, 2 files identical, 0 lost"
    );
}
