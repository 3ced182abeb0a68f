//! What is said when something fails: which thing, why, and what to do; for machines as JSON.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::Value;

use crate::support::client::{on_each_store, text, without_root};
use crate::support::lab::pattern;
use crate::support::process::{Gateway, KEY, PROGRAM};
use crate::support::small_disk::SmallDisk;

fn outcome(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[test]
fn each_file_that_fails_is_named_once_with_the_reason_of_the_system() {
    on_each_store(|setup| {
        let from = setup.home.path().join("from");
        fs::create_dir_all(from.join("closed")).unwrap();
        for name in ["secret", "closed/file", "open"] {
            fs::write(from.join(name), name).unwrap();
        }
        fs::set_permissions(setup.home.path(), Permissions::from_mode(0o755)).unwrap();
        for name in ["secret", "closed"] {
            fs::set_permissions(from.join(name), Permissions::from_mode(0o000)).unwrap();
        }
        let backup = setup.gateway.client(&["backup", text(&from), &setup.target("tree/")]);
        let Some(output) = without_root(&backup) else { return };
        let (code, stderr) = outcome(&output);
        assert_eq!(code, Some(1), "{stderr}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.starts_with("2 sent, 0 there already, 0 skipped, 0 left out, 2 failed"));
        for (name, what) in
            [("secret", "cannot be opened"), ("closed", "the directory cannot be read")]
        {
            let path = from.join(name);
            let line = format!("ratchet: {}: {what}: Permission denied (os error 13)", text(&path));
            assert!(stderr.lines().any(|shown| shown == line), "{line}\n{stderr}");
        }
    });
}

/// A certificate for 127.0.0.1 that is its own authority, as `openssl req -x509` makes it, and its
/// key, as files.
fn make_certificate(home: &Path, name: &str, change: impl FnOnce(&mut CertificateParams)) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    fs::write(home.join(format!("{name}.pem")), certificate.pem()).unwrap();
    fs::write(home.join(format!("{name}-key.pem")), key.serialize_pem()).unwrap();
}

fn serve_tls(home: &Path, name: &str) -> Gateway {
    let mut command = Command::new(PROGRAM);
    let store = format!("dir:{}", home.join(format!("store-{name}")).display());
    command.args(["serve", "--listen", "127.0.0.1:0", "--store", &store]);
    command.envs([
        ("RATCHET_SERVER_TLS_CERTIFICATE", home.join(format!("{name}.pem"))),
        ("RATCHET_SERVER_TLS_KEY", home.join(format!("{name}-key.pem"))),
    ]);
    command.envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)]);
    command.stderr(Stdio::null());
    Gateway::spawn(command)
}

/// Lists the buckets of the gateway at this address. A failure that is not final would take ten
/// minutes.
fn list(url: &str, args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["ls", "s3://", "--endpoint", url]).args(args);
    command.envs([("AWS_ACCESS_KEY_ID", KEY.0), ("AWS_SECRET_ACCESS_KEY", KEY.1)]);
    command.env_remove("AWS_CA_BUNDLE").output().unwrap()
}

#[test]
fn a_trusted_certificate_may_be_its_own_authority() {
    let home = tempfile::tempdir().unwrap();
    make_certificate(home.path(), "own", |_| {});
    make_certificate(home.path(), "other", |_| {});
    make_certificate(home.path(), "elsewhere", |params| {
        *params = CertificateParams::new(vec!["nas.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    make_certificate(home.path(), "old", |params| {
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1));
    });
    let gateway = serve_tls(home.path(), "own");
    let path = |name: &str| home.path().join(name);
    let (code, stderr) = outcome(&list(&gateway.url, &["--ca", text(&path("own.pem"))]));
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stderr) = outcome(&list(&gateway.url, &["--ca", text(&path("other.pem"))]));
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("is not trusted") && stderr.contains("--ca FILE"), "{stderr}");
    for (name, what) in
        [("elsewhere", "is for another name"), ("old", "is not valid today; renew it")]
    {
        let gateway = serve_tls(home.path(), name);
        let bundle = path(&format!("{name}.pem"));
        let (code, stderr) = outcome(&list(&gateway.url, &["--ca", text(&bundle)]));
        assert_eq!((code, stderr.contains(what)), (Some(3), true), "{stderr}");
    }
    let (code, stderr) = outcome(&list(&gateway.url, &["--ca", text(&path("missing.pem"))]));
    assert_eq!((code, stderr.contains("missing.pem: No such file")), (Some(2), true), "{stderr}");
    let (code, stderr) = outcome(&list(&gateway.url, &["--ca", text(&path("own-key.pem"))]));
    assert_eq!((code, stderr.contains("has no certificate")), (Some(2), true), "{stderr}");
}

#[test]
fn http_and_https_that_are_mistaken_for_each_other_are_said() {
    let home = tempfile::tempdir().unwrap();
    make_certificate(home.path(), "own", |_| {});
    let gateway = serve_tls(home.path(), "own");
    let plain = gateway.url.replace("https:", "http:");
    let (code, stderr) = outcome(&list(&plain, &[]));
    assert_eq!(code, Some(3), "{stderr}");
    let expected = format!("{plain} speaks TLS, not plain HTTP; write {}", gateway.url);
    assert!(stderr.contains(&expected), "{stderr}");
    // Any other client is told too.
    let curl = Command::new("curl").args(["--silent", &plain]).output().unwrap();
    let answer = String::from_utf8(curl.stdout).unwrap();
    assert!(answer.contains("this port speaks TLS: write https://"), "{answer}");
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    let tls = gateway.url.replace("http:", "https:");
    let (code, stderr) = outcome(&list(&tls, &[]));
    assert_eq!(code, Some(3), "{stderr}");
    let expected =
        format!("{tls} does not speak TLS; if it speaks plain HTTP, write {}", gateway.url);
    assert!(stderr.contains(&expected), "{stderr}");
}

#[test]
fn a_profile_or_file_that_gives_no_access_key_is_named() {
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    let keys = home.path().join("keys");
    let (id, secret) = KEY;
    let section = format!("[nas]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    fs::write(&keys, section).unwrap();
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new(PROGRAM);
        command.args(["ls", "s3://", "--endpoint", &gateway.url]).current_dir(home.path());
        command.env_clear().env("HOME", home.path()).envs(variables.iter().copied());
        outcome(&command.output().unwrap())
    };
    let file = ("AWS_SHARED_CREDENTIALS_FILE", text(&keys));
    assert_eq!(run(&[file, ("AWS_PROFILE", "nas")]).0, Some(0));
    let missing = home.path().join("missing");
    let table: [(&[(&str, &str)], &str); 4] = [
        (&[file, ("AWS_PROFILE", "nass")], "the profile \"nass\" (AWS_PROFILE) is neither in"),
        (&[file], "they have \"nas\""),
        (
            &[("AWS_SHARED_CREDENTIALS_FILE", text(&missing))],
            "missing, which cannot be read: No such file or directory (os error 2)",
        ),
        (
            &[("AWS_ACCESS_KEY_ID", "x")],
            "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not",
        ),
    ];
    for (variables, expected) in table {
        let (code, stderr) = run(variables);
        assert_eq!((code, stderr.contains(expected)), (Some(2), true), "{expected}: {stderr}");
    }
}

#[test]
fn a_full_store_says_how_much_room_is_left() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&format!("dir:{}", disk.path().join("store").display()));
    let file = home.path().join("file");
    fs::write(&file, pattern(4 << 20, 1)).unwrap();
    disk.fill(12_500_000);
    let output = gateway.run(&["backup", text(&file), "s3://bucket/key", "--json"]);
    let (code, stderr) = outcome(&output);
    assert_eq!(code, Some(1), "{stderr}");
    let error: Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!(error["code"], "store-full", "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("the store has no room: 12 MB left"), "{message}");
    assert!(error["requestId"].as_str().is_some_and(|id| message.contains(id)), "{error}");
    disk.clear();
    gateway.json(&["backup", text(&file), "s3://bucket/key"]);
}

#[test]
fn errors_for_machines_are_one_object_with_a_stable_code() {
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    let absent = home.path().join("absent");
    let nowhere = format!("dir:{}", home.path().join("nowhere").display());
    let wrong_key = |args: &[&str]| {
        let mut command = gateway.client(args);
        command.env("AWS_SECRET_ACCESS_KEY", "wrong-secret-wrong-secret").output().unwrap()
    };
    let unreachable = ["ls", "s3://b", "--json", "--retry-for", "0"];
    let mut serve = Command::new(PROGRAM);
    serve.args(["check", "--store", &nowhere, "--json"]);
    let mut misspelt = Command::new(PROGRAM);
    misspelt.args(["gc", "--store", &nowhere, "--json"]).env("RATCHET_LISTN", "x");
    let no_one = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = format!("http://{}", no_one.local_addr().unwrap());
    drop(no_one);
    let table = [
        (gateway.run(&["ls", "s3://no-such-bucket", "--json"]), "NoSuchBucket", true),
        (gateway.run(&["backup", text(&absent), "s3://b/k", "--json"]), "io", false),
        (gateway.run(&["backup", text(&absent), "b/k", "--json"]), "wrong-use", false),
        (gateway.run(&["backup", "--jbos", "1", "--json"]), "wrong-use", false),
        (wrong_key(&["ls", "s3://b", "--json"]), "SignatureDoesNotMatch", true),
        (list(&free, &unreachable[2..]), "unreachable", false),
        (serve.output().unwrap(), "directory", false),
        (misspelt.output().unwrap(), "unknown-setting", false),
    ];
    for (output, code, has_request_id) in table {
        let (exit, stderr) = outcome(&output);
        assert!(exit.is_some_and(|exit| (1..=3).contains(&exit)), "{code}: {exit:?}");
        assert_eq!(stderr.lines().count(), 1, "{code}: {stderr}");
        let error: Value = serde_json::from_str(&stderr).unwrap();
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().is_some_and(|text| text.len() > 10), "{error}");
        assert_eq!(error["requestId"].is_string(), has_request_id, "{error}");
    }
}
