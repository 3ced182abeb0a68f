//! Accounts in the settings file, and the single root key of the environment.
//!
//! Guarantees: a value that may be a secret is never part of an error. Secrets may come from a file
//! of their own, so that the settings file can be shown.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::accounts::{AccountSettings, GrantSettings, KeySettings, Settings as AccountsSettings};

use super::file::{Text, scalar};
use super::{Environment, Error, Place, Settings};

const ID: &str = "RATCHET_ACCESS_KEY_ID";
const SECRET: &str = "RATCHET_SECRET_ACCESS_KEY";

/// The account of a key that came without one.
pub const ROOT: &str = "root";

/// Adds the file's accounts.
pub fn apply(
    file: &Text<'_>,
    value: &Spanned<DeValue<'_>>,
    settings: &mut Settings,
) -> Result<(), Error> {
    for (place, table) in tables(file, value, "account")? {
        let account = account(file, table)?;
        settings.accounts.accounts.push(account);
        check(&settings.accounts, &place)?;
    }
    Ok(())
}

/// Adds the root key of the environment, if there is one.
pub fn add_root_key(environment: &Environment, settings: &mut Settings) -> Result<(), Error> {
    let (id, secret) = match (environment.get(ID), environment.get(SECRET)) {
        (Some(id), Some(secret)) => (id.clone(), secret.clone()),
        (None, None) => return Ok(()),
        (Some(_), None) => {
            return Err(wrong(&Place::Variable(ID.to_owned()), format!("set {SECRET} too")));
        }
        (None, Some(_)) => {
            return Err(wrong(&Place::Variable(SECRET.to_owned()), format!("set {ID} too")));
        }
    };
    let keys = vec![KeySettings { id, secret: secret.into() }];
    settings.accounts.accounts.push(AccountSettings {
        name: ROOT.to_owned(),
        root: true,
        keys,
        grants: Vec::new(),
    });
    check(&settings.accounts, &Place::Variable(format!("{ID} or {SECRET}")))
}

/// Accounts are checked as they come, so that the place of the wrong one is at hand.
fn check(settings: &AccountsSettings, place: &Place) -> Result<(), Error> {
    settings.check().map_err(|error| wrong(place, error.to_string()))
}

fn wrong(place: &Place, what: impl Into<String>) -> Error {
    Error::Account { place: place.clone(), what: what.into() }
}

fn account(file: &Text<'_>, table: &DeTable<'_>) -> Result<AccountSettings, Error> {
    let mut account =
        AccountSettings { name: String::new(), root: false, keys: Vec::new(), grants: Vec::new() };
    for (name, value) in table {
        match name.get_ref().as_ref() {
            "name" => account.name = text(file, value, "account.name")?,
            "root" => {
                let truth = value.get_ref().as_bool();
                account.root = truth
                    .ok_or_else(|| wrong(&at(file, value), "account.root is true or false"))?;
            }
            "key" => {
                for (place, table) in tables(file, value, "account.key")? {
                    account.keys.push(key(file, table, &place)?);
                }
            }
            "grant" => {
                for (place, table) in tables(file, value, "account.grant")? {
                    account.grants.push(grant(file, table, &place)?);
                }
            }
            other => return Err(stranger(file, name, other, "name, root, key and grant")),
        }
    }
    Ok(account)
}

fn key(file: &Text<'_>, table: &DeTable<'_>, place: &Place) -> Result<KeySettings, Error> {
    let (mut id, mut secret) = (String::new(), None);
    for (name, value) in table {
        match name.get_ref().as_ref() {
            "id" => id = text(file, value, "account.key.id")?,
            "secret" if secret.is_none() => secret = Some(text(file, value, "account.key.secret")?),
            "secret_file" if secret.is_none() => {
                secret =
                    Some(secret_file(file, value, &text(file, value, "account.key.secret_file")?)?);
            }
            "secret" | "secret_file" => {
                return Err(wrong(place, "give either secret or secret_file, not both"));
            }
            other => return Err(stranger(file, name, other, "id, secret and secret_file")),
        }
    }
    let secret = secret.ok_or_else(|| wrong(place, "account.key needs secret or secret_file"))?;
    Ok(KeySettings { id, secret: secret.into() })
}

/// The first line of a file; a relative path starts at the settings file's directory.
fn secret_file(file: &Text<'_>, value: &Spanned<DeValue<'_>>, path: &str) -> Result<String, Error> {
    let path = file.path.parent().unwrap_or(Path::new(".")).join(path);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        wrong(
            &at(file, value),
            format!("account.key.secret_file {} cannot be read: {error}", path.display()),
        )
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn grant(file: &Text<'_>, table: &DeTable<'_>, place: &Place) -> Result<GrantSettings, Error> {
    let (mut bucket, mut prefix, mut access) = (String::new(), String::new(), None);
    for (name, value) in table {
        match name.get_ref().as_ref() {
            "bucket" => bucket = text(file, value, "account.grant.bucket")?,
            "prefix" => prefix = text(file, value, "account.grant.prefix")?,
            "access" => {
                let word = text(file, value, "account.grant.access")?;
                let parsed = word.parse().map_err(|fix| Error::Value {
                    key: "account.grant.access".to_owned(),
                    value: word.clone(),
                    place: at(file, value),
                    fix,
                });
                access = Some(parsed?);
            }
            other => return Err(stranger(file, name, other, "bucket, prefix and access")),
        }
    }
    let access = access.ok_or_else(|| {
        wrong(place, "account.grant needs access: \"read\", \"write\" or \"admin\"")
    })?;
    Ok(GrantSettings { bucket, prefix, access })
}

fn text(file: &Text<'_>, value: &Spanned<DeValue<'_>>, key: &str) -> Result<String, Error> {
    let text = if value.get_ref().is_str() { scalar(value.get_ref()) } else { None };
    text.ok_or_else(|| wrong(&at(file, value), format!("{key} is a text in quotes")))
}

fn stranger(
    file: &Text<'_>,
    name: &Spanned<std::borrow::Cow<'_, str>>,
    key: &str,
    known: &str,
) -> Error {
    let place = file.place(name.span().start);
    Error::UnknownKey { key: key.to_owned(), place, fix: format!("there are {known} here") }
}

fn at(file: &Text<'_>, value: &Spanned<DeValue<'_>>) -> Place {
    file.place(value.span().start)
}

type Tables<'a, 'i> = Vec<(Place, &'a DeTable<'i>)>;

/// The tables of an array of tables, each with its place.
fn tables<'a, 'i>(
    file: &Text<'_>,
    value: &'a Spanned<DeValue<'i>>,
    key: &str,
) -> Result<Tables<'a, 'i>, Error> {
    let wanted = || wrong(&at(file, value), format!("{key} is written as [[{key}]]"));
    let array = value.get_ref().as_array().ok_or_else(wanted)?;
    let tables = array.iter().map(|item| {
        let table = item.get_ref().as_table().ok_or_else(wanted)?;
        Ok((at(file, item), table))
    });
    tables.collect()
}
