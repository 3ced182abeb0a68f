//! Log lines on stderr, as text or JSON.
//!
//! Guarantees: nothing is written to stdout; the lines of requests also go to a file, if one is
//! set; the log is set up once per process. An event is one line, whatever a client wrote into a
//! key or a header: characters in messages and fields that could end the line or control a terminal
//! are escaped. It does not decide what is logged: each room does, and none logs a secret. Figures
//! are in `measure`.

mod json_lines;

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Mutex;

use tracing::field::Field;
use tracing::{Dispatch, Subscriber, dispatcher};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::escape::EscapingWriter;

use json_lines::JsonLines;

/// The target of the lines of requests.
pub const ACCESS: &str = "ratchet::access";

/// The terminal styles around a field's name.
const ITALIC: &str = "\u{1b}[3m";
const PLAIN: &str = "\u{1b}[0m";

/// The format of log lines.
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
            _ => Err("it must be \"text\" or \"json\"".to_owned()),
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
    /// The file that gets the line of every request; None: only stderr has them, as its level says.
    pub access: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: Format::Text, level: "info".to_owned(), access: None }
    }
}

impl Settings {
    /// Sets the file of the access log; none for an empty text.
    pub fn set_access(&mut self, path: &str) -> Result<(), String> {
        self.access = (!path.is_empty()).then(|| path.into());
        Ok(())
    }

    /// Sets the level. **Errors**: why the text is not a level or filter.
    pub fn set_level(&mut self, level: &str) -> Result<(), String> {
        let levels = ["error", "warn", "info", "debug", "trace", "off"];
        let filter = level.contains(['=', ',']);
        if !filter && !levels.contains(&level) {
            return Err(format!(
                "it must be one of {}, or a filter such as \"info,ratchet::upload=debug\"",
                levels.join(", ")
            ));
        }
        EnvFilter::try_new(level).map_err(|error| error.to_string())?;
        level.clone_into(&mut self.level);
        Ok(())
    }
}

/// Starts the log. A second call in one process changes nothing. **Errors**: the access log cannot
/// be opened.
pub fn start(settings: &Settings) -> io::Result<()> {
    let mut open = OpenOptions::new();
    let access = settings.access.as_ref().map(|path| open.append(true).create(true).open(path));
    let access = access.transpose()?.map(Mutex::new);
    let log = log(settings, std::io::stderr().is_terminal(), std::io::stderr, access);
    // Only tests start the log twice.
    if let Err(error) = dispatcher::set_global_default(log) {
        tracing::debug!(%error, "the log is already started");
    }
    Ok(())
}

/// A log that writes whole lines to a writer, and those of requests to another one too.
fn log(
    settings: &Settings,
    colors: bool,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
    access: Option<impl for<'a> MakeWriter<'a> + Send + Sync + 'static>,
) -> Dispatch {
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = lines(settings.format, colors, writer).with_filter(filter);
    let access = access.map(|writer| {
        let is_request = filter_fn(|event| event.target() == ACCESS);
        self::lines(settings.format, false, writer).with_filter(is_request)
    });
    Registry::default().with(lines).with(access).into()
}

fn lines<S>(
    format: Format,
    colors: bool,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    match format {
        Format::Text => {
            let fields = debug_fn(write_field).delimited(" ");
            let lines = tracing_subscriber::fmt::layer().with_writer(writer);
            Box::new(lines.with_ansi(colors).with_target(false).fmt_fields(fields))
        }
        Format::Json => {
            let lines = tracing_subscriber::fmt::layer().with_writer(JsonLines(writer));
            Box::new(lines.json().flatten_event(true))
        }
    }
}

/// Writes one field of a line, or its message, with unsafe characters escaped, because the value
/// may come from a client.
fn write_field(line: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() == "message" {
        return write!(EscapingWriter(line), "{value:?}");
    }
    let (name, plain) = if line.has_ansi_escapes() { (ITALIC, PLAIN) } else { ("", "") };
    write!(line, "{name}{}{plain}=", field.name())?;
    write!(EscapingWriter(line), "{value:?}")
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    const UNSAFE_TEXT: &str = "line\r\n2026-01-01T00:00:00Z ERROR forged \u{1b}[2J\u{7f}\u{85}\u{2028}\u{202e}\u{2066}end";

    const NO_ACCESS_LOG: Option<fn() -> Buffer> = None;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The log of events that have an unsafe text in every position of a text.
    fn logged(format: Format, colors: bool) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let settings = Settings { format, ..Settings::default() };
        let log = log(&settings, colors, move || writer.clone(), NO_ACCESS_LOG);
        dispatcher::with_default(&log, || {
            let error: Box<dyn std::error::Error + Send + Sync> = UNSAFE_TEXT.into();
            let nested = io::Error::other(UNSAFE_TEXT);
            tracing::warn!(text = UNSAFE_TEXT, shown = %UNSAFE_TEXT, debugged = ?nested, error, "a message of {UNSAFE_TEXT}");
            let span = tracing::info_span!("span", key = %UNSAFE_TEXT);
            let _entered = span.enter();
            tracing::info!("{}", UNSAFE_TEXT);
        });
        String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_event_is_one_line_without_unsafe_characters() {
        for format in [Format::Text, Format::Json] {
            let text = logged(format, false);
            assert_eq!(text.lines().count(), 2, "{text:?}");
            assert!(text.matches("end").count() >= 7, "no text is missing: {text}");
            let raw: Vec<char> =
                text.chars().filter(|c| *c != '\n' && (c.is_control() || !c.is_ascii())).collect();
            assert!(raw.is_empty(), "{raw:?} in {text:?}");
        }
    }

    #[test]
    fn json_has_the_original_text() {
        let text = logged(Format::Json, false);
        let event: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(
            (event["text"].as_str(), event["shown"].as_str()),
            (Some(UNSAFE_TEXT), Some(UNSAFE_TEXT))
        );
    }

    #[test]
    fn on_a_terminal_only_the_log_itself_sets_colors() {
        let text = logged(Format::Text, true);
        assert!(
            text.contains("\u{1b}[33m WARN\u{1b}[0m") && text.contains("\u{1b}[3mshown\u{1b}[0m="),
            "{text:?}"
        );
        assert!(text.contains("\\u{1b}[2J") && !text.contains("\u{1b}[2J"), "{text:?}");
    }

    #[test]
    fn a_text_line_has_the_expected_form() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        dispatcher::with_default(
            &log(&Settings::default(), false, move || writer.clone(), NO_ACCESS_LOG),
            || {
                tracing::info!(request = "id", status = 200, error = %"why not", "request");
            },
        );
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.ends_with("Z  INFO request request=\"id\" status=200 error=why not\n"),
            "{text:?}"
        );
    }
}
