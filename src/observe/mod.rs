//! What an operator sees: log lines on stderr, for people or for machines.
//!
//! Guarantees: stdout stays free for data; set up once per process.
//! It does not decide what is logged: each room does, and none of them logs a secret. Figures are in `http`.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

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
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter such as `info,ratchet::upload=debug`.
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
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    // Only tests start it twice.
    if let Err(error) = started {
        tracing::debug!(error, "the log was started before");
    }
}
