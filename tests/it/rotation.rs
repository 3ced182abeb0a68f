//! Access keys change while a gateway runs: a real process, its settings file and a file of a
//! secret.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Gateway, PROGRAM};
use crate::wait::until;

const SETTINGS: &str = "[[account]]\nname = \"ops\"\nroot = true\n[[account.key]]\nid = \"OPS1\"\nsecret_file = \"ops.secret\"\n";

/// As an operator, or a tool that mounts secrets, replaces a file: whole.
fn write(home: &Path, name: &str, text: &str) {
    fs::write(home.join("new"), text).unwrap();
    fs::rename(home.join("new"), home.join(name)).unwrap();
}

fn is_let_in(gateway: &Gateway, (id, secret): (&str, &str)) -> bool {
    let mut client = Command::new(PROGRAM);
    client.args(["ls", "s3://bucket/", "--endpoint", &gateway.url, "--retry-for", "0"]).env_clear();
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
    write(home.path(), "ops.secret", first.1);
    write(home.path(), "ratchet.toml", SETTINGS);
    let log = home.path().join("log");
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--config", "ratchet.toml", "--listen", "127.0.0.1:0"])
        .current_dir(home.path())
        .env_clear();
    command.stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let gateway = Gateway::spawn(command);
    let said = |word: &str| fs::read_to_string(&log).unwrap().contains(word);
    assert!(is_let_in(&gateway, first) && !is_let_in(&gateway, second));

    write(home.path(), "ops.secret", second.1);
    until("the new secret", || is_let_in(&gateway, second));
    assert!(!is_let_in(&gateway, first), "the old secret is good no more");

    // What cannot be used leaves the old ones in place and says why.
    write(home.path(), "ops.secret", "short");
    until("a complaint", || said("is shorter than"));
    fs::remove_file(home.path().join("ops.secret")).unwrap();
    until("a complaint", || said("cannot be read"));
    write(home.path(), "ratchet.toml", "[[account]]\nnam = \"ops\"\n");
    until("a complaint", || said("\\\"nam\\\"") || said("\"nam\""));
    assert!(is_let_in(&gateway, second));

    // A second key beside it, and then that one alone.
    let key = "[[account.key]]\nid = \"OPS2\"\nsecret = \"third-secret-0123456\"\n";
    write(home.path(), "ops.secret", second.1);
    write(home.path(), "ratchet.toml", &format!("{SETTINGS}{key}"));
    until("a second key", || is_let_in(&gateway, ("OPS2", "third-secret-0123456")));
    assert!(is_let_in(&gateway, second));
    write(home.path(), "ratchet.toml", &format!("[[account]]\nname = \"ops\"\nroot = true\n{key}"));
    until("the first key's end", || !is_let_in(&gateway, second));
    assert!(is_let_in(&gateway, ("OPS2", "third-secret-0123456")));
    let logged = fs::read_to_string(&log).unwrap();
    assert!(
        [first.1, second.1, "third-secret"].iter().all(|secret| !logged.contains(secret)),
        "a secret in the log"
    );
    println!(
        "rotation: a secret, a file and a key changed while the gateway ran; 3 bad ones left it as it was"
    );
}
