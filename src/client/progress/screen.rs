//! What is on stderr: rows that are drawn again and again at the end of a terminal, and messages
//! above them.
//!
//! Guarantees: a message never lands between rows; on a terminal no line is wider than it, so that
//! the rows can be found again and erased. Source: ECMA-48, *CUU*, *ED*, *EL*.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;

use crate::escape::{escaped, escaped_json};

use super::text::{self, View, wrap};

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    Messages,
    /// Messages, each as a JSON object.
    Json,
    /// Messages, and a line with the progress from time to time.
    Lines,
    /// Messages, and rows with the progress.
    Rows,
}

/// The size of a terminal that does not tell it.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

impl Shown {
    /// Rows if stderr is a terminal that can move its cursor.
    pub fn of_stderr() -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if std::io::stderr().is_terminal() && !is_dumb { Self::Rows } else { Self::Lines }
    }

    pub fn is_live(self) -> bool {
        matches!(self, Self::Lines | Self::Rows)
    }
}

pub(super) struct Screen {
    shown: Shown,
    /// The rows that the cursor stands at the end of.
    drawn: Vec<String>,
}

impl Screen {
    pub fn new(shown: Shown) -> Self {
        Self { shown, drawn: Vec::new() }
    }

    /// Shows the progress: as rows, or if it is time as a line.
    pub fn show(&mut self, view: &View, is_time_for_a_line: bool) {
        match self.shown {
            Shown::Rows => {
                let (columns, height) = size_of(std::io::stderr());
                // A cursor behind the last column is in a state that terminals do not agree on.
                let mut rows = text::rows(view, columns.saturating_sub(1));
                rows.truncate(height.saturating_sub(1).max(1));
                self.draw(rows);
            }
            Shown::Lines if is_time_for_a_line => self.say(&text::line(view)),
            Shown::Lines | Shown::Nothing | Shown::Messages | Shown::Json => {}
        }
    }

    /// Prints a message.
    pub fn say(&mut self, text: &str) {
        self.erase();
        match self.shown {
            Shown::Nothing => {}
            Shown::Messages | Shown::Lines | Shown::Rows => {
                let line = format!("ratchet: {}", escaped(text));
                put(&format!("{}\n", for_terminal(&line, std::io::stderr())));
            }
            Shown::Json => {
                let note = serde_json::json!({ "note": text }).to_string();
                put(&format!("{}\n", escaped_json(&note)));
            }
        }
    }

    /// Removes the rows, for good.
    pub fn finish(&mut self) {
        self.erase();
        if self.shown.is_live() {
            self.shown = Shown::Messages;
        }
    }

    fn draw(&mut self, rows: Vec<String>) {
        if rows == self.drawn {
            return;
        }
        let ended: Vec<String> = rows.iter().map(|row| format!("{row}\x1b[K")).collect();
        put(&format!("{}{}\x1b[J", self.to_first_row(), ended.join("\r\n")));
        self.drawn = rows;
    }

    fn erase(&mut self) {
        if !self.drawn.is_empty() {
            put(&format!("{}\x1b[J", self.to_first_row()));
            self.drawn.clear();
        }
    }

    /// Moves the cursor to the beginning of the first row.
    fn to_first_row(&self) -> String {
        match self.drawn.len() {
            0 | 1 => "\r".to_owned(),
            rows => format!("\r\x1b[{}A", rows - 1),
        }
    }
}

fn put(text: &str) {
    // Whoever closed stderr wants no progress.
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// The text as it is printed to this stream: if that is a terminal, broken at spaces where its
/// lines end.
pub fn for_terminal(text: &str, stream: impl AsFd + IsTerminal) -> String {
    if !stream.is_terminal() {
        return text.to_owned();
    }
    let (columns, _) = size_of(stream);
    text.lines().flat_map(|line| wrap(line, columns)).collect::<Vec<_>>().join("\n")
}

/// Columns and rows.
fn size_of(terminal: impl AsFd) -> (usize, usize) {
    match tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        Ok(_) | Err(_) => DEFAULT_SIZE,
    }
}
