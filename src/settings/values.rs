//! Values of settings as text: parsing, and showing them in TOML. **Errors**: what a value must be.

use std::time::Duration;

use super::Settings;
use crate::server::TlsSettings;

/// A whole number in the range that is allowed for its setting.
pub fn number(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("it must be a whole number in [{min}, {max}]"))
}

pub fn size(text: &str, min: u64, max: u64) -> Result<usize, String> {
    number(text, min, max)
        .and_then(|number| usize::try_from(number).map_err(|error| error.to_string()))
}

pub fn seconds(text: &str) -> Result<Duration, String> {
    number(text, 1, 86_400).map(Duration::from_secs)
}

pub fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "it must be true or false".to_owned())
}

pub fn tls_file(settings: &mut Settings, set: impl FnOnce(&mut TlsSettings)) -> Result<(), String> {
    let empty = TlsSettings { certificate: "".into(), key: "".into() };
    let mut tls = settings.server.tls.take().unwrap_or(empty.clone());
    set(&mut tls);
    settings.server.tls = Some(tls).filter(|tls| *tls != empty);
    Ok(())
}

/// The text as a TOML string.
pub fn quoted(text: impl std::fmt::Display) -> String {
    format!("{:?}", text.to_string())
}
