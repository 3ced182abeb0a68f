//! How long the client tries again: each command, whatever the failure is; and what a directory's
//! summary says when the gateway goes away.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use crate::support::client::text;
use crate::support::process::{Gateway, KEY, PROGRAM};

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn client(address: SocketAddr, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).args(["--endpoint", &format!("http://{address}")]);
    command.envs([("AWS_ACCESS_KEY_ID", KEY.0), ("AWS_SECRET_ACCESS_KEY", KEY.1)]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn every_command_waits_for_a_gateway_that_is_not_there_yet() {
    let home = tempfile::tempdir().unwrap();
    let store = format!("dir:{}", home.path().join("store").display());
    let file = home.path().join("file");
    fs::write(&file, b"content").unwrap();
    let backup = Gateway::start(&store);
    backup.json(&["backup", text(&file), "s3://bucket/key"]);
    drop(backup);
    let back = home.path().join("back");
    let commands: [&[&str]; 5] = [
        &["backup", text(&file), "s3://bucket/key"],
        &["restore", "s3://bucket/key", text(&back)],
        &["verify", "s3://bucket/key"],
        &["ls", "s3://bucket"],
        &["status", "s3://bucket/key"],
    ];
    let address = free_address();
    let mut waiting = Vec::new();
    for args in commands {
        let mut child = client(address, args).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.contains("cannot reach") && line.contains("trying again for 9 min"), "{line}");
        assert!(line.contains("refused"), "{line}");
        waiting.push((args, child, stderr));
    }
    let mut serve = Command::new(PROGRAM);
    serve.args(["serve", "--listen", &address.to_string(), "--store", &store]);
    serve.envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)]);
    serve.stderr(Stdio::null());
    let _gateway = Gateway::spawn(serve);
    for (args, mut child, mut stderr) in waiting {
        let code = child.wait().unwrap().code();
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(code, Some(0), "{args:?}: {rest}");
        assert!(rest.contains("responds again"), "{rest}");
    }
    assert_eq!(fs::read(&back).unwrap(), b"content");
}

#[test]
fn a_directory_is_summed_up_when_the_gateway_is_away() {
    let home = tempfile::tempdir().unwrap();
    let from = home.path().join("from");
    fs::create_dir(&from).unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        fs::write(from.join(name), name).unwrap();
    }
    let args = ["backup", text(&from), "s3://bucket/tree/", "--retry-for", "1", "--jobs", "1"];
    let output = client(free_address(), &args).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stdout.contains("0 sent, 0 there already, 5 skipped, 0 left out, 1 failed"),
        "{stdout}{stderr}"
    );
}

#[test]
fn a_silent_connection_is_given_up_before_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let child = client(address, &["ls", "s3://bucket", "--retry-for", "0"]).spawn().unwrap();
    // The connection is taken, and nothing is ever sent on it.
    let (_connection, _) = listener.accept().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("no byte came or went for 30 s"), "{stderr}");
}
