//! Escapes untrusted text for a terminal or a log: keys, header values, messages of a server.
//!
//! Guarantees: the output has no character that ends a line, moves the cursor, or makes text appear
//! in another order than it has; every other character stays as it is. Sources: Unicode 15, general
//! category Cc; Unicode Standard Annex 9, section 2.

use std::fmt::{self, Display, Write};

/// Escapes unsafe characters in what is written through it, in the form `\u{1b}`.
pub struct EscapingWriter<W>(pub W);

impl<W: Write> Write for EscapingWriter<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (plain, unsafe_char) in split_at_unsafe(text) {
            self.0.write_str(plain)?;
            if let Some(character) = unsafe_char {
                write!(self.0, "{}", character.escape_unicode())?;
            }
        }
        Ok(())
    }
}

/// The text with its unsafe characters escaped.
pub fn escaped(text: impl Display) -> String {
    let mut out = String::new();
    write!(EscapingWriter(&mut out), "{text}").expect("writing to a String cannot fail");
    out
}

/// An error and its causes in one line, separated by `: `. Not escaped: a log escapes it anyway.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A line of JSON with its unsafe characters escaped in JSON's own form, so that its meaning stays
/// the same. Line breaks stay: JSON has none within a string.
pub fn escaped_json(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for (plain, unsafe_char) in split_at_unsafe(line) {
        out.push_str(plain);
        match unsafe_char {
            Some('\n') => out.push('\n'),
            // No unsafe character is above U+FFFF, so four digits are enough.
            Some(character) => write!(out, "\\u{:04x}", u32::from(character))
                .expect("writing to a String cannot fail"),
            None => {}
        }
    }
    out
}

/// Pieces of safe text, each with the unsafe character that follows it.
fn split_at_unsafe(text: &str) -> impl Iterator<Item = (&str, Option<char>)> {
    text.split_inclusive(is_unsafe).map(|piece| {
        let unsafe_char = piece.chars().next_back().filter(|last| is_unsafe(*last));
        (&piece[..piece.len() - unsafe_char.map_or(0, char::len_utf8)], unsafe_char)
    })
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and characters that change the
/// direction of text.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDINARY: &str = "ordinary: äöü, עברית, 日本語, 🦀, \\, \" and \u{a0}";

    #[test]
    fn unsafe_characters_are_escaped_and_all_others_stay() {
        let table = [
            ("", ""),
            (ORDINARY, ORDINARY),
            ("line\r\nforged", "line\\u{d}\\u{a}forged"),
            ("\u{1b}[2Jx", "\\u{1b}[2Jx"),
            ("\u{0}\u{1f}\u{7f}", "\\u{0}\\u{1f}\\u{7f}"),
            ("\u{80}\u{85}\u{9b}\u{9f}", "\\u{80}\\u{85}\\u{9b}\\u{9f}"),
            ("\u{200e}\u{200f}\u{61c}", "\\u{200e}\\u{200f}\\u{61c}"),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            ("\u{202a}\u{202e}\u{2066}\u{2069}", "\\u{202a}\\u{202e}\\u{2066}\\u{2069}"),
            ("\u{2027}\u{202f}\u{2065}\u{206a}\u{a0}", "\u{2027}\u{202f}\u{2065}\u{206a}\u{a0}"),
        ];
        for (text, expected) in table {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn escaped_json_has_the_same_meaning() {
        let text = format!("{ORDINARY}\r\n\u{1b}\u{7f}\u{85}\u{202e}\u{2028}");
        let line = escaped_json(&format!("{}\n", serde_json::to_string(&text).unwrap()));
        assert!(line.ends_with("\\u007f\\u0085\\u202e\\u2028\"\n"), "{line}");
        assert_eq!(line.chars().filter(|character| is_unsafe(*character)).count(), 1);
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}
