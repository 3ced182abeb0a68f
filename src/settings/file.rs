//! The settings file: TOML, walked with the place of every key in hand.
//!
//! Guarantees: what is in the file is either a key that exists, with a value that can be, or an
//! error with its line. Source: <https://toml.io/en/v1.0.0>

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Error, Place, Settings, accounts, keys};

/// A file's path and text, to say where something stands.
pub struct Text<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

impl Text<'_> {
    /// The place of a byte of the text.
    pub fn place(&self, at: usize) -> Place {
        let line = self.text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        Place::File { path: self.path.to_owned(), line }
    }
}

/// Applies a file to the settings.
pub fn apply(path: &Path, settings: &mut Settings) -> Result<(), Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    apply_text(&Text { path, text: &text }, settings)
}

/// As `apply`, of a text that was read.
pub fn apply_text(file: &Text<'_>, settings: &mut Settings) -> Result<(), Error> {
    let table = DeTable::parse(file.text).map_err(|error| Error::Syntax {
        place: file.place(error.span().map_or(0, |span| span.start)),
        what: error.message().to_owned(),
    })?;
    for (name, value) in table.get_ref() {
        match (name.get_ref().as_ref(), value.get_ref()) {
            ("account", _) => accounts::apply(file, value, settings)?,
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
    file: &Text<'_>,
    settings: &mut Settings,
    key: &str,
    (name, value): Entry<'_, '_>,
) -> Result<(), Error> {
    if !keys::KEYS.iter().any(|known| known.name == key) {
        return Err(keys::unknown(key, &file.place(name.span().start)));
    }
    let place = file.place(value.span().start);
    let Some(text) = scalar(value.get_ref()) else {
        return Err(Error::Value {
            key: key.to_owned(),
            value: file.text[value.span()].to_owned(),
            place,
            fix: "it is a single text or whole number".to_owned(),
        });
    };
    keys::set(settings, key, &text, &place)
}

/// A single value as its text.
pub fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    }
}
