//! How errors and notes are printed: as a line for people, or with `--json` as one object for
//! machines.
//!
//! Guarantees: an error is one line on stderr, with its causes and without control characters, or
//! one JSON object on stderr with `code`, `message` and, where there is one, `requestId`. Codes
//! stay the same (docs/operations.md#errors-in-json).

use std::fmt::Display;
use std::sync::OnceLock;

use crate::client::for_terminal;
use crate::escape::{error_chain, escaped, escaped_json};

/// The code of arguments that are wrong.
pub const WRONG_USE: &str = "wrong-use";

static AS_JSON: OnceLock<bool> = OnceLock::new();

/// Decides how errors are printed, those of the arguments too.
pub fn print_as_json(as_json: bool) {
    // Only the first decision counts.
    AS_JSON.set(as_json).ok();
}

pub fn prints_json() -> bool {
    AS_JSON.get().copied().unwrap_or(false)
}

/// Prints an error with its causes.
pub fn report(error: &dyn std::error::Error, code: &str, request_id: Option<&str>) {
    report_text(&error_chain(error), code, request_id);
}

/// The same for an error that is a text.
pub fn report_text(message: &str, code: &str, request_id: Option<&str>) {
    if !prints_json() {
        return note(message);
    }
    let mut object = serde_json::json!({ "code": code, "message": message });
    if let Some(id) = request_id {
        object["requestId"] = id.into();
    }
    eprintln!("{}", escaped_json(&object.to_string()));
}

/// Prints a line for people; with `--json` nothing, as the result says the same.
pub fn note(text: impl Display) {
    if !prints_json() {
        let line = format!("ratchet: {}", escaped(text));
        eprintln!("{}", for_terminal(&line, std::io::stderr()));
    }
}
