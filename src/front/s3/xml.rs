//! Writing the XML documents of responses.
//!
//! Guarantees: text is escaped; what XML 1.0 cannot represent is replaced.

use std::fmt::Write;

pub(super) use crate::clock::timestamp;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A document that is being written.
#[derive(Debug)]
pub(super) struct Xml {
    text: String,
    open: Vec<&'static str>,
}

impl Xml {
    /// A document with this root element, in S3's namespace.
    pub fn new(root: &'static str) -> Self {
        let head =
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{NAMESPACE}\">");
        Self { text: head, open: vec![root] }
    }

    /// A document whose root element has only text.
    pub fn with_text(root: &'static str, value: &str) -> String {
        let mut xml = Self::new(root);
        write!(Escaped(&mut xml.text), "{value}").expect("writing to a String cannot fail");
        xml.finish()
    }

    /// An error document, which has no namespace.
    pub fn error() -> Self {
        Self {
            text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>".to_owned(),
            open: vec!["Error"],
        }
    }

    pub fn open(&mut self, name: &'static str) -> &mut Self {
        self.tag("<", name);
        self.open.push(name);
        self
    }

    /// Opens an element with an `xsi:type`.
    pub fn open_typed(&mut self, name: &'static str, kind: &str) -> &mut Self {
        const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
        let attributes = format!("{name} xmlns:xsi=\"{INSTANCE}\" xsi:type=\"{kind}\"");
        self.tag("<", &attributes);
        self.open.push(name);
        self
    }

    pub fn close(&mut self) -> &mut Self {
        let name = self.open.pop().expect("each close follows an open");
        self.tag("</", name);
        self
    }

    /// Writes an element with text.
    pub fn element(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.tag("<", name);
        write!(Escaped(&mut self.text), "{value}").expect("writing to a String cannot fail");
        self.tag("</", name);
        self
    }

    fn tag(&mut self, begin: &str, name: &str) {
        self.text.push_str(begin);
        self.text.push_str(name);
        self.text.push('>');
    }

    /// Writes an account, in an element that says what it is.
    pub fn account(&mut self, name: &'static str, account: &str) -> &mut Self {
        self.open(name).element("ID", account).element("DisplayName", account).close()
    }

    /// Writes an element if there is a value.
    pub fn maybe(&mut self, name: &str, value: Option<impl std::fmt::Display>) -> &mut Self {
        if let Some(value) = value {
            self.element(name, value);
        }
        self
    }

    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }
}

/// Writes escaped text to a document without an intermediate copy: a listing has thousands of
/// texts.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|b| !is_plain(b)) {
            let (plain, special) = rest.split_at(at);
            self.0.push_str(plain);
            let mut chars = special.chars();
            if let Some(special) = chars.next() {
                escape(special, self.0);
            }
            rest = chars.as_str();
        }
        self.0.push_str(rest);
        Ok(())
    }
}

fn is_plain(b: u8) -> bool {
    matches!(b, b' '..=b'~') && !matches!(b, b'&' | b'<' | b'>' | b'"' | b'\'')
}

/// XML 1.0 cannot represent most control characters; S3 clients use `encoding-type=url` for keys
/// that have them.
fn escape(special: char, text: &mut String) {
    match special {
        '&' => text.push_str("&amp;"),
        '<' => text.push_str("&lt;"),
        '>' => text.push_str("&gt;"),
        '"' => text.push_str("&quot;"),
        '\'' => text.push_str("&apos;"),
        // XML parsers read a bare carriage return as a line feed.
        '\r' => text.push_str("&#13;"),
        '\t' | '\n' => text.push(special),
        '\u{FFFE}' | '\u{FFFF}' => text.push('\u{FFFD}'),
        special if special.is_control() => text.push('\u{FFFD}'),
        special => text.push(special),
    }
}

/// As `timestamp`, without fraction and zone.
pub(super) fn iso_seconds(time: std::time::SystemTime) -> String {
    timestamp(time)[..19].to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn text_is_escaped_and_times_are_iso_8601() {
        let mut xml = Xml::new("R");
        xml.open("A").element("K", "a<b>&\u{1}\r\u{FFFF}ä\n'c'").close().maybe("N", None::<&str>);
        assert!(
            xml.finish().ends_with(
                "<A><K>a&lt;b&gt;&amp;\u{FFFD}&#13;\u{FFFD}ä\n&apos;c&apos;</K></A></R>"
            )
        );
        assert_eq!(
            timestamp(UNIX_EPOCH + Duration::from_millis(1_255_369_830_120)),
            "2009-10-12T17:50:30.120Z"
        );
    }
}
