//! Every key absent, valid and invalid in each way; the reference file; the order of flags,
//! environment and file.

use std::path::Path;

use super::file::File;
use super::*;
use crate::front::s3::CorsSettings;

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/ratchet.toml");

/// For each key a valid value that is not the default, and invalid ones.
const VALUES: &[(&str, &str, &[&str])] = &[
    ("listen", "0.0.0.0:80", &["", "9010", "localhost:1", "1.2.3.4:99999"]),
    (
        "store",
        "s3+http://127.0.0.1:9000",
        &["", "dir:", "s3+ftp://x", "http://x", "s3+https://", "s3+http://a:b@c/d"],
    ),
    ("store_region", "eu-central-1", &["eu central", "a/b"]),
    ("store_addressing", "virtual", &["", "dns"]),
    ("state_bucket", "other-state", &["", "ab", "Upper", "a/b", "-ab"]),
    ("content_targets", "images,photos/raw/", &["Images", "a/b"]),
    ("cached_sessions", "7", &["0", "-1", "many", "1.5"]),
    ("server.workers", "7", &["1025", "-1", "many"]),
    ("server.max_connections", "7", &["0", "-1", "many"]),
    ("server.max_connections_of_peer", "7", &["0", "-1", "many"]),
    ("server.max_head_bytes", "16384", &["0", "8191", "many"]),
    ("server.head_timeout_s", "7", &["0", "-1", "86401", "1s"]),
    ("server.idle_timeout_s", "7", &["0", "-1", "86401", "1s"]),
    ("server.write_timeout_s", "7", &["0", "-1", "86401", "1s"]),
    ("server.write_window_s", "7", &["0", "-1", "86401", "1s"]),
    ("server.write_min_bytes", "7", &["-1", "many"]),
    ("server.drain_timeout_s", "7", &["0", "-1", "86401", "1s"]),
    ("server.tls_certificate", "cert.pem", &[]),
    ("server.tls_key", "key.pem", &[]),
    ("server.domain", "s3.example.com", &["S3.example.com", "http://x", ".x", "x:80"]),
    ("request.body_idle_s", "7", &["0", "-1", "86401", "1s"]),
    ("request.body_window_s", "7", &["0", "-1", "86401", "1s"]),
    ("request.body_min_bytes", "7", &["-1", "many"]),
    ("request.max_at_once", "7", &["0", "-1", "many"]),
    ("request.max_at_once_of_account", "7", &["0", "-1", "many"]),
    ("request.kept_for_account", "7", &["-1", "many"]),
    ("request.max_sending_of_account", "7", &["-1", "many"]),
    ("request.max_bytes_per_s_of_account", "1000000", &["-1", "many", "1000"]),
    ("request.queue_s", "7", &["0", "-1", "86401"]),
    ("request.max_skew_s", "7", &["0", "-1", "86401", "1s"]),
    ("request.region", "eu-central-1", &["eu central", "eu/1"]),
    ("request.signature_v2", "true", &["yes", ""]),
    ("uploads.max_open_of_account", "7", &["0", "-1", "10000001", "many"]),
    ("resume.enabled", "false", &["", "yes", "1"]),
    ("resume.by_md5", "true", &["", "yes"]),
    ("resume.keep_aborted_s", "7", &["0", "-1", "1d"]),
    ("resume.idle_s", "60", &["0", "29", "86401"]),
    ("resume.known_parts", "7", &["-1", "many", "100000001"]),
    ("resume.early_close", "rclone/", &[]),
    ("gc.enabled", "false", &["", "yes"]),
    ("gc.expire_after_s", "3600", &["0", "-1", "7d"]),
    ("gc.every_s", "60", &["0", "86401"]),
    ("gc.sessions_per_s", "7", &["0", "10001", "-1"]),
    ("log.format", "json", &["", "xml"]),
    ("log.level", "info,ratchet::upload=debug", &["", "loud", "a=loud"]),
    ("log.access", "/var/log/ratchet/access.log", &[]),
];

fn read(text: &str) -> Result<Settings, Error> {
    let mut loaded = Loaded::default();
    file::apply_text(&File { path: Path::new("x.toml"), text }, &mut loaded);
    loaded.finish()
}

#[test]
fn the_reference_shows_every_key_with_its_default() {
    let text = reference();
    if std::env::var_os("RATCHET_TEST_BLESS").is_some() {
        std::fs::write(REFERENCE, &text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(REFERENCE).unwrap(),
        text,
        "RATCHET_TEST_BLESS=1 rewrites the file"
    );
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    let uncommented = text.lines().map(|line| uncommented(line) + "\n").collect::<String>();
    let mut settings = read(&uncommented).unwrap();
    assert_eq!(settings.accounts.accounts.len(), 1);
    settings.accounts.accounts.clear();
    assert_eq!(settings.s3.cors.len(), 1);
    settings.s3.cors.clear();
    assert_eq!(settings, Settings::default());
    assert_eq!(read(&text).unwrap(), Settings::default());
}

#[test]
fn every_key_is_tested() {
    let tested: Vec<&str> = VALUES.iter().map(|(name, ..)| *name).collect();
    let keys: Vec<&str> = keys::KEYS.iter().map(|key| key.name).collect();
    assert_eq!(tested, keys);
}

#[test]
fn valid_values_are_read_from_file_and_environment() {
    for (name, valid, _) in VALUES {
        let key = keys::KEYS.iter().find(|key| key.name == *name).unwrap();
        let line = toml_line(name, valid);
        let from_file = read(&line).unwrap();
        let environment = Environment::from([(keys::variable(name), (*valid).to_owned())]);
        let from_environment = load(&Args::default(), &environment).unwrap();
        assert_eq!(from_file, from_environment, "{name}");
        assert_ne!((key.show)(&from_file), (key.show)(&Settings::default()), "{name}");
        assert_eq!(read(&toml_shown(name, &(key.show)(&from_file))).unwrap(), from_file, "{name}");
    }
}

#[test]
fn an_invalid_value_is_refused_with_key_value_and_origin() {
    for (name, _, invalid) in VALUES {
        for value in *invalid {
            let error = read(&format!("\n{}", toml_line(name, value))).unwrap_err().to_string();
            let line = if name.contains('.') { 3 } else { 2 };
            assert!(
                error.starts_with(&format!("x.toml:{line}: {name} = {value:?} is invalid: ")),
                "{error}"
            );
            let variable = keys::variable(name);
            let environment = Environment::from([(variable.clone(), (*value).to_owned())]);
            let error = load(&Args::default(), &environment).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("environment variable {variable}: {name} = ")),
                "{error}"
            );
        }
    }
}

#[test]
fn rules_for_other_origins_are_read_and_checked() {
    let settings =
        read("[[cors]]\nbucket = \"b-1\"\norigins = [\"https://a\"]\nmax_age_s = 5").unwrap();
    let expected = CorsSettings {
        bucket: "b-1".to_owned(),
        origins: vec!["https://a".to_owned()],
        max_age_s: 5,
        ..CorsSettings::default()
    };
    assert_eq!(settings.s3.cors, [expected]);
    for (bad, line) in [
        ("[[cors]]\nbucket = \"b-1\"", 1),
        ("[cors]\norigins = [\"*\"]", 1),
        ("[[cors]]\norigins = [\"*\"]\nbucket = \"A\"", 1),
        ("[[cors]]\norigins = \"*\"", 2),
        ("[[cors]]\norigins = [\"https://*.*\"]", 1),
        ("[[cors]]\norigins = [1]", 2),
        ("[[cors]]\norigins = [\"*\"]\nmethods = [\"PATCH\"]", 1),
        ("[[cors]]\norigins = [\"*\"]\nexpose = [\"a b\"]", 1),
        ("[[cors]]\norigins = [\"*\"]\nmax_age_s = \"5\"", 3),
        ("[[cors]]\norigins = [\"*\"]\nother = 1", 3),
    ] {
        let error = read(bad).unwrap_err().to_string();
        assert!(error.starts_with(&format!("x.toml:{line}: ")), "{bad}: {error}");
    }
    let variable =
        |value: &str| Environment::from([("RATCHET_CORS_ORIGINS".to_owned(), value.to_owned())]);
    let settings = load(&Args::default(), &variable("https://a, https://*.b")).unwrap();
    assert_eq!(settings.s3.cors[0].origins, ["https://a", "https://*.b"]);
    assert!(load(&Args::default(), &variable("")).unwrap().s3.cors.is_empty());
    let error = load(&Args::default(), &variable("https://**")).unwrap_err().to_string();
    assert!(error.starts_with("environment variable RATCHET_CORS_ORIGINS: "), "{error}");
}

/// A file that sets one key to an integer or a string.
fn toml_line(name: &str, value: &str) -> String {
    toml_shown(
        name,
        &if value.parse::<i64>().is_ok() { value.to_owned() } else { format!("{value:?}") },
    )
}

/// A file that sets one key to a value in TOML.
fn toml_shown(name: &str, value: &str) -> String {
    match name.split_once('.') {
        Some((table, key)) => format!("[{table}]\n{key} = {value}\n"),
        None => format!("{name} = {value}\n"),
    }
}

#[test]
fn an_unknown_key_or_wrong_type_is_refused_with_its_line() {
    let table = [
        ("lissten = \"x\"", "x.toml:1: unknown key \"lissten\"; did you mean \"listen\"?"),
        (
            "[server]\ntls_kye = 1",
            "x.toml:2: unknown key \"server.tls_kye\"; did you mean \"server.tls_key\"?",
        ),
        ("[server]\nmax = 1", "x.toml:2: unknown key \"server.max\""),
        ("[nothing]\nx = 1", "x.toml:2: unknown key \"nothing.x\""),
        ("listen = [1]", "x.toml:1: listen = \"[1]\" is invalid"),
        ("listen = 'x", "x.toml:1: the file is not TOML"),
        ("[[account]]\nnmae = \"x\"", "x.toml:2: unknown key \"nmae\""),
        ("account = 1", "x.toml:1: account must be written as [[account]]"),
    ];
    for (text, expected) in table {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
}

#[test]
fn flags_win_over_environment_and_environment_over_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.toml");
    std::fs::write(
        &path,
        "listen = \"127.0.0.1:1\"\nstore = \"dir:file\"\nstate_bucket = \"from-file\"\n",
    )
    .unwrap();
    let args = Args { config: Some(path), listen: Some("127.0.0.1:3".to_owned()), store: None };
    let environment = [
        ("RATCHET_LISTEN", "127.0.0.1:2"),
        ("RATCHET_STORE", "dir:environment"),
        ("RATCHET_PORT", "tcp://x"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let settings = load(&args, &environment).unwrap();
    assert_eq!(settings.listen.port(), 3);
    assert_eq!(settings.store.choice, StoreChoice::Dir("environment".into()));
    assert_eq!(settings.upload.state_bucket, "from-file");
    for (misspelt, meant) in [
        ("RATCHET_LISTN", "RATCHET_LISTEN"),
        ("RATCHET_ACESS_KEY_ID", "RATCHET_ACCESS_KEY_ID"),
        ("RATCHET_SERVER_TLS_CERTIFCATE", "RATCHET_SERVER_TLS_CERTIFICATE"),
        ("RATCHET_CONFG", "RATCHET_CONFIG"),
    ] {
        let environment = Environment::from([(misspelt.to_owned(), "x".to_owned())]);
        let error = load(&Args::default(), &environment).unwrap_err().to_string();
        let expected = format!("did you mean {meant}?");
        assert!(error.contains(misspelt) && error.contains(&expected), "{error}");
    }
    let of_orchestrators = ["SERVICE_HOST", "SERVICE_PORT", "PORT_9010_TCP", "PORT", "TEST_S3"];
    let of_orchestrators = of_orchestrators.map(|name| (format!("RATCHET_{name}"), "x".to_owned()));
    load(&Args::default(), &of_orchestrators.into()).unwrap();
    let missing = Args { config: Some("nowhere.toml".into()), ..Args::default() };
    assert!(load(&missing, &Environment::new()).unwrap_err().to_string().contains("nowhere.toml"));
}

#[test]
fn accounts_are_read_and_errors_contain_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("secret"), "from-a-file-0123\nmore\n").unwrap();
    let text = "[[account]]\nname = \"ops\"\n[[account.key]]\nid = \"AKOPS\"\nsecret_file = \"secret\"\n\
                [[account.grant]]\nbucket = \"*\"\naccess = \"read\"\n";
    let path = directory.path().join("x.toml");
    let mut loaded = Loaded::default();
    file::apply_text(&File { path: &path, text }, &mut loaded);
    let settings = loaded.finish().unwrap();
    let account = &settings.accounts.accounts[0];
    assert_eq!(
        (account.name.as_str(), account.keys[0].secret.expose()),
        ("ops", "from-a-file-0123")
    );
    let invalid = [
        ("name = \"Ops\"", "name"),
        (
            "name = \"ops\"\n[[account.key]]\nid = \"AKOPS\"\nsecret = \"shhh\"\n[[account.grant]]\nbucket=\"*\"\naccess=\"read\"",
            "shorter",
        ),
        ("name = \"ops\"\n[[account.key]]\nid = \"AKOPS\"", "secret or secret_file"),
        ("name = \"ops\"\n[[account.key]]\nsecret = 5", "string in quotes"),
        ("name = \"ops\"\n[[account.key]]\nsecret = \"shhh\"\nsecret_file = \"x\"", "not both"),
        ("name = \"ops\"\n[[account.key]]\nsecret_file = \"nowhere\"", "cannot be read"),
        ("name = \"ops\"\n[[account.grant]]\nbucket = \"*\"", "needs access"),
        ("name = \"ops\"\n[[account.grant]]\naccess = \"own\"", "\"own\""),
        ("root = 1", "true or false"),
    ];
    for (text, expected) in invalid {
        let error = read(&format!("[[account]]\n{text}\n")).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.starts_with("x.toml:") && !error.contains("shhh"),
            "{error}"
        );
    }
}

#[test]
fn an_s3_store_needs_an_account_and_the_environment_can_name_one() {
    let args = Args { store: Some("s3+http://127.0.0.1:9000".to_owned()), ..Args::default() };
    let variables = |pairs: &[(&str, &str)]| -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let id = ("RATCHET_ACCESS_KEY_ID", "AKROOT");
    let secret = ("RATCHET_SECRET_ACCESS_KEY", "0123456789abcdef");
    assert!(load(&args, &variables(&[])).is_ok(), "a command on the store needs no account");
    assert!(
        load_for_gateway(&args, &variables(&[])).unwrap_err().to_string().contains("access key")
    );
    for half in [id, secret] {
        let error = load(&args, &variables(&[half])).unwrap_err().to_string();
        assert!(error.contains(half.0) && !error.contains("0123456789abcdef"), "{error}");
    }
    let settings = load(&args, &variables(&[id, secret])).unwrap();
    assert!(settings.accounts.accounts[0].root);
}

#[test]
fn every_fault_is_found_and_what_is_shown_has_its_origin_and_no_secret() {
    let text = "listen = \"nowhere\"\nunknown = 1\n[gc]\nevery_s = 0\n\
                [[account]]\nname = 5\nroot = 7\n[[account.key]]\nid = \"AKOPS\"\n\
                [[account]]\nname = \"Ops\"\n[[cors]]\nmethods = 1\n";
    let mut loaded = Loaded::default();
    file::apply_text(&File { path: Path::new("x.toml"), text }, &mut loaded);
    let lines: Vec<String> = loaded.faults.iter().map(ToString::to_string).collect();
    for line in [1, 2, 4, 6, 7, 8, 10, 13] {
        let place = format!("x.toml:{line}: ");
        assert_eq!(
            lines.iter().filter(|text| text.starts_with(&place)).count(),
            1,
            "{place} {lines:?}"
        );
    }
    let text = "[gc]\nevery_s = 60\n[[account]]\nname = \"ops\"\nroot = true\n[[account.key]]\n\
                id = \"AKOPS\"\nsecret = \"a-secret-0123456\"\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let args = Args { config: Some(file.path().to_owned()), ..Args::default() };
    let environment = Environment::from([
        ("RATCHET_LOG_LEVEL".to_owned(), "debug".to_owned()),
        ("RATCHET_LOG_LEVLE".to_owned(), "debug".to_owned()),
        ("RATCHET_PORT".to_owned(), "tcp://10.0.0.1:9010".to_owned()),
    ]);
    assert_eq!(unknown_variables(&environment), ["RATCHET_PORT"]);
    let loaded = inspect(&args, &environment);
    let faults: Vec<String> = loaded.faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("did you mean RATCHET_LOG_LEVEL?"), "{faults:?}");
    let rows = shown(&loaded);
    let row = |key: &str| rows.iter().find(|row| row.entries[0].0 == key).unwrap();
    assert_eq!(row("listen").origin, "default");
    assert_eq!(row("log.level").origin, "environment variable RATCHET_LOG_LEVEL");
    assert_eq!(row("gc.every_s").origin, format!("{}:2", file.path().display()));
    assert_eq!(row("gc.every_s").entries[0].1, "60");
    assert_eq!(row("name").entries[0].1, "\"ops\"");
    assert!(!format!("{rows:?}").contains("a-secret"));
}
