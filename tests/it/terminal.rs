//! What a person sees while files are moved: on terminals of 80 and of 40 columns, and in the lines
//! that are printed where there is no terminal.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use ratchet::clock::Clock;
use rustix::process::{Signal, kill_process};

use crate::support::client::text;
use crate::support::lab::pattern;
use crate::support::process::{Gateway, Relay, stores};
use crate::support::terminal::{Terminal, interruptible};

const MIB: usize = 1 << 20;
/// What clients may send until one chunk of 8 MiB of four has arrived.
const ONE_CHUNK_AND_A_HALF: u64 = 12 << 20;
const CTRL_C: &[u8] = &[3];

fn make_tree(root: &Path) {
    for (at, name) in ["a", "b"].into_iter().enumerate() {
        fs::write(root.join(name), pattern(MIB, at as u8)).unwrap();
    }
}

fn add_large_file(root: &Path) {
    let dir = root.join("a directory whose name is longer than a row of forty columns");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("large.bin"), pattern(40 * MIB, 7)).unwrap();
}

/// A backup of a tree of which two files are known, while the gateway goes away and comes back.
fn check_backup_at(columns: u16, store: &str, target: &str) {
    let home = tempfile::tempdir().unwrap();
    let (from, wire) = (home.path().join("from"), Relay::new());
    fs::create_dir(&from).unwrap();
    make_tree(&from);
    let mut gateway = Gateway::start(store).behind(&wire);
    gateway.json(&["backup", text(&from), target]);
    add_large_file(&from);
    wire.allow(ONE_CHUNK_AND_A_HALF);
    let backup = gateway.client(&["backup", text(&from), target, "--jobs", "1"]);
    let terminal = Terminal::run(&backup, columns);
    // Two of the files and the directory are done, and of the large one a chunk.
    let numbers = [("23% of 42.0 MiB, ", 1), ("3 of 4 files", 1), ("2.0 MiB known", 1)];
    let file_and_rate = [("large.bin", 1), ("/s", 1), ("[====", usize::from(columns == 80))];
    let shown = terminal.until_shown(&[numbers.as_slice(), &file_and_rate].concat());
    println!("{columns} columns:\n{shown}");
    gateway.kill();
    // In a line that stays, with the reason, and in the rows.
    let away = [("cannot reach", 2), ("9 min", 2), ("large.bin", 0)];
    let shown = terminal.until_shown(&[numbers.as_slice(), &away].concat());
    println!("{columns} columns:\n{shown}");
    let _gateway = Gateway::start(store).behind(&wire);
    wire.allow(u64::MAX);
    let (code, rows) = terminal.end();
    let screen = rows.join(" ");
    println!("{columns} columns:\n{}", rows.join("\n"));
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("responds again"), "{screen}");
    assert!(!screen.contains('%'), "the rows are erased: {screen}");
    let summary = "2 sent, 2 there already, 0 skipped, 0 left out, 0 failed; 40.0 MiB sent in";
    assert!(screen.contains(summary) && screen.ends_with("/s"), "{screen}");
}

#[test]
fn a_backup_shows_what_is_done_known_and_left_on_80_and_40_columns() {
    let home = tempfile::tempdir().unwrap();
    for (at, store) in stores(home.path()).iter().enumerate() {
        for columns in [80, 40] {
            let bucket = Clock::system().random_id();
            check_backup_at(columns, store, &format!("s3://b{bucket}/tree-{at}-{columns}/"));
        }
    }
}

#[test]
fn ctrl_c_ends_a_backup_cleanly_and_the_next_one_goes_on() {
    let (home, wire) = (tempfile::tempdir().unwrap(), Relay::new());
    let store = format!("dir:{}", home.path().join("store").display());
    let gateway = Gateway::start(&store).behind(&wire);
    let file = home.path().join("file");
    fs::write(&file, pattern(40 * MIB, 1)).unwrap();
    wire.allow(ONE_CHUNK_AND_A_HALF);
    let args = ["backup", text(&file), "s3://bucket/key", "--jobs", "1"];
    let mut terminal = Terminal::run(&gateway.client(&args), 40);
    terminal.until_shown(&[("20% of 40.0 MiB", 1)]);
    terminal.press(CTRL_C);
    let (code, rows) = terminal.end();
    assert_eq!(code, Some(130), "{rows:#?}");
    // The terminal shows the key itself, before the last row or behind it.
    let stopped = "ratchet: stopped; run it again to go on";
    assert!(rows.iter().any(|row| row == stopped), "{rows:#?}");
    assert!(!rows.join(" ").contains('%'), "{rows:#?}");
    // What the first client left in the buffers of its machine may have become a chunk meanwhile.
    wire.allow(16 << 20);
    let terminal = Terminal::run(&gateway.client(&args), 40);
    terminal.until_shown(&[("% of 40.0 MiB", 1), (" MiB resumed", 1)]);
    wire.allow(u64::MAX);
    let (code, rows) = terminal.end();
    let screen = rows.join(" ");
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("complete: 40.0 MiB, "), "{screen}");
    assert!(
        screen.contains(" MiB there already; ") && screen.contains(" MiB sent in "),
        "{screen}"
    );
    assert!(!screen.contains("; 40.0 MiB sent"), "{screen}");
}

#[test]
fn ctrl_c_ends_a_command_that_waits_for_something_else() {
    let home = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&format!("dir:{}", home.path().join("store").display()));
    let (file, fifo) = (home.path().join("file"), home.path().join("fifo"));
    fs::write(&file, b"content").unwrap();
    gateway.json(&["backup", text(&file), "s3://bucket/key"]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let restore = gateway.client(&["restore", "s3://bucket/key", text(&fifo)]);
    let stdin = gateway.client(&["backup", "-", "s3://bucket/typed"]);
    for (command, shown) in [(restore, "waiting until a program"), (stdin, "0 B done")] {
        let mut terminal = Terminal::run(&command, 80);
        terminal.until_shown(&[(shown, 1)]);
        terminal.press(CTRL_C);
        let (code, rows) = terminal.end();
        assert_eq!(code, Some(130), "{rows:#?}");
        assert!(rows.join(" ").contains("run it again to go on"), "{rows:#?}");
    }
}

#[test]
fn without_a_terminal_there_is_a_line_every_ten_seconds() {
    let (home, wire) = (tempfile::tempdir().unwrap(), Relay::new());
    let store = format!("dir:{}", home.path().join("store").display());
    let from = home.path().join("from");
    fs::create_dir(&from).unwrap();
    make_tree(&from);
    add_large_file(&from);
    let gateway = Gateway::start(&store).behind(&wire);
    wire.allow(ONE_CHUNK_AND_A_HALF);
    let args = ["backup", text(&from), "s3://bucket/tree/", "--jobs", "1"];
    let mut backup = interruptible(&gateway.client(&args));
    let mut child = backup.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let clock = Clock::system();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    for lines in 1..=2 {
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let seconds = clock.monotonic().as_secs();
        assert!(seconds >= lines * 9, "after {seconds} s: {line}");
        assert!(line.starts_with("ratchet: 23% of 42.0 MiB, "), "{line}");
        assert!(line.contains("/s, ") && line.contains("3 of 4 files; "), "{line}");
        assert!(line.ends_with("large.bin\n"), "{line}");
        assert!(!line.contains('\x1b') && !line.contains('\r'), "{line:?}");
    }
    // A program that is not on a terminal is interrupted by a signal.
    kill_process(rustix::process::Pid::from_child(&child), Signal::INT).unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.ends_with("ratchet: stopped; run it again to go on\n"), "{rest}");
}

#[test]
fn totals_are_known_before_anything_is_sent() {
    let (home, wire) = (tempfile::tempdir().unwrap(), Relay::new());
    let store = format!("dir:{}", home.path().join("store").display());
    let from = home.path().join("from");
    fs::create_dir(&from).unwrap();
    add_large_file(&from);
    let gateway = Gateway::start(&store).behind(&wire);
    // Not even the head of the first request.
    wire.allow(0);
    let backup = gateway.client(&["backup", text(&from), "s3://bucket/tree/"]);
    let mut terminal = Terminal::run(&backup, 80);
    terminal.until_shown(&[("0% of 40.0 MiB, 0 B/s, 0 of 2 files", 1)]);
    assert_eq!(wire.sent(), 0);
    terminal.press(CTRL_C);
    assert_eq!(terminal.end().0, Some(130));
}
