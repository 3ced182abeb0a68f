//! The settings file, in TOML.
//!
//! Guarantees: everything in the file is either a known key with a valid value, or an error with
//! its line. Source: <https://toml.io/en/v1.0.0>

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Error, Loaded, Origin, accounts, cors, keys};

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
pub fn apply(path: &Path, loaded: &mut Loaded) {
    match std::fs::read_to_string(path) {
        Ok(text) => apply_text(&File { path, text: &text }, loaded),
        Err(source) => loaded.note(Err(Error::Unreadable { path: path.to_owned(), source })),
    }
}

/// As `apply`, for a file that was read already.
pub fn apply_text(file: &File<'_>, loaded: &mut Loaded) {
    let table = match DeTable::parse(file.text) {
        Ok(table) => table,
        Err(error) => {
            let origin = file.origin(error.span().map_or(0, |span| span.start));
            let problem = error.message().to_owned();
            return loaded.note(Err(Error::Syntax { origin, problem }));
        }
    };
    for (name, value) in table.get_ref() {
        match (name.get_ref().as_ref(), value.get_ref()) {
            ("account", _) => accounts::apply(file, value, loaded),
            ("cors", _) => cors::apply(file, value, loaded),
            (table, DeValue::Table(inner)) => {
                for (name, value) in inner {
                    set(file, loaded, &format!("{table}.{}", name.get_ref()), (name, value));
                }
            }
            (key, _) => set(file, loaded, key, (name, value)),
        }
    }
}

type Entry<'a, 'i> = (&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

fn set(file: &File<'_>, loaded: &mut Loaded, key: &str, (name, value): Entry<'_, '_>) {
    if !keys::KEYS.iter().any(|known| known.name == key) {
        return loaded.note(Err(keys::unknown_key(key, &file.origin(name.span().start))));
    }
    let origin = file.origin(value.span().start);
    match scalar(value.get_ref()) {
        Some(text) => loaded.set(key, &text, &origin),
        None => loaded.note(Err(Error::Value {
            key: key.to_owned(),
            value: file.text[value.span()].to_owned(),
            origin,
            fix: "it must be a single string, whole number or boolean".to_owned(),
        })),
    }
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
