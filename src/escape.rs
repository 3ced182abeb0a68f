//! Text that others wrote, on its way to a terminal or into a log: keys, header values, what a
//! server answered.
//!
//! Guarantees: what comes out has no character that ends a line, moves a cursor, or shows text in
//! another order than it has; all else comes out as it is. Sources: Unicode 15, general category
//! Cc; Unicode Standard Annex 9, section 2.

use std::fmt::{self, Display, Write};

/// Escapes what is written through it, as in `\u{1b}`.
pub struct Escaping<W>(pub W);

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (plain, hostile) in split(text) {
            self.0.write_str(plain)?;
            if let Some(hostile) = hostile {
                write!(self.0, "{}", hostile.escape_unicode())?;
            }
        }
        Ok(())
    }
}

/// The text with what is hostile escaped.
pub fn escaped(text: impl Display) -> String {
    let mut out = String::new();
    write!(Escaping(&mut out), "{text}").expect("a string takes all that is written");
    out
}

/// A line of JSON with what is hostile escaped as JSON does, so that it means the same. Its line
/// breaks stay: JSON itself has none within texts.
pub fn escaped_json(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for (plain, hostile) in split(line) {
        out.push_str(plain);
        match hostile {
            Some('\n') => out.push('\n'),
            // None of them is over U+FFFF.
            Some(hostile) => write!(out, "\\u{:04x}", u32::from(hostile))
                .expect("a string takes all that is written"),
            None => {}
        }
    }
    out
}

/// Stretches that may stand, each with the character after it that may not.
fn split(text: &str) -> impl Iterator<Item = (&str, Option<char>)> {
    text.split_inclusive(is_hostile).map(|stretch| {
        let hostile = stretch.chars().next_back().filter(|last| is_hostile(*last));
        (&stretch[..stretch.len() - hostile.map_or(0, char::len_utf8)], hostile)
    })
}

/// Controls (C0, DEL, C1), separators of lines and paragraphs, and what changes the direction of
/// text.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDINARY: &str = "ordinary: äöü, עברית, 日本語, 🦀, \\, \" and \u{a0}";

    #[test]
    fn what_is_hostile_is_escaped_and_all_else_stays() {
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
        for (text, wanted) in table {
            assert_eq!(escaped(text), wanted);
        }
    }

    #[test]
    fn json_means_the_same_escaped() {
        let text = format!("{ORDINARY}\r\n\u{1b}\u{7f}\u{85}\u{202e}\u{2028}");
        let line = escaped_json(&format!("{}\n", serde_json::to_string(&text).unwrap()));
        assert!(line.ends_with("\\u007f\\u0085\\u202e\\u2028\"\n"), "{line}");
        assert_eq!(line.chars().filter(|character| is_hostile(*character)).count(), 1);
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}
