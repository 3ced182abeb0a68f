//! What an operator sees: log lines on stderr, for people or for machines.
//!
//! Guarantees: stdout stays free for data; set up once per process. An event is one line, whatever
//! a client had written into a key or a header: in messages and fields, what could end the line or
//! steer a terminal is escaped. It does not decide what is logged: each room does, and none of them
//! logs a secret. Figures are in `http`.

mod json_lines;

use std::fmt::{self, Write as _};
use std::io::IsTerminal;
use std::str::FromStr;

use tracing::field::Field;
use tracing::{Dispatch, dispatcher};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::escape::Escaping;

use json_lines::JsonLines;

/// How a field's name looks on a terminal.
const ITALIC: &str = "\u{1b}[3m";
const PLAIN: &str = "\u{1b}[0m";

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Text,
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("it is \"text\" or \"json\"".to_owned()),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// The room's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub format: Format,
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter such as
    /// `info,ratchet::upload=debug`.
    pub level: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: Format::Text, level: "info".to_owned() }
    }
}

impl Settings {
    /// **Errors**: why the text is no level or filter.
    pub fn set_level(&mut self, level: &str) -> Result<(), String> {
        let named = ["error", "warn", "info", "debug", "trace", "off"];
        let filter = level.contains(['=', ',']);
        if !filter && !named.contains(&level) {
            return Err(format!(
                "it is one of {}, or a filter such as \"info,ratchet::upload=debug\"",
                named.join(", ")
            ));
        }
        EnvFilter::try_new(level).map_err(|error| error.to_string())?;
        level.clone_into(&mut self.level);
        Ok(())
    }
}

/// Starts the log. A second call in one process changes nothing.
pub fn start(settings: &Settings) {
    let log = log(settings, std::io::stderr().is_terminal(), std::io::stderr);
    // Only tests start it twice.
    if let Err(error) = dispatcher::set_global_default(log) {
        tracing::debug!(%error, "the log was started before");
    }
}

/// A log on a writer that takes whole lines.
fn log(
    settings: &Settings,
    colours: bool,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Dispatch {
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    match settings.format {
        Format::Text => {
            let fields = debug_fn(write_field).delimited(" ");
            lines
                .with_writer(writer)
                .with_ansi(colours)
                .with_target(false)
                .fmt_fields(fields)
                .finish()
                .into()
        }
        Format::Json => {
            lines.with_writer(JsonLines(writer)).json().flatten_event(true).finish().into()
        }
    }
}

/// One field of a line, or its message. What it says can be a client's, and so can a line break or
/// worse in it.
fn write_field(line: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() == "message" {
        return write!(Escaping(line), "{value:?}");
    }
    let (name, plain) = if line.has_ansi_escapes() { (ITALIC, PLAIN) } else { ("", "") };
    write!(line, "{name}{}{plain}=", field.name())?;
    write!(Escaping(line), "{value:?}")
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    const HOSTILE: &str = "line\r\n2026-01-01T00:00:00Z ERROR forged \u{1b}[2J\u{7f}\u{85}\u{2028}\u{202e}\u{2066}end";

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of a hostile text in every place that a text can have.
    fn logged(format: Format, colours: bool) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let settings = Settings { format, ..Settings::default() };
        dispatcher::with_default(&log(&settings, colours, move || writer.clone()), || {
            let error: Box<dyn std::error::Error + Send + Sync> = HOSTILE.into();
            let nested = io::Error::other(HOSTILE);
            tracing::warn!(text = HOSTILE, shown = %HOSTILE, debugged = ?nested, error, "a message of {HOSTILE}");
            let span = tracing::info_span!("span", key = %HOSTILE);
            let _entered = span.enter();
            tracing::info!("{}", HOSTILE);
        });
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_event_is_one_line_of_plain_characters() {
        for format in [Format::Text, Format::Json] {
            let text = logged(format, false);
            assert_eq!(text.lines().count(), 2, "{text:?}");
            assert!(text.matches("end").count() >= 7, "nothing is left out: {text}");
            let raw: Vec<char> =
                text.chars().filter(|c| *c != '\n' && (c.is_control() || !c.is_ascii())).collect();
            assert!(raw.is_empty(), "{raw:?} in {text:?}");
        }
    }

    #[test]
    fn json_says_what_was_said() {
        let text = logged(Format::Json, false);
        let event: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(
            (event["text"].as_str(), event["shown"].as_str()),
            (Some(HOSTILE), Some(HOSTILE))
        );
    }

    #[test]
    fn on_a_terminal_the_log_has_its_own_colours_and_no_others() {
        let text = logged(Format::Text, true);
        assert!(
            text.contains("\u{1b}[33m WARN\u{1b}[0m") && text.contains("\u{1b}[3mshown\u{1b}[0m="),
            "{text:?}"
        );
        assert!(text.contains("\\u{1b}[2J") && !text.contains("\u{1b}[2J"), "{text:?}");
    }

    #[test]
    fn a_line_reads_as_before() {
        let kept = Kept::default();
        let writer = kept.clone();
        dispatcher::with_default(&log(&Settings::default(), false, move || writer.clone()), || {
            tracing::info!(request = "id", status = 200, error = %"why not", "request");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.ends_with("Z  INFO request request=\"id\" status=200 error=why not\n"),
            "{text:?}"
        );
    }
}
