//! Access keys change while a gateway process runs: in its settings file and in a secret file.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::process::{Gateway, PROGRAM};
use crate::support::wait::until;

const SETTINGS: &str = "[[account]]\nname = \"ops\"\nroot = true\n[[account.key]]\nid = \"OPS1\"\nsecret_file = \"ops.secret\"\n";

/// Replaces a file atomically, as an operator or a tool that mounts secrets does.
fn replace(home: &Path, name: &str, text: &str) {
    fs::write(home.join("new"), text).unwrap();
    fs::rename(home.join("new"), home.join(name)).unwrap();
}

fn is_accepted(gateway: &Gateway, (id, secret): (&str, &str)) -> bool {
    let mut client = Command::new(PROGRAM);
    client.args(["ls", "s3://", "--endpoint", &gateway.url, "--retry-for", "0"]).env_clear();
    client.envs([
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
    ]);
    client.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn a_key_is_rotated_without_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let (first, second) = (("OPS1", "first-secret-0123456"), ("OPS1", "second-secret-0123456"));
    replace(home.path(), "ops.secret", first.1);
    replace(home.path(), "ratchet.toml", SETTINGS);
    let log = home.path().join("log");
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--config", "ratchet.toml", "--listen", "127.0.0.1:0"])
        .current_dir(home.path())
        .env_clear();
    command.stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let gateway = Gateway::spawn(command);
    let log_contains = |word: &str| fs::read_to_string(&log).unwrap().contains(word);
    assert!(is_accepted(&gateway, first) && !is_accepted(&gateway, second));

    replace(home.path(), "ops.secret", second.1);
    until("the new secret", || is_accepted(&gateway, second));
    assert!(!is_accepted(&gateway, first), "the old secret is no longer accepted");

    // Unusable accounts are logged, and the old ones stay in use.
    replace(home.path(), "ops.secret", "short");
    until("a warning in the log", || log_contains("is shorter than"));
    fs::remove_file(home.path().join("ops.secret")).unwrap();
    until("a warning in the log", || log_contains("cannot be read"));
    replace(home.path(), "ratchet.toml", "[[account]]\nnam = \"ops\"\n");
    until("a warning in the log", || log_contains("\\\"nam\\\"") || log_contains("\"nam\""));
    assert!(is_accepted(&gateway, second));

    // A second key in addition, then only that one.
    let key = "[[account.key]]\nid = \"OPS2\"\nsecret = \"third-secret-0123456\"\n";
    replace(home.path(), "ops.secret", second.1);
    replace(home.path(), "ratchet.toml", &format!("{SETTINGS}{key}"));
    until("a second key", || is_accepted(&gateway, ("OPS2", "third-secret-0123456")));
    assert!(is_accepted(&gateway, second));
    replace(
        home.path(),
        "ratchet.toml",
        &format!("[[account]]\nname = \"ops\"\nroot = true\n{key}"),
    );
    until("the end of the first key", || !is_accepted(&gateway, second));
    assert!(is_accepted(&gateway, ("OPS2", "third-secret-0123456")));
    let logged = fs::read_to_string(&log).unwrap();
    assert!(
        [first.1, second.1, "third-secret"].iter().all(|secret| !logged.contains(secret)),
        "the log contains a secret"
    );
    println!(
        "rotation: a secret, a file and a key changed while the gateway ran; 3 unusable ones changed nothing"
    );
}
