//! `ratchet serve` as a process: how it starts, what it says when it cannot, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Gateway, PROGRAM};

/// The command in a directory of its own, without any settings from outside.
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
    let told = command.output().unwrap();
    assert!(told.stdout.is_empty(), "{told:?}");
    (told.status.code(), String::from_utf8(told.stderr).unwrap())
}

#[test]
fn without_settings_it_keeps_a_store_and_a_key_here() {
    let home = tempfile::tempdir().unwrap();
    let credentials = home.path().join("ratchet-data/credentials");
    let mut kept = None;
    for _ in 0..2 {
        let log = fs::File::create(home.path().join("log")).unwrap();
        let mut command = serve(home.path(), &["--listen", "127.0.0.1:0"]);
        command.env("RATCHET_LOG_LEVEL", "trace").stderr(log);
        let gateway = Gateway::spawn(command);
        assert_eq!(fs::metadata(&credentials).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&credentials).unwrap();
        assert_eq!(kept.get_or_insert_with(|| text.clone()), &text, "the key is made once");
        // The client finds gateway's key from here; nobody has to paste anything.
        let file = home.path().join("file");
        fs::write(&file, b"hello").unwrap();
        let mut client = Command::new(PROGRAM);
        client
            .args(["backup", "file", "s3://bucket/key", "--endpoint", &gateway.url])
            .current_dir(home.path())
            .env_clear();
        let told = client.output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let said = fs::read_to_string(home.path().join("log")).unwrap();
        assert!(
            said.contains("export AWS_PROFILE") || said.contains("AWS_PROFILE=ratchet"),
            "{said}"
        );
        let secret = text.lines().last().unwrap().rsplit(' ').next().unwrap();
        assert!(
            said.contains("op=\"") && !said.contains(secret),
            "a secret in the log, or no log: {said}"
        );
        assert!(!said.to_lowercase().contains("signature="), "a signature in the log: {said}");
    }
}

#[test]
fn a_directory_has_one_gateway() {
    let home = tempfile::tempdir().unwrap();
    let _first = Gateway::spawn(serve(home.path(), &["--listen", "127.0.0.1:0"]));
    let (code, said) = refused(serve(home.path(), &["--listen", "127.0.0.1:0"]));
    assert_eq!(
        (code, said.contains("ratchet-data") && said.contains("another process")),
        (Some(2), true),
        "{said}"
    );
}

#[test]
fn a_busy_port_is_named() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = refused(serve(home.path(), &["--listen", &address]));
    assert_eq!(
        (code, said.contains(&address) && said.contains("--listen")),
        (Some(2), true),
        "{said}"
    );
}

#[test]
fn a_bad_setting_names_key_value_place_and_fix() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ratchet.toml");
    let of_file = |text: &str| {
        fs::write(&file, text).unwrap();
        refused(serve(home.path(), &["--config", "ratchet.toml"]))
    };
    let table = [
        (of_file("listen = \"nowhere\"\n"), ["ratchet.toml:1", "listen", "nowhere"]),
        (
            of_file("\nlisten_on = \"127.0.0.1:1\"\n"),
            ["ratchet.toml:2", "listen_on", "unknown key"],
        ),
        (of_file("listen = \n"), ["ratchet.toml:1", "not TOML", ""]),
        (of_file("[[account]]\nname = \"UPPER\"\n"), ["ratchet.toml", "UPPER", ""]),
        (
            refused(serve(home.path(), &["--config", "absent.toml"])),
            ["absent.toml", "cannot be read", ""],
        ),
        (refused(serve(home.path(), &["--listen", "x"])), ["--listen", "\"x\"", "ADDRESS:PORT"]),
        (refused(serve(home.path(), &["--store", "ftp://x"])), ["--store", "ftp://x", "s3+http"]),
    ];
    for ((code, said), wanted) in table {
        assert_eq!(code, Some(2), "{said}");
        assert!(wanted.iter().all(|word| said.contains(word)), "{wanted:?} in {said}");
    }
    let mut command = serve(home.path(), &[]);
    command.env("RATCHET_LISTEN", "y");
    let (code, said) = refused(command);
    assert_eq!(
        (code, said.contains("RATCHET_LISTEN") && said.contains("\"y\"")),
        (Some(2), true),
        "{said}"
    );
    let mut command = serve(home.path(), &["--store", "s3+http://127.0.0.1:1"]);
    command.envs([("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")]);
    let (code, said) = refused(command);
    assert_eq!(
        (code, said.contains("RATCHET_ACCESS_KEY_ID")),
        (Some(2), true),
        "no account: {said}"
    );
}

#[test]
fn an_unreachable_store_is_exit_code_3() {
    let home = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command =
        serve(home.path(), &["--store", &format!("s3+http://{nobody}"), "--listen", "127.0.0.1:0"]);
    command.envs([
        ("AWS_ACCESS_KEY_ID", "k"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_REGION", "us-east-1"),
    ]);
    command.envs([
        ("RATCHET_ACCESS_KEY_ID", "root"),
        ("RATCHET_SECRET_ACCESS_KEY", "0123456789abcdef"),
    ]);
    let (code, said) = refused(command);
    assert_eq!((code, said.contains("store")), (Some(3), true), "{said}");
}

#[test]
fn an_account_without_admin_is_told_of_a_missing_bucket() {
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
        let (code, said) = gateway.refused(&["backup", file, target]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(word), "{target}: {said}");
    }
}

/// A request whose body is still coming when SIGTERM arrives is served; then the process ends with
/// 0.
#[test]
fn sigterm_lets_what_is_in_flight_finish() {
    let home = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    // What needs no signature needs no body either: a head that comes in two pieces is a request in
    // flight.
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
    while !["1 chunks stored", "2 chunks stored"].iter().any(|told| stored().contains(told)) {
        assert!(client.try_wait().unwrap().is_none(), "the client ended too early");
    }
    rustix::process::kill_process(gateway.pid(), rustix::process::Signal::TERM).unwrap();
    // The listener closes first: nobody new comes in.
    while TcpStream::connect(gateway.address()).is_ok() {}
    slow.write_all(b"\r\n").unwrap();
    let mut answer = String::new();
    BufReader::new(&slow).read_line(&mut answer).unwrap();
    assert_eq!(answer, "HTTP/1.1 200 OK\r\n");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    assert_eq!(gateway.wait(), Some(0));
    client.wait().unwrap();
    // Whatever was acknowledged is there.
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    assert!(
        gateway.json(&["backup", file.to_str().unwrap(), "s3://bucket/key"])["bytesSkipped"]
            .as_u64()
            > Some(0)
    );
}

#[test]
fn over_tls_a_backup_goes_up_and_half_a_pair_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    fs::write(at("cert.pem"), key.cert.pem()).unwrap();
    fs::write(at("key.pem"), key.signing_key.serialize_pem()).unwrap();
    let settings = |certificate: &str, key: &str| {
        let mut command = serve(home.path(), &["--listen", "127.0.0.1:0"]);
        command.envs([
            ("RATCHET_SERVER_TLS_CERTIFICATE", at(certificate)),
            ("RATCHET_SERVER_TLS_KEY", at(key)),
        ]);
        command
    };
    let mut half = settings("cert.pem", "key.pem");
    half.env_remove("RATCHET_SERVER_TLS_KEY");
    let (code, said) = refused(half);
    assert_eq!((code, said.contains("server.tls_key")), (Some(2), true), "{said}");
    let (code, said) = refused(settings("cert.pem", "absent.pem"));
    assert_eq!((code, said.contains("absent.pem")), (Some(2), true), "{said}");
    let gateway = Gateway::spawn(settings("cert.pem", "key.pem"));
    assert!(gateway.url.starts_with("https://"), "{}", gateway.url);
    fs::write(home.path().join("file"), vec![3; 9 << 20]).unwrap();
    let client = |trusts: bool| {
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
        if trusts {
            client.env("AWS_CA_BUNDLE", at("cert.pem"));
        }
        client.output().unwrap()
    };
    assert_eq!(client(false).status.code(), Some(3), "nobody vouches for the certificate");
    let told = client(true);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn doctor_says_what_a_store_keeps() {
    let home = tempfile::tempdir().unwrap();
    for store in crate::process::stores(home.path()) {
        let told =
            Command::new(PROGRAM).args(["doctor", "--store", &store, "--json"]).output().unwrap();
        assert_eq!(told.status.code(), Some(0), "{}", String::from_utf8_lossy(&told.stderr));
        let checks = String::from_utf8(told.stdout).unwrap();
        let (required, told): (Vec<_>, Vec<_>) =
            checks.lines().partition(|line| line.contains("\"weight\":\"required\""));
        assert!(
            required.len() >= 5 && required.iter().all(|line| line.contains("\"passed\":true")),
            "{checks}"
        );
        assert!(told.len() >= 4, "{checks}");
        let all = told.iter().all(|line| line.contains("\"passed\":true"));
        assert!(all || !store.starts_with("dir:"), "the embedded store does all of it: {checks}");
    }
}
