//! The rules for pages of other origins, in the settings file and the environment.
//!
//! Guarantees: a rule that is accepted is well formed; an error names the line.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::accounts::{origin_of, tables, unknown_key};
use super::file::{File, scalar};
use super::{Environment, Error, Loaded, Origin};
use crate::front::s3::CorsSettings;

/// Origins that may use every bucket, separated by commas.
pub(super) const ORIGINS: &str = "RATCHET_CORS_ORIGINS";

/// Adds the rules of the file.
pub fn apply(file: &File<'_>, value: &Spanned<DeValue<'_>>, loaded: &mut Loaded) {
    let tables = match tables(file, value, "cors") {
        Ok(tables) => tables,
        Err(fault) => return loaded.note(Err(fault)),
    };
    for (origin, table) in tables {
        let added = rule(file, table).and_then(|rule| add(loaded, rule, origin));
        loaded.note(added);
    }
}

fn add(loaded: &mut Loaded, rule: CorsSettings, origin: Origin) -> Result<(), Error> {
    rule.check().map_err(|problem| cors_error(&origin, problem))?;
    loaded.settings.s3.cors.push(rule);
    loaded.cors.push(origin);
    Ok(())
}

/// Adds a rule for the origins of the environment, if there are any.
pub fn add_origins(environment: &Environment, loaded: &mut Loaded) -> Result<(), Error> {
    let Some(text) = environment.get(ORIGINS).filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    let origins = text.split(',').map(|origin| origin.trim().to_owned()).collect();
    let rule = CorsSettings { origins, ..CorsSettings::default() };
    add(loaded, rule, Origin::Variable(ORIGINS.to_owned()))
}

fn rule(file: &File<'_>, table: &DeTable<'_>) -> Result<CorsSettings, Error> {
    let mut rule = CorsSettings::default();
    for (name, value) in table {
        let problem = |what: &str| {
            cors_error(&origin_of(file, value), format!("cors.{} {what}", name.get_ref()))
        };
        let list = || texts(value.get_ref()).ok_or_else(|| problem("must be a list of strings"));
        match name.get_ref().as_ref() {
            "bucket" => {
                let text = scalar(value.get_ref()).filter(|_| value.get_ref().is_str());
                rule.bucket = text.ok_or_else(|| problem("must be a string in quotes"))?;
            }
            "origins" => rule.origins = list()?,
            "methods" => rule.methods = list()?,
            "headers" => rule.headers = list()?,
            "expose" => rule.expose = list()?,
            "max_age_s" => {
                let text = scalar(value.get_ref()).filter(|_| !value.get_ref().is_str());
                let seconds = text.and_then(|text| text.parse().ok());
                rule.max_age_s = seconds.ok_or_else(|| problem("must be a number of seconds"))?;
            }
            other => {
                let known = "bucket, origins, methods, headers, expose and max_age_s";
                return Err(unknown_key(file, name, other, known));
            }
        }
    }
    Ok(rule)
}

/// The strings of a list; None for any other value.
fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    let text = |item: &Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
    value.as_array()?.iter().map(text).collect()
}

fn cors_error(origin: &Origin, problem: String) -> Error {
    Error::Cors { origin: origin.clone(), problem }
}
