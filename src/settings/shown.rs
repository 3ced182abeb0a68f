//! The settings that count, each with where it comes from.
//!
//! Guarantees: no secret is shown. The rows, written one after the other, are TOML.

use serde::Serialize;

use super::{Loaded, Origin, keys};
use crate::accounts::AccountSettings;
use crate::front::s3::CorsSettings;

/// A single setting, or a table of settings that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The name of the table; None for a single setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<&'static str>,
    /// Keys and values, the values in TOML.
    pub entries: Vec<(String, String)>,
    /// `default`, or where it was set.
    pub origin: String,
}

/// All settings, in the order of `config/ratchet.toml`.
pub fn shown(loaded: &Loaded) -> Vec<Shown> {
    let Loaded { settings, origins, .. } = loaded;
    let mut rows = Vec::new();
    for key in keys::KEYS {
        let origin = origins.get(key.name).map_or_else(|| "default".to_owned(), Origin::to_string);
        let entries = vec![(key.name.to_owned(), (key.show)(settings))];
        rows.push(Shown { table: None, entries, origin });
    }
    let of_table = |table, entries: Vec<(&str, String)>, origin: &Origin| Shown {
        table: Some(table),
        entries: entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        origin: origin.to_string(),
    };
    for (account, origin) in settings.accounts.accounts.iter().zip(&loaded.accounts) {
        rows.push(of_table("account", entries_of_account(account), origin));
    }
    for (rule, origin) in settings.s3.cors.iter().zip(&loaded.cors) {
        rows.push(of_table("cors", entries_of_rule(rule), origin));
    }
    rows
}

fn entries_of_account(account: &AccountSettings) -> Vec<(&'static str, String)> {
    let keys = account.keys.iter().map(|key| format!("{{ id = {:?} }}", key.id));
    let grants = account.grants.iter().map(|grant| {
        let (bucket, prefix, access) = (&grant.bucket, &grant.prefix, grant.access);
        format!("{{ bucket = {bucket:?}, prefix = {prefix:?}, access = \"{access}\" }}")
    });
    vec![
        ("name", format!("{:?}", account.name)),
        ("root", account.root.to_string()),
        ("key", list(keys)),
        ("grant", list(grants)),
    ]
}

fn entries_of_rule(rule: &CorsSettings) -> Vec<(&'static str, String)> {
    vec![
        ("bucket", format!("{:?}", rule.bucket)),
        ("origins", texts(&rule.origins)),
        ("methods", texts(&rule.methods)),
        ("headers", texts(&rule.headers)),
        ("expose", texts(&rule.expose)),
        ("max_age_s", rule.max_age_s.to_string()),
    ]
}

fn texts(texts: &[String]) -> String {
    list(texts.iter().map(|text| format!("{text:?}")))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
