//! A terminal for programs under test, and what its screen shows.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::wait::until;

/// As high as no test prints.
const ROWS: u16 = 200;

/// A terminal of some width with a program on it.
pub struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<Screen>>,
    child: Child,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    /// Runs the command with the terminal as its stdin, stdout and stderr, and as what Ctrl-C is
    /// pressed on.
    pub fn run(command: &Command, columns: u16) -> Self {
        let (master, path) = open(columns);
        // `setsid` makes the terminal the one that controls the program.
        let mut on_terminal = through(&["setsid", "--ctty", "--wait"], &interruptible(command));
        on_terminal.env("TERM", "xterm");
        let side = || OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let child = on_terminal.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        drop(on_terminal);
        let screen = Arc::new(Mutex::new(Screen::new(usize::from(columns))));
        let keyboard = File::from(master);
        let (mut output, shared) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error: nobody has the other side open any more.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                shared.lock().unwrap().show(&bytes[..read]);
            }
        });
        Self { keyboard, screen, child, reader: Some(reader) }
    }

    /// Waits until the screen shows each of these texts at once, as often as it is given. Returns
    /// what it shows then.
    pub fn until_shown(&self, texts: &[(&str, usize)]) -> String {
        let mut shown = String::new();
        until(&format!("{texts:?} on a terminal"), || {
            shown = self.screen.lock().unwrap().rows().join("\n");
            texts.iter().all(|(text, times)| shown.matches(text).count() == *times)
        });
        shown
    }

    /// Types bytes, such as 3 for Ctrl-C.
    pub fn press(&mut self, bytes: &[u8]) {
        self.keyboard.write_all(bytes).unwrap();
    }

    /// Waits for the end. Returns the exit code and what stays on the screen.
    pub fn end(mut self) -> (Option<i32>, Vec<String>) {
        let code = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        let screen = self.screen.lock().unwrap();
        assert!(!screen.has_wrapped, "a line was wider than the terminal: {:#?}", screen.rows());
        (code, screen.rows())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // An error: it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The same command with SIGINT as a shell in the foreground gives it: what starts the tests in the
/// background switches it off, and every process passes that on.
pub fn interruptible(command: &Command) -> Command {
    through(&["env", "--default-signal=INT"], command)
}

/// The command, started by a program that turns into it or waits for it.
fn through(starter: &[&str], command: &Command) -> Command {
    let mut started = Command::new(starter[0]);
    started.args(&starter[1..]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => started.env(name, value),
            None => started.env_remove(name),
        };
    }
    started
}

/// The side of the tester, and the path of the other one.
fn open(columns: u16) -> (OwnedFd, std::path::PathBuf) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master.as_fd(), size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    (master, name.into_string().unwrap().into())
}

/// Understands what the program prints: characters, CR, LF, and the sequences CUU, EL and ED.
struct Screen {
    columns: usize,
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// Bytes that are no whole character or sequence yet.
    rest: Vec<u8>,
    /// Whether a line was wider than the screen.
    has_wrapped: bool,
}

impl Screen {
    fn new(columns: usize) -> Self {
        let cells = vec![Vec::new()];
        Self { columns, cells, row: 0, column: 0, rest: Vec::new(), has_wrapped: false }
    }

    /// All rows, without the empty ones at the end.
    fn rows(&self) -> Vec<String> {
        let rows = self.cells.iter().map(|row| row.iter().collect::<String>());
        let mut rows: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
        while rows.last().is_some_and(String::is_empty) {
            rows.pop();
        }
        rows
    }

    fn show(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let valid = match std::str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let text: Vec<char> = std::str::from_utf8(&self.rest[..valid]).unwrap().chars().collect();
        let mut unread = &text[..];
        while let [first, after @ ..] = unread {
            unread = match first {
                '\x1b' => match self.sequence(after) {
                    Some(after) => after,
                    None => break,
                },
                character => {
                    self.character(*character);
                    after
                }
            };
        }
        let kept: String = unread.iter().collect();
        self.rest = [kept.as_bytes(), &self.rest[valid..]].concat();
    }

    /// Obeys the sequence after an ESC. Returns what comes after it; None if its end is missing.
    fn sequence<'a>(&mut self, text: &'a [char]) -> Option<&'a [char]> {
        assert!(text.first().is_none_or(|first| *first == '['), "no CSI: {text:?}");
        let end = text.iter().skip(1).position(char::is_ascii_alphabetic)? + 1;
        let parameter: String = text[1..end].iter().collect();
        match (text[end], parameter.as_str()) {
            ('A', rows) => self.row -= rows.parse::<usize>().unwrap(),
            ('K', "") => self.cells[self.row].truncate(self.column),
            ('J', "") => {
                self.cells.truncate(self.row + 1);
                self.cells[self.row].truncate(self.column);
            }
            other => panic!("the screen does not know the sequence {other:?}"),
        }
        Some(&text[end + 1..])
    }

    fn character(&mut self, character: char) {
        match character {
            '\r' => self.column = 0,
            '\n' => self.line_feed(),
            // What is typed is shown as ^C.
            _ => {
                assert!(!character.is_control(), "the screen does not know {character:?}");
                if self.column == self.columns {
                    self.has_wrapped = true;
                    self.column = 0;
                    self.line_feed();
                }
                let row = &mut self.cells[self.row];
                row.resize(row.len().max(self.column + 1), ' ');
                row[self.column] = character;
                self.column += 1;
            }
        }
    }

    fn line_feed(&mut self) {
        self.row += 1;
        if self.row == self.cells.len() {
            self.cells.push(Vec::new());
        }
    }
}

#[test]
fn a_screen_shows_what_is_drawn_over_and_erased() {
    let mut screen = Screen::new(10);
    screen.show(b"one\r\ntwo\r\n12% \xe2");
    screen.show(b"\x80\xa6 x\r\x1b[");
    screen.show(b"1Aten\x1b[K\r\n24\x1b[K\x1b[J");
    assert_eq!(screen.rows(), ["one", "ten", "24"]);
    screen.show(b"\r\x1b[1A\x1b[Jend\r\n");
    assert_eq!(screen.rows(), ["one", "end"]);
    assert!(!screen.has_wrapped);
    screen.show(b"0123456789A");
    assert!(screen.has_wrapped);
}
