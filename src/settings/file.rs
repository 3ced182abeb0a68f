//! The settings file, in TOML.
//!
//! Guarantees: everything in the file is either a known key with a valid value, or an error with
//! its line. Source: <https://toml.io/en/v1.0.0>

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Error, Origin, Settings, accounts, cors, keys};

/// The path and text of a settings file.
pub struct File<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

impl File<'_> {
    /// The line that the byte at this offset is in.
    pub fn origin(&self, offset: usize) -> Origin {
        let line =
            self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1;
        Origin::File { path: self.path.to_owned(), line }
    }
}

/// Reads a file and applies it to the settings.
pub fn apply(path: &Path, settings: &mut Settings) -> Result<(), Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    apply_text(&File { path, text: &text }, settings)
}

/// As `apply`, for a file that was read already.
pub fn apply_text(file: &File<'_>, settings: &mut Settings) -> Result<(), Error> {
    let table = DeTable::parse(file.text).map_err(|error| Error::Syntax {
        origin: file.origin(error.span().map_or(0, |span| span.start)),
        problem: error.message().to_owned(),
    })?;
    for (name, value) in table.get_ref() {
        match (name.get_ref().as_ref(), value.get_ref()) {
            ("account", _) => accounts::apply(file, value, settings)?,
            ("cors", _) => cors::apply(file, value, settings)?,
            (table, DeValue::Table(inner)) => {
                for (name, value) in inner {
                    set(file, settings, &format!("{table}.{}", name.get_ref()), (name, value))?;
                }
            }
            (key, _) => set(file, settings, key, (name, value))?,
        }
    }
    Ok(())
}

type Entry<'a, 'i> = (&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

fn set(
    file: &File<'_>,
    settings: &mut Settings,
    key: &str,
    (name, value): Entry<'_, '_>,
) -> Result<(), Error> {
    if !keys::KEYS.iter().any(|known| known.name == key) {
        return Err(keys::unknown_key(key, &file.origin(name.span().start)));
    }
    let origin = file.origin(value.span().start);
    let Some(text) = scalar(value.get_ref()) else {
        return Err(Error::Value {
            key: key.to_owned(),
            value: file.text[value.span()].to_owned(),
            origin,
            fix: "it must be a single string, whole number or boolean".to_owned(),
        });
    };
    keys::set(settings, key, &text, &origin)
}

/// The text of a single value; None for a value of another type.
pub fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    }
}
