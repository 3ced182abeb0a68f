//! A gateway whose store key has only the rights that a gateway needs: it works, and the key
//! reaches nothing else.

use std::process::Command;

use crate::support::process::{self, KEY, same_bytes};
use crate::support::seaweedfs::{NARROW_BUCKETS, NARROW_KEY, SeaweedFs};

#[tokio::test]
async fn a_gateway_needs_only_the_objects_of_its_buckets() {
    let home = tempfile::tempdir().unwrap();
    let Some(seaweedfs) = SeaweedFs::start(&home.path().join("weed")).await else { return };
    for bucket in NARROW_BUCKETS.into_iter().chain(["others"]) {
        assert_eq!(seaweedfs.request("PUT", &format!("/{bucket}"), b"").await.unwrap().status, 200);
    }
    for (method, target) in [
        ("PUT", "/more"),
        ("GET", "/others?list-type=2"),
        ("PUT", "/others/k"),
        ("PUT", "/backups?policy"),
    ] {
        let response = seaweedfs.request_by(NARROW_KEY, method, target, b"").await.unwrap();
        assert_eq!(response.status, 403, "{method} {target}: {response:?}");
    }
    let store = format!("s3+http://{}", seaweedfs.address());
    let store_credentials = [
        ("AWS_ACCESS_KEY_ID", NARROW_KEY.0),
        ("AWS_SECRET_ACCESS_KEY", NARROW_KEY.1),
        ("AWS_REGION", "us-east-1"),
    ];
    let doctor = Command::new(process::PROGRAM)
        .args(["doctor", "--store", &store])
        .envs(store_credentials)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        doctor.status.success()
            && stdout.contains("ok    the gateway's key does not administer the store"),
        "{stdout}"
    );
    let mut command = Command::new(process::PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0", "--store", &store]).envs(store_credentials);
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
