//! Accounts of the settings file, and the root access key of the environment.
//!
//! Guarantees: a value that may be a secret is never part of an error. A secret may be in a file of
//! its own, so that the settings file need not be kept secret.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::accounts::{AccountSettings, GrantSettings, KeySettings};

use super::file::{File, scalar};
use super::{Environment, Error, Loaded, Origin};

pub(super) const ID: &str = "RATCHET_ACCESS_KEY_ID";
pub(super) const SECRET: &str = "RATCHET_SECRET_ACCESS_KEY";

/// The name of the account of a key that is given without an account.
pub const ROOT_ACCOUNT: &str = "root";

/// Adds the accounts of the file.
pub fn apply(file: &File<'_>, value: &Spanned<DeValue<'_>>, loaded: &mut Loaded) {
    let tables = match tables(file, value, "account") {
        Ok(tables) => tables,
        Err(fault) => return loaded.note(Err(fault)),
    };
    for (origin, table) in tables {
        let before = loaded.faults.len();
        let account = account(file, table, &mut loaded.faults);
        // What else is wrong with it would follow from these faults.
        if loaded.faults.len() == before {
            let added = add(loaded, account, origin);
            loaded.note(added);
        }
    }
}

/// Adds an account. **Errors**: if it does not fit in with the ones before; then it is left out.
fn add(loaded: &mut Loaded, account: AccountSettings, origin: Origin) -> Result<(), Error> {
    let accounts = &mut loaded.settings.accounts;
    accounts.accounts.push(account);
    if let Err(error) = accounts.check() {
        accounts.accounts.pop();
        return Err(account_error(&origin, error.to_string()));
    }
    loaded.accounts.push(origin);
    Ok(())
}

/// Adds the root key of the environment, if there is one.
pub fn add_root_key(environment: &Environment, loaded: &mut Loaded) -> Result<(), Error> {
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
    let name = ROOT_ACCOUNT.to_owned();
    let account = AccountSettings { name, root: true, keys, grants: Vec::new() };
    add(loaded, account, Origin::Variable(format!("{ID} or {SECRET}")))
}

fn account_error(origin: &Origin, problem: impl Into<String>) -> Error {
    Error::Account { origin: origin.clone(), problem: problem.into() }
}

/// The account of a table, as far as it is valid.
fn account(file: &File<'_>, table: &DeTable<'_>, faults: &mut Vec<Error>) -> AccountSettings {
    let mut account =
        AccountSettings { name: String::new(), root: false, keys: Vec::new(), grants: Vec::new() };
    for entry in table {
        faults.extend(set(file, &mut account, entry));
    }
    account
}

/// Sets one key of an account. Returns what is wrong with it.
fn set(
    file: &File<'_>,
    account: &mut AccountSettings,
    (name, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>),
) -> Vec<Error> {
    let mut faults = Vec::new();
    match name.get_ref().as_ref() {
        "name" => match text(file, value, "account.name") {
            Ok(name) => account.name = name,
            Err(fault) => faults.push(fault),
        },
        "root" => match value.get_ref().as_bool() {
            Some(root) => account.root = root,
            None => {
                let problem = "account.root must be true or false";
                faults.push(account_error(&origin_of(file, value), problem));
            }
        },
        "key" => account.keys = each(file, value, "account.key", key, &mut faults),
        "grant" => account.grants = each(file, value, "account.grant", grant, &mut faults),
        other => faults.push(unknown_key(file, name, other, "name, root, key and grant")),
    }
    faults
}

/// What the tables of an array are, as far as they are valid.
fn each<T>(
    file: &File<'_>,
    value: &Spanned<DeValue<'_>>,
    name: &str,
    parse: impl Fn(&File<'_>, &DeTable<'_>, &Origin) -> Result<T, Error>,
    faults: &mut Vec<Error>,
) -> Vec<T> {
    let tables = match tables(file, value, name) {
        Ok(tables) => tables,
        Err(fault) => {
            faults.push(fault);
            return Vec::new();
        }
    };
    let parsed = tables.into_iter().map(|(origin, table)| parse(file, table, &origin));
    parsed.filter_map(|parsed| parsed.map_err(|fault| faults.push(fault)).ok()).collect()
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
