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
