//! The log of a gateway whose clients choose keys that could forge log lines or control a terminal.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::process::{Gateway, KEY, PROGRAM};
use crate::support::small_disk::SmallDisk;

/// `line`, a line break, ESC [ 2 J, U+202E, U+0085 and U+2028, percent-encoded.
const UNSAFE_KEY: &str =
    "line%0D%0A2026-01-01T00:00:00Z%20ERROR%20forged%1B%5B2J%E2%80%AE%C2%85%E2%80%A8%7Fend";

fn serve(store: &Path, format: &str, log: &Path) -> Gateway {
    let mut command = Command::new(PROGRAM);
    command.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--store",
        &format!("dir:{}", store.display()),
    ]);
    command.env_clear().stdin(Stdio::null()).stderr(fs::File::create(log).unwrap());
    command.envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)]);
    // At this level the store's client and the HTTP server log keys and headers.
    command.envs([("RATCHET_LOG_LEVEL", "trace"), ("RATCHET_LOG_FORMAT", format)]);
    Gateway::spawn(command)
}

/// Puts and reads the key, then starts uploads of it until the disk is full and the gateway warns.
fn attack(gateway: &Gateway, disk: &SmallDisk) {
    let target = format!("/bucket/{UNSAFE_KEY}");
    let status = |method: &str, target: &str, body: &[u8]| gateway.s3(KEY, method, target, body).0;
    assert_eq!(status("PUT", "/bucket", b""), 200);
    assert_eq!(status("PUT", &target, b"small"), 200);
    assert_eq!(status("GET", &target, b""), 200);
    assert_eq!(status("GET", &format!("{target}x"), b""), 404);
    assert_eq!(gateway.s3(("stranger", "none"), "PUT", &target, b"small").0, 403);
    disk.fill(0);
    // At first the index still has free pages.
    while status("POST", &format!("{target}?uploads="), b"") == 200 {}
}

/// The unsafe characters in a log, which must have none.
fn unsafe_characters(text: &str) -> Vec<char> {
    let is_unsafe = |c: &char| {
        c.is_control() && *c != '\n'
            || matches!(c, '\u{200e}' | '\u{200f}')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(is_unsafe).collect()
}

#[test]
fn a_key_cannot_forge_log_lines_or_control_a_terminal() {
    for format in ["text", "json"] {
        let Some(disk) = SmallDisk::mount(48) else { return };
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        let mut gateway = serve(&disk.path().join("store"), format, &log);
        attack(&gateway, &disk);
        gateway.kill();
        let logged = fs::read_to_string(&log).unwrap();
        assert!(
            unsafe_characters(&logged).is_empty(),
            "{format}: {:?} in {logged:?}",
            unsafe_characters(&logged)
        );
        assert!(
            logged.lines().any(|line| line.contains("WARN")),
            "{format}: there is no warning: {logged}"
        );
        for line in logged.lines() {
            let is_event = match format {
                "json" => serde_json::from_str::<serde_json::Value>(line)
                    .is_ok_and(|event| event["level"].is_string()),
                // A timestamp and a level.
                _ => {
                    let (time, rest) = line.split_once(' ').unwrap_or((line, ""));
                    let levels = ["TRACE ", "DEBUG ", "INFO ", "WARN ", "ERROR "];
                    time.ends_with('Z')
                        && time.contains('.')
                        && levels.iter().any(|l| rest.trim_start().starts_with(l))
                }
            };
            assert!(is_event, "{format}: not an event: {line}");
        }
    }
}

#[test]
fn the_error_message_of_a_command_is_one_line() {
    let unsafe_target = "s3://bu\u{1b}[2Jcket/\r\nratchet: forged\u{202e}\u{85}";
    let home = tempfile::tempdir().unwrap();
    let mut serve = Command::new(PROGRAM);
    serve.args(["serve", "--store", unsafe_target]).current_dir(home.path()).env_clear();
    let mut config = Command::new(PROGRAM);
    config.args(["serve", "--config", "no\r\nsuch\u{1b}[2J"]).current_dir(home.path()).env_clear();
    let mut status = Command::new(PROGRAM);
    status.args(["status", unsafe_target, "--endpoint", "http://127.0.0.1:1", "--retry-for", "0"]);
    status.env_clear().envs([("AWS_ACCESS_KEY_ID", KEY.0), ("AWS_SECRET_ACCESS_KEY", KEY.1)]);
    for mut command in [serve, config, status] {
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert_ne!(output.status.code(), Some(0));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            unsafe_characters(&message).is_empty() && message.lines().count() == 1,
            "{message:?}"
        );
    }
}

/// Runs a gateway, asks it for an object that is there, for one that is not, and as a stranger.
/// Returns what it wrote to stderr, to its access log, and its figures.
fn three_requests(format: &str) -> (String, String, String) {
    let home = tempfile::tempdir().unwrap();
    let (log, access) = (home.path().join("log"), home.path().join("access"));
    let mut command = Command::new(PROGRAM);
    let store = format!("dir:{}", home.path().join("store").display());
    command.args(["serve", "--listen", "127.0.0.1:0", "--store", &store]).env_clear();
    command.stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    command.envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)]);
    command.env("RATCHET_LOG_ACCESS", &access).env("RATCHET_LOG_FORMAT", format);
    let mut gateway = Gateway::spawn(command);
    let status = |key, method: &str, target: &str| gateway.s3(key, method, target, b"some").0;
    assert_eq!(status(KEY, "PUT", "/bucket"), 400);
    assert_eq!(gateway.s3(KEY, "PUT", "/bucket", b"").0, 200);
    assert_eq!(status(KEY, "PUT", "/bucket/a/b"), 200);
    assert_eq!(gateway.s3(KEY, "GET", "/bucket/absent", b"").0, 404);
    assert_eq!(gateway.s3(("stranger", "none"), "GET", "/bucket/a/b", b"").0, 403);
    let figures = gateway.s3(KEY, "GET", "/_ratchet/v1/metrics", b"").1;
    gateway.kill();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    (read(&log), read(&access), String::from_utf8_lossy(&figures).into_owned())
}

#[test]
fn requests_are_logged_with_who_from_where_and_what() {
    let (stderr, access, _) = three_requests("json");
    let events = |text: &str| -> Vec<serde_json::Value> {
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.filter(|event: &serde_json::Value| event["message"] == "request").collect()
    };
    // What was refused is a warning; what was done, or is absent, is in the file only.
    let warned = events(&stderr);
    let codes: Vec<&str> = warned.iter().filter_map(|event| event["code"].as_str()).collect();
    assert_eq!(codes, ["MalformedXML", "InvalidAccessKeyId"], "{stderr}");
    assert!(warned.iter().all(|event| event["level"] == "WARN"), "{stderr}");
    let all = events(&access);
    assert_eq!(all.len(), 6, "{access}");
    let put = all.iter().find(|event| event["op"] == "s3-put-object").unwrap();
    for (field, value) in [("account", "root"), ("bucket", "bucket"), ("key", "a/b"), ("code", "")]
    {
        assert_eq!(put[field], value, "{put}");
    }
    assert_eq!((&put["status"], &put["bytes_in"]), (&200.into(), &4.into()));
    assert!(put["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{put}");
    assert!(put["ms"].is_u64() && put["request"].as_str().unwrap().len() == 32, "{put}");
    let (stderr, access, _) = three_requests("text");
    assert_eq!(stderr.matches(" WARN request ").count(), 2, "{stderr}");
    assert_eq!(access.lines().count(), 6, "{access}");
    assert!(access.contains("bucket=\"bucket\" key=\"a/b\" status=200"), "{access}");
}

#[test]
fn an_access_log_that_cannot_be_written_is_said_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(home.path()).env_clear();
    command.env("RATCHET_LOG_ACCESS", "no/such/file");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("log.access: no/such/file cannot be opened"), "{message}");
    assert!(!home.path().join("ratchet-data").exists());
}

#[test]
fn the_figures_tell_how_long_requests_and_calls_of_the_store_take() {
    let (_, _, figures) = three_requests("text");
    let value = |name: &str| -> f64 {
        let line = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in\n{figures}")).parse().unwrap()
    };
    assert_eq!(value("ratchet_request_seconds_count{op=\"s3-put-object\"}"), 1.0);
    assert_eq!(value("ratchet_request_seconds_bucket{op=\"s3-put-object\",le=\"+Inf\"}"), 1.0);
    assert!(value("ratchet_store_call_seconds_count{call=\"put\"}") >= 1.0);
    assert_eq!(value("ratchet_store_calls_failed_total{call=\"put\"}"), 0.0);
    assert!(value("ratchet_store_free_bytes") <= value("ratchet_store_size_bytes"));
    assert!(value("ratchet_store_index_bytes") > 0.0);
    assert_eq!((value("ratchet_open_uploads"), value("ratchet_gc_sweeps_total")), (0.0, 0.0));
    assert!(value("ratchet_connections") >= 1.0);
    assert!(value("ratchet_connections_accepted_total") >= value("ratchet_connections"));
}
