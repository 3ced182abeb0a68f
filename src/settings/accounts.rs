//! Accounts of the settings file, and the root access key of the environment.
//!
//! Guarantees: a value that may be a secret is never part of an error. A secret may be in a file of
//! its own, so that the settings file need not be kept secret.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::accounts::{AccountSettings, GrantSettings, KeySettings, Settings as AccountsSettings};

use super::file::{File, scalar};
use super::{Environment, Error, Origin, Settings};

pub(super) const ID: &str = "RATCHET_ACCESS_KEY_ID";
pub(super) const SECRET: &str = "RATCHET_SECRET_ACCESS_KEY";

/// The name of the account of a key that is given without an account.
pub const ROOT_ACCOUNT: &str = "root";

/// Adds the accounts of the file.
pub fn apply(
    file: &File<'_>,
    value: &Spanned<DeValue<'_>>,
    settings: &mut Settings,
) -> Result<(), Error> {
    for (origin, table) in tables(file, value, "account")? {
        let account = account(file, table)?;
        settings.accounts.accounts.push(account);
        check(&settings.accounts, &origin)?;
    }
    Ok(())
}

/// Adds the root key of the environment, if there is one.
pub fn add_root_key(environment: &Environment, settings: &mut Settings) -> Result<(), Error> {
    let (id, secret) = match (environment.get(ID), environment.get(SECRET)) {
        (Some(id), Some(secret)) => (id.clone(), secret.clone()),
        (None, None) => return Ok(()),
        (Some(_), None) => {
            return Err(account_error(
                &Origin::Variable(ID.to_owned()),
                format!("set {SECRET} too"),
            ));
        }
        (None, Some(_)) => {
            return Err(account_error(
                &Origin::Variable(SECRET.to_owned()),
                format!("set {ID} too"),
            ));
        }
    };
    let keys = vec![KeySettings { id, secret: secret.into() }];
    settings.accounts.accounts.push(AccountSettings {
        name: ROOT_ACCOUNT.to_owned(),
        root: true,
        keys,
        grants: Vec::new(),
    });
    check(&settings.accounts, &Origin::Variable(format!("{ID} or {SECRET}")))
}

/// Checks all accounts so far. Called after each, so that an error has the origin of its account.
fn check(settings: &AccountsSettings, origin: &Origin) -> Result<(), Error> {
    settings.check().map_err(|error| account_error(origin, error.to_string()))
}

fn account_error(origin: &Origin, problem: impl Into<String>) -> Error {
    Error::Account { origin: origin.clone(), problem: problem.into() }
}

fn account(file: &File<'_>, table: &DeTable<'_>) -> Result<AccountSettings, Error> {
    let mut account =
        AccountSettings { name: String::new(), root: false, keys: Vec::new(), grants: Vec::new() };
    for (name, value) in table {
        match name.get_ref().as_ref() {
            "name" => account.name = text(file, value, "account.name")?,
            "root" => {
                let root = value.get_ref().as_bool();
                account.root = root.ok_or_else(|| {
                    account_error(&origin_of(file, value), "account.root must be true or false")
                })?;
            }
            "key" => {
                for (origin, table) in tables(file, value, "account.key")? {
                    account.keys.push(key(file, table, &origin)?);
                }
            }
            "grant" => {
                for (origin, table) in tables(file, value, "account.grant")? {
                    account.grants.push(grant(file, table, &origin)?);
                }
            }
            other => return Err(unknown_key(file, name, other, "name, root, key and grant")),
        }
    }
    Ok(account)
}

fn key(file: &File<'_>, table: &DeTable<'_>, origin: &Origin) -> Result<KeySettings, Error> {
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
                return Err(account_error(origin, "give either secret or secret_file, not both"));
            }
            other => return Err(unknown_key(file, name, other, "id, secret and secret_file")),
        }
    }
    let secret =
        secret.ok_or_else(|| account_error(origin, "account.key needs secret or secret_file"))?;
    Ok(KeySettings { id, secret: secret.into() })
}

/// The first line of the file; a relative path is relative to the settings file's directory.
fn secret_file(file: &File<'_>, value: &Spanned<DeValue<'_>>, path: &str) -> Result<String, Error> {
    let path = file.path.parent().unwrap_or(Path::new(".")).join(path);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        account_error(
            &origin_of(file, value),
            format!("account.key.secret_file {} cannot be read: {error}", path.display()),
        )
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn grant(file: &File<'_>, table: &DeTable<'_>, origin: &Origin) -> Result<GrantSettings, Error> {
    let (mut bucket, mut prefix, mut access) = (String::new(), String::new(), None);
    for (name, value) in table {
        match name.get_ref().as_ref() {
            "bucket" => bucket = text(file, value, "account.grant.bucket")?,
            "prefix" => prefix = text(file, value, "account.grant.prefix")?,
            "access" => {
                let access_text = text(file, value, "account.grant.access")?;
                let parsed = access_text.parse().map_err(|fix| Error::Value {
                    key: "account.grant.access".to_owned(),
                    value: access_text.clone(),
                    origin: origin_of(file, value),
                    fix,
                });
                access = Some(parsed?);
            }
            other => return Err(unknown_key(file, name, other, "bucket, prefix and access")),
        }
    }
    let access = access.ok_or_else(|| {
        account_error(origin, "account.grant needs access: \"read\", \"write\" or \"admin\"")
    })?;
    Ok(GrantSettings { bucket, prefix, access })
}

fn text(file: &File<'_>, value: &Spanned<DeValue<'_>>, key: &str) -> Result<String, Error> {
    let text = if value.get_ref().is_str() { scalar(value.get_ref()) } else { None };
    text.ok_or_else(|| {
        account_error(&origin_of(file, value), format!("{key} must be a string in quotes"))
    })
}

pub(super) fn unknown_key(
    file: &File<'_>,
    name: &Spanned<std::borrow::Cow<'_, str>>,
    key: &str,
    known: &str,
) -> Error {
    let origin = file.origin(name.span().start);
    Error::UnknownKey { key: key.to_owned(), origin, fix: format!("the keys here are {known}") }
}

pub(super) fn origin_of(file: &File<'_>, value: &Spanned<DeValue<'_>>) -> Origin {
    file.origin(value.span().start)
}

pub(super) type Tables<'a, 'i> = Vec<(Origin, &'a DeTable<'i>)>;

/// The tables of an array of tables, each with its origin.
pub(super) fn tables<'a, 'i>(
    file: &File<'_>,
    value: &'a Spanned<DeValue<'i>>,
    key: &str,
) -> Result<Tables<'a, 'i>, Error> {
    let not_tables =
        || account_error(&origin_of(file, value), format!("{key} must be written as [[{key}]]"));
    let array = value.get_ref().as_array().ok_or_else(not_tables)?;
    let tables = array.iter().map(|item| {
        let table = item.get_ref().as_table().ok_or_else(not_tables)?;
        Ok((origin_of(file, item), table))
    });
    tables.collect()
}
