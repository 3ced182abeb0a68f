//! Variables that begin as those of settings do, and are none.
//!
//! Guarantees: one that is a setting's but for a typing mistake is a fault. Others have no effect:
//! orchestrators set `RATCHET_PORT` and the like for a service of this name.

use super::similar::similar;
use super::{CONFIG, Environment, Error, Origin, PREFIX, accounts, cors, keys};

/// Variables that are no settings and have no effect.
pub fn unknown_variables(environment: &Environment) -> Vec<&str> {
    let unknown = unknown(environment).into_iter();
    unknown.filter(|(_, meant)| meant.is_none()).map(|(name, _)| name).collect()
}

/// A fault for each variable that is a setting's but for a typing mistake.
pub(super) fn misspelt(environment: &Environment) -> Vec<Error> {
    let fault = |(name, meant): (&str, Option<String>)| {
        let fix = format!("did you mean {PREFIX}{}? rename or unset it", meant?);
        let origin = Origin::Variable(name.to_owned());
        Some(Error::UnknownKey { key: name.to_owned(), origin, fix })
    };
    unknown(environment).into_iter().filter_map(fault).collect()
}

/// All variables that are no settings, each with the one that was meant, without `PREFIX`.
fn unknown(environment: &Environment) -> Vec<(&str, Option<String>)> {
    let mut known: Vec<String> = keys::KEYS.iter().map(|key| keys::variable(key.name)).collect();
    known.extend([CONFIG, accounts::ID, accounts::SECRET, cors::ORIGINS].map(str::to_owned));
    // What all names begin with says nothing about which is meant.
    let words: Vec<&str> = known.iter().map(|name| word(name)).collect();
    let names = environment.keys().filter(|name| !known.contains(name));
    let meant = |name: &str| similar(word(name), words.iter().copied()).map(str::to_owned);
    names.map(|name| (name.as_str(), meant(name))).collect()
}

fn word(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}
