//! `ratchet serve` as a process: start, errors at start, and shutdown.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::process::{Gateway, PROGRAM, exports};

/// The command, in a directory of its own and with an empty environment.
fn serve(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .arg("serve")
        .args(args)
        .current_dir(home)
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Exit code and stderr of a gateway that does not start.
fn refused(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn without_settings_it_creates_a_store_and_a_key_in_the_working_directory() {
    let home = tempfile::tempdir().unwrap();
    let credentials = home.path().join("ratchet-data/credentials");
    let mut first_text = None;
    for _ in 0..2 {
        let log = fs::File::create(home.path().join("log")).unwrap();
        let mut command = serve(home.path(), &["--listen", "127.0.0.1:0"]);
        command.env("RATCHET_LOG_LEVEL", "trace").stderr(log);
        let gateway = Gateway::spawn(command);
        assert_eq!(fs::metadata(&credentials).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&credentials).unwrap();
        assert_eq!(
            first_text.get_or_insert_with(|| text.clone()),
            &text,
            "the key is created once"
        );
        // The client finds the gateway's key in the working directory, without configuration.
        let file = home.path().join("file");
        fs::write(&file, b"hello").unwrap();
        let mut client = Command::new(PROGRAM);
        client
            .args(["backup", "file", "s3://bucket/key", "--endpoint", &gateway.url])
            .current_dir(home.path())
            .env_clear();
        let output = client.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let logged = fs::read_to_string(home.path().join("log")).unwrap();
        check_pasted_lines(&logged, &gateway.url);
        let secret = text.lines().last().unwrap().rsplit(' ').next().unwrap();
        assert!(
            logged.contains("op=\"") && !logged.contains(secret),
            "the log has a secret or is incomplete: {logged}"
        );
        assert!(!logged.to_lowercase().contains("signature="), "a signature in the log: {logged}");
    }
}

/// The lines that begin with `export` work as they are, in a shell without anything else.
fn check_pasted_lines(logged: &str, url: &str) {
    let exports = exports(logged);
    let script = format!("set -eu\n{exports}\n{PROGRAM} ls s3:// --json");
    let mut shell = Command::new("sh");
    let path = std::env::var_os("PATH").unwrap();
    let output = shell.args(["-c", &script]).env_clear().env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{script}\n{output:?}");
    assert!(exports.contains(&format!("AWS_ENDPOINT_URL_S3={url}")), "{logged}");
}

#[test]
fn a_second_gateway_on_one_directory_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let _first = Gateway::spawn(serve(home.path(), &["--listen", "127.0.0.1:0"]));
    let (code, message) = refused(serve(home.path(), &["--listen", "127.0.0.1:0"]));
    assert_eq!(
        (code, message.contains("ratchet-data") && message.contains("another process")),
        (Some(2), true),
        "{message}"
    );
}

#[test]
fn the_error_for_a_port_in_use_names_it() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, message) = refused(serve(home.path(), &["--listen", &address]));
    assert_eq!(
        (code, message.contains(&address) && message.contains("--listen")),
        (Some(2), true),
        "{message}"
    );
    assert!(!home.path().join("ratchet-data").exists(), "a store or a key is left behind");
}

#[test]
fn the_error_for_an_invalid_setting_names_key_value_place_and_correction() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ratchet.toml");
    let with_file = |text: &str| {
        fs::write(&file, text).unwrap();
        refused(serve(home.path(), &["--config", "ratchet.toml"]))
    };
    let table = [
        (with_file("listen = \"nowhere\"\n"), ["ratchet.toml:1", "listen", "nowhere"]),
        (
            with_file("\nlisten_on = \"127.0.0.1:1\"\n"),
            ["ratchet.toml:2", "listen_on", "unknown key"],
        ),
        (with_file("lisen = \"127.0.0.1:1\"\n"), ["lisen", "did you mean \"listen\"?", ""]),
        (refused(serve(home.path(), &["--lisen", "x"])), ["--lisen", "'--listen'", ""]),
        (with_file("listen = \n"), ["ratchet.toml:1", "not TOML", ""]),
        (with_file("[[account]]\nname = \"UPPER\"\n"), ["ratchet.toml", "UPPER", ""]),
        (
            refused(serve(home.path(), &["--config", "absent.toml"])),
            ["absent.toml", "cannot be read", ""],
        ),
        (refused(serve(home.path(), &["--listen", "x"])), ["--listen", "\"x\"", "ADDRESS:PORT"]),
        (refused(serve(home.path(), &["--store", "ftp://x"])), ["--store", "ftp://x", "s3+http"]),
    ];
    for ((code, message), expected) in table {
        assert_eq!(code, Some(2), "{message}");
        assert!(expected.iter().all(|word| message.contains(word)), "{expected:?} in {message}");
    }
    let mut command = serve(home.path(), &[]);
    command.env("RATCHET_LISTEN", "y");
    let (code, message) = refused(command);
    assert_eq!(
        (code, message.contains("RATCHET_LISTEN") && message.contains("\"y\"")),
        (Some(2), true),
        "{message}"
    );
    let mut command = serve(home.path(), &[]);
    command.env("RATCHET_LSITEN", "127.0.0.1:0");
    let (code, message) = refused(command);
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("RATCHET_LSITEN"), "{message}");
    assert!(message.contains("did you mean RATCHET_LISTEN?"), "{message}");
    let mut command = serve(home.path(), &["--store", "s3+http://127.0.0.1:1"]);
    command.envs([("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")]);
    let (code, message) = refused(command);
    assert_eq!(
        (code, message.contains("RATCHET_ACCESS_KEY_ID")),
        (Some(2), true),
        "no account: {message}"
    );
}

#[test]
fn an_unreachable_store_is_exit_code_3() {
    let home = tempfile::tempdir().unwrap();
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command =
        serve(home.path(), &["--store", &format!("s3+http://{unused}"), "--listen", "127.0.0.1:0"]);
    command.envs([
        ("AWS_ACCESS_KEY_ID", "k"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_REGION", "us-east-1"),
    ]);
    command.envs([
        ("RATCHET_ACCESS_KEY_ID", "root"),
        ("RATCHET_SECRET_ACCESS_KEY", "0123456789abcdef"),
    ]);
    let (code, message) = refused(command);
    assert_eq!((code, message.contains("store")), (Some(3), true), "{message}");
}

#[test]
fn the_error_for_a_missing_bucket_reaches_an_account_without_admin() {
    let home = tempfile::tempdir().unwrap();
    let account = "[[account]]\nname = \"ops\"\n[[account.key]]\nid = \"root-key\"\nsecret = \"root-secret-root-secret\"\n\
                   [[account.grant]]\nbucket = \"mine\"\nprefix = \"a/\"\naccess = \"write\"\n";
    fs::write(home.path().join("ratchet.toml"), account).unwrap();
    let gateway = Gateway::spawn(serve(
        home.path(),
        &["--config", "ratchet.toml", "--listen", "127.0.0.1:0"],
    ));
    let file = home.path().join("file");
    fs::write(&file, b"hello").unwrap();
    let file = file.to_str().unwrap();
    for (target, word) in [
        ("s3://mine/a/b", "no bucket \"mine\""),
        ("s3://mine/b", "may not"),
        ("s3://other/a", "may not"),
    ] {
        let (code, message) = gateway.refused(&["backup", file, target]);
        assert_eq!(code, Some(1), "{message}");
        assert!(message.contains(word), "{target}: {message}");
    }
}

/// A request that is incomplete when SIGTERM arrives is served; then the process ends with code 0.
#[test]
fn requests_in_flight_finish_after_sigterm() {
    let home = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    // A head that arrives in two pieces is a request in flight; this one needs no signature.
    let mut slow = TcpStream::connect(gateway.address()).unwrap();
    slow.write_all(b"GET /_ratchet/v1/healthz HTTP/1.1\r\nhost: x\r\n").unwrap();
    let file = home.path().join("file");
    fs::write(&file, vec![7; 24 << 20]).unwrap();
    let args = [
        "backup",
        file.to_str().unwrap(),
        "s3://bucket/key",
        "--limit-rate",
        "12MiB",
        "--retry-for",
        "0",
    ];
    let mut client =
        gateway.client(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stored = || String::from_utf8(gateway.run(&["status", "s3://bucket/key"]).stdout).unwrap();
    while !["1 chunks stored", "2 chunks stored"].iter().any(|text| stored().contains(text)) {
        assert!(client.try_wait().unwrap().is_none(), "the client ended too early");
    }
    rustix::process::kill_process(gateway.pid(), rustix::process::Signal::TERM).unwrap();
    // The listener is closed first, so that no new connection is accepted.
    while TcpStream::connect(gateway.address()).is_ok() {}
    slow.write_all(b"\r\n").unwrap();
    let mut status_line = String::new();
    BufReader::new(&slow).read_line(&mut status_line).unwrap();
    assert_eq!(status_line, "HTTP/1.1 200 OK\r\n");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    assert_eq!(gateway.wait(), Some(0));
    client.wait().unwrap();
    // All acknowledged chunks are there.
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    assert!(
        gateway.json(&["backup", file.to_str().unwrap(), "s3://bucket/key"])["bytesSkipped"]
            .as_u64()
            > Some(0)
    );
}

#[test]
fn a_backup_over_tls_succeeds_and_a_certificate_without_key_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let path_of = |name: &str| home.path().join(name).display().to_string();
    fs::write(path_of("cert.pem"), key.cert.pem()).unwrap();
    fs::write(path_of("key.pem"), key.signing_key.serialize_pem()).unwrap();
    let settings = |certificate: &str, key: &str| {
        let mut command = serve(home.path(), &["--listen", "127.0.0.1:0"]);
        command.envs([
            ("RATCHET_SERVER_TLS_CERTIFICATE", path_of(certificate)),
            ("RATCHET_SERVER_TLS_KEY", path_of(key)),
        ]);
        command
    };
    let mut without_key = settings("cert.pem", "key.pem");
    without_key.env_remove("RATCHET_SERVER_TLS_KEY");
    let (code, message) = refused(without_key);
    assert_eq!((code, message.contains("server.tls_key")), (Some(2), true), "{message}");
    let (code, message) = refused(settings("cert.pem", "absent.pem"));
    assert_eq!((code, message.contains("absent.pem")), (Some(2), true), "{message}");
    let gateway = Gateway::spawn(settings("cert.pem", "key.pem"));
    assert!(gateway.url.starts_with("https://"), "{}", gateway.url);
    fs::write(home.path().join("file"), vec![3; 9 << 20]).unwrap();
    let back_up = |trusts_certificate: bool| {
        let mut client = Command::new(PROGRAM);
        client.args([
            "backup",
            "file",
            "s3://bucket/key",
            "--retry-for",
            "0",
            "--endpoint",
            &gateway.url,
        ]);
        client.current_dir(home.path()).env_clear();
        if trusts_certificate {
            client.env("AWS_CA_BUNDLE", path_of("cert.pem"));
        }
        client.output().unwrap()
    };
    assert_eq!(back_up(false).status.code(), Some(3), "the certificate is not trusted");
    let output = back_up(true);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn doctor_reports_what_a_store_guarantees() {
    let home = tempfile::tempdir().unwrap();
    for store in crate::support::process::stores(home.path()) {
        // Makes the embedded store; doctor does not.
        drop(Gateway::start(&store));
        let output =
            Command::new(PROGRAM).args(["doctor", "--store", &store, "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let checks = String::from_utf8(output.stdout).unwrap();
        let (required, optional): (Vec<_>, Vec<_>) =
            checks.lines().partition(|line| line.contains("\"weight\":\"required\""));
        assert!(
            required.len() >= 5 && required.iter().all(|line| line.contains("\"passed\":true")),
            "{checks}"
        );
        assert!(optional.len() >= 4, "{checks}");
        let all_passed = optional.iter().all(|line| line.contains("\"passed\":true"));
        assert!(
            all_passed || !store.starts_with("dir:"),
            "the embedded store passes every check: {checks}"
        );
    }
}

#[test]
fn doctor_asks_the_gateway() {
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    let output = gateway.run(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let checks = String::from_utf8(output.stdout).unwrap();
    let all_passed = checks.lines().all(|line| line.contains("\"passed\":true"));
    assert!(checks.lines().count() == 3 && all_passed, "{checks}");
    let mut wrong_key = gateway.client(&["doctor"]);
    let output = wrong_key.env("AWS_SECRET_ACCESS_KEY", "wrong-secret-wrong-secret").output();
    let output = output.unwrap();
    let checks = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), checks.contains("FAIL")), (Some(1), true), "{checks}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut nobody = gateway.client(&["doctor", "--store", "dir:nowhere"]);
    nobody.current_dir(home.path());
    let output = nobody.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "the store that is not there too: {output:?}");
    let url = format!("http://{free}");
    let credentials =
        [("AWS_ACCESS_KEY_ID", "unused"), ("AWS_SECRET_ACCESS_KEY", "unused-secret-unused")];
    let mut command = Command::new(PROGRAM);
    let output = command.args(["doctor", "--endpoint", &url]).envs(credentials).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}
