//! Backups are for everyone who may read their target, whichever account made them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::client::text;
use crate::support::gateway::{LIMITED, OTHER, READER, ROOT, settings, start};
use crate::support::lab::pattern;
use crate::support::process::{Gateway, PROGRAM};
use crate::support::request::{AccessKey, chunk_api};

const ACCOUNTS: &str = r#"
[[account]]
name = "ops"
root = true
[[account.key]]
id = "OPS"
secret = "ops-secret-0123456789"
[[account]]
name = "reader"
[[account.key]]
id = "READER"
secret = "reader-secret-0123456789"
[[account.grant]]
bucket = "bucket"
access = "read"
[[account]]
name = "peeker"
[[account.key]]
id = "PEEKER"
secret = "peeker-secret-0123456789"
[[account.grant]]
bucket = "bucket"
prefix = "other/"
access = "write"
"#;

fn serve(home: &Path, more: &[&str], log: &Path) -> Gateway {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0", "--store", "dir:store"]).args(more);
    command.current_dir(home).env_clear();
    command.stdin(Stdio::null()).stderr(fs::File::create(log).unwrap());
    Gateway::spawn(command)
}

/// Runs a client with the key of an account.
fn run(gateway: &Gateway, id: &str, args: &[&str]) -> Output {
    let secret = format!("{}-secret-0123456789", id.to_lowercase());
    let mut command = gateway.client(args);
    command.envs([("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", &secret)]);
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn who_may_read_the_bucket_lists_restores_and_verifies() {
    let home = tempfile::tempdir().unwrap();
    let (file, log) = (home.path().join("file"), home.path().join("log"));
    fs::write(&file, pattern((8 << 20) + 5, 1)).unwrap();
    // Without accounts the gateway makes a key, of the account root.
    let gateway = serve(home.path(), &[], &log);
    let mut backup = gateway.client(&["backup", text(&file), "s3://bucket/key", "--json"]);
    backup.env_clear().current_dir(home.path());
    backup.env("AWS_SHARED_CREDENTIALS_FILE", "store/credentials").env("AWS_PROFILE", "ratchet");
    let made = backup.output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let id = made["backupId"].as_str().unwrap();
    drop(gateway);

    // Then accounts are added: the key is retired, and that is said.
    fs::write(home.path().join("ratchet.toml"), ACCOUNTS).unwrap();
    let gateway = serve(home.path(), &["--config", "ratchet.toml"], &log);
    let said = fs::read_to_string(&log).unwrap();
    let credentials = fs::read_to_string(home.path().join("store/credentials")).unwrap();
    let (_, rest) = credentials.split_once("aws_access_key_id = ").unwrap();
    let (key, _) = rest.split_once('\n').unwrap();
    assert!(said.contains("does not work any more") && said.contains(key), "{said}");
    assert!(said.contains("root = true") && said.contains("store/credentials"), "{said}");

    for account in ["OPS", "READER"] {
        let listed = run(&gateway, account, &["ls", "s3://bucket", "--json"]);
        let row: Value = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!(
            (&row["state"], &row["backup"]["backupId"], &row["backup"]["account"]),
            (&json!("complete"), &json!(id), &json!("root")),
            "{row}"
        );
        let back = home.path().join(account);
        let restored = run(&gateway, account, &["restore", "s3://bucket/key", text(&back)]);
        assert!(restored.status.success(), "{}", stderr(&restored));
        assert!(fs::read(&back).unwrap() == fs::read(&file).unwrap());
        let verified = run(&gateway, account, &["verify", "s3://bucket/key", "--json"]);
        let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert_eq!((&verified["backupId"], &verified["bad"]), (&json!(id), &json!([])));
        for name in ["s3://bucket/key", id] {
            let status = run(&gateway, account, &["status", name, "--json"]);
            let status: Value = serde_json::from_slice(&status.stdout).unwrap();
            assert_eq!((&status["backupId"], &status["stored"]), (&json!(id), &json!(2)));
        }
    }
    let known = run(&gateway, "OPS", &["backup", text(&file), "s3://bucket/key", "--json"]);
    let known: Value = serde_json::from_slice(&known.stdout).unwrap();
    assert_eq!((&known["backupId"], &known["bytesSent"]), (&json!(id), &json!(0)));
    for refused in [
        &["restore", "s3://bucket/key", "-"][..],
        &["verify", "s3://bucket/key"],
        &["ls", "s3://bucket"],
        &["status", id],
    ] {
        let output = run(&gateway, "PEEKER", refused);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{refused:?}");
    }
    let stderr = run(&gateway, "PEEKER", &["ls", "s3://bucket"]).stderr;
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stderr.contains("has no grant for this"), "{stderr}");
    assert!(stderr.contains("(request "), "{stderr}");
}

#[tokio::test]
async fn the_same_id_of_two_accounts_names_two_backups() {
    let gateway = start(settings()).await;
    let new = |key: &str| json!({"bucket": "bucket", "key": key, "chunkSize": 1});
    let create = |key: &str, by: AccessKey| {
        chunk_api("PUT", "/backups/same").json(&new(key)).signed_by(Some(by))
    };
    let get = |path: &str, by: AccessKey| chunk_api("GET", path).signed_by(Some(by));
    assert_eq!(create("mine/a", LIMITED).send(&gateway).await.status, 201);
    assert_eq!(create("b", ROOT).send(&gateway).await.status, 201);
    let table = [
        ("/backups/same", ROOT, Some("b")),
        ("/backups/same?account=limited", ROOT, Some("mine/a")),
        ("/backups/same", LIMITED, Some("mine/a")),
        ("/backups/same?account=root", LIMITED, None),
        ("/backups/same?account=root&view=missing", READER, Some("")),
        ("/backups/same?account=limited", READER, Some("mine/a")),
        ("/backups/same?account=other", READER, None),
        // Without an account: by the name of the account.
        ("/backups/same", READER, Some("mine/a")),
    ];
    for (path, by, key) in table {
        let response = get(path, by).send(&gateway).await;
        match key {
            None => assert_eq!(response.problem(), "no-such-backup", "{path} {by:?}"),
            Some("") => assert_eq!(response.status, 200, "{path} {by:?}"),
            Some(key) => assert_eq!(response.json()["key"], *key, "{path} {by:?}"),
        }
    }
    for account in ["", "../root", "a/b", "A"] {
        let path = format!("/backups/same?account={}", account.replace('/', "%2F"));
        assert_eq!(get(&path, ROOT).send(&gateway).await.problem(), "bad-request", "{account}");
    }
    // Of another account a backup is read, not changed.
    for (method, path) in
        [("DELETE", "/backups/id-of-root"), ("POST", "/backups/id-of-root/finalize")]
    {
        let create = chunk_api("PUT", "/backups/id-of-root").json(&new("c"));
        assert!(create.send(&gateway).await.status < 300);
        let response = chunk_api(method, path).signed_by(Some(OTHER)).send(&gateway).await;
        assert_eq!((response.status, response.problem().as_str()), (403, "forbidden"), "{path}");
    }
}

#[tokio::test]
async fn pages_go_through_all_accounts() {
    let gateway = start(settings()).await;
    let mut expected = Vec::new();
    for (account, by) in [("other", OTHER), ("limited", LIMITED), ("root", ROOT)] {
        for index in 0..3 {
            let new = json!({
                "bucket": "bucket", "key": format!("mine/{account}-{index}"), "chunkSize": 1,
            });
            let create = chunk_api("POST", "/backups").json(&new).signed_by(Some(by));
            assert_eq!(create.send(&gateway).await.status, 201);
            expected.push(format!("mine/{account}-{index}"));
        }
    }
    for limit in [1, 2, 3, 4, 100] {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/backups?bucket=bucket&limit={limit}{after}");
            let page = chunk_api("GET", &path).signed_by(Some(OTHER)).send(&gateway).await.json();
            let backups = page["backups"].as_array().unwrap();
            assert!(backups.len() <= limit);
            found.extend(backups.iter().map(|one| one["key"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={}", next.replace('%', "%25").replace('/', "%2F"));
        }
        // Its own first, then the other accounts by name.
        assert_eq!(found, expected, "{limit}");
    }
}
