//! A gateway with a key of the store that can do no more than it needs: it works, and with it
//! nobody gets further.

use std::process::Command;

use crate::chaos::weed::{NARROW_BUCKETS, NARROW_KEY, Weed};
use crate::process::{self, KEY, same_bytes};

#[tokio::test]
async fn a_gateway_needs_no_more_than_objects_of_its_buckets() {
    let home = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::start(&home.path().join("weed")).await else { return };
    for bucket in NARROW_BUCKETS.into_iter().chain(["others"]) {
        assert_eq!(weed.ask("PUT", &format!("/{bucket}"), b"").await.unwrap().0, 200);
    }
    for (method, target) in [
        ("PUT", "/more"),
        ("GET", "/others?list-type=2"),
        ("PUT", "/others/k"),
        ("PUT", "/backups?policy"),
    ] {
        let (status, text) = weed.ask_by(NARROW_KEY, method, target, b"").await.unwrap();
        assert_eq!(status, 403, "{method} {target}: {text}");
    }
    let store = format!("s3+http://{}", weed.address());
    let of_store = [
        ("AWS_ACCESS_KEY_ID", NARROW_KEY.0),
        ("AWS_SECRET_ACCESS_KEY", NARROW_KEY.1),
        ("AWS_REGION", "us-east-1"),
    ];
    let doctor = Command::new(process::PROGRAM)
        .args(["doctor", "--store", &store])
        .envs(of_store)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        doctor.status.success()
            && said.contains("ok    the gateway's key does not administer the store"),
        "{said}"
    );
    let mut command = Command::new(process::PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0", "--store", &store]).envs(of_store);
    command.envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)]);
    let gateway = process::Gateway::spawn(command);
    let (file, back) = (home.path().join("file"), home.path().join("back"));
    std::fs::write(&file, vec![7; 20 << 20]).unwrap();
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let stored = gateway.run(&["backup", &path(&file), "s3://backups/file"]);
    assert!(stored.status.success(), "{}", String::from_utf8_lossy(&stored.stderr));
    let restored = gateway.run(&["restore", "s3://backups/file", &path(&back)]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert!(same_bytes(&file, &back));
}
