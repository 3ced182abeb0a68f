//! Accounts as an operator configures them, and their validation.
//!
//! Guarantees: names, keys and grants that pass are well formed, and access key ids are unique. It
//! does not know the configuration file; `settings` adds the position in it to an error.

use std::collections::HashSet;

use super::{Access, Account, Grant, Secret};

/// A shorter secret could be found cheaply by an offline search against a recorded signature.
const MIN_SECRET_CHARS: usize = 16;

/// Access key ids and secrets of one account.
pub(super) type Keys = Vec<(String, Secret)>;

/// The room's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub accounts: Vec<AccountSettings>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    pub name: String,
    pub root: bool,
    pub keys: Vec<KeySettings>,
    pub grants: Vec<GrantSettings>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    pub id: String,
    pub secret: Secret,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantSettings {
    /// `*` means every bucket.
    pub bucket: String,
    pub prefix: String,
    pub access: Access,
}

/// An invalid setting. No message contains a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the account name {0:?} is not made of 1 to 64 of a-z, 0-9 and -")]
    Name(String),
    #[error("two accounts are called {0:?}; give each its own name")]
    NameTwice(String),
    #[error("the account {0:?} has no key; give it one, or remove it")]
    NoKey(String),
    #[error("the account {0:?} has no grant; give it one, or set root = true")]
    NoGrant(String),
    #[error("the access key id {0:?} is not made of 3 to 128 letters, digits, - and _")]
    KeyId(String),
    #[error("the access key id {0:?} is used twice; give each key its own")]
    KeyTwice(String),
    #[error(
        "the secret of the access key {0:?} is shorter than {MIN_SECRET_CHARS} characters or has a control character"
    )]
    Secret(String),
    #[error("a grant of the account {0:?} names no bucket; name one, or \"*\" for all")]
    Bucket(String),
}

impl Settings {
    /// **Errors**: the first invalid entry.
    pub fn check(&self) -> Result<(), Error> {
        self.validated().map(drop)
    }

    /// All accounts with their access keys. **Errors**: the first invalid entry.
    pub(super) fn validated(&self) -> Result<Vec<(Account, Keys)>, Error> {
        let (mut names, mut ids) = (HashSet::new(), HashSet::new());
        let mut all = Vec::new();
        for account in &self.accounts {
            if !names.insert(&account.name) {
                return Err(Error::NameTwice(account.name.clone()));
            }
            if let Some(duplicate) = account.keys.iter().find(|key| !ids.insert(&key.id)) {
                return Err(Error::KeyTwice(duplicate.id.clone()));
            }
            all.push(account.validated()?);
        }
        Ok(all)
    }
}

impl AccountSettings {
    /// **Errors**: what is invalid in this account, regardless of the others.
    fn validated(&self) -> Result<(Account, Keys), Error> {
        let name_is_valid = (1..=64).contains(&self.name.len())
            && self.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !name_is_valid {
            return Err(Error::Name(self.name.clone()));
        }
        if self.keys.is_empty() {
            return Err(Error::NoKey(self.name.clone()));
        }
        if self.grants.is_empty() && !self.root {
            return Err(Error::NoGrant(self.name.clone()));
        }
        let keys = self.keys.iter().map(KeySettings::validated).collect::<Result<_, _>>()?;
        let grants = self.grants.iter().map(|grant| {
            if grant.bucket.is_empty() {
                return Err(Error::Bucket(self.name.clone()));
            }
            let bucket = (grant.bucket != "*").then(|| grant.bucket.as_str().into());
            Ok(Grant { bucket, prefix: grant.prefix.clone(), access: grant.access })
        });
        let grants = grants.collect::<Result<_, _>>()?;
        Ok((Account { name: self.name.as_str().into(), root: self.root, grants }, keys))
    }
}

impl KeySettings {
    fn validated(&self) -> Result<(String, Secret), Error> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(3..=128).contains(&self.id.len()) || !self.id.bytes().all(is_allowed) {
            return Err(Error::KeyId(self.id.clone()));
        }
        let secret = self.secret.expose();
        if secret.len() < MIN_SECRET_CHARS || secret.chars().any(char::is_control) {
            return Err(Error::Secret(self.id.clone()));
        }
        Ok((self.id.clone(), self.secret.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid_account() -> AccountSettings {
        AccountSettings {
            name: "ops".to_owned(),
            root: false,
            keys: vec![KeySettings {
                id: "AKOPS".to_owned(),
                secret: "0123456789abcdef".to_owned().into(),
            }],
            grants: vec![GrantSettings {
                bucket: "*".to_owned(),
                prefix: String::new(),
                access: Access::Read,
            }],
        }
    }

    fn error_after(change: impl Fn(&mut AccountSettings)) -> Error {
        let mut account = valid_account();
        change(&mut account);
        Settings { accounts: vec![account] }.validated().unwrap_err()
    }

    #[test]
    fn invalid_accounts_are_refused() {
        assert!(Settings { accounts: vec![valid_account()] }.validated().is_ok());
        for name in ["", "Ops", "a b", "a/b", &"a".repeat(65)] {
            assert_eq!(
                error_after(|account| account.name = name.to_owned()),
                Error::Name(name.to_owned())
            );
        }
        assert_eq!(error_after(|account| account.keys.clear()), Error::NoKey("ops".to_owned()));
        assert_eq!(error_after(|account| account.grants.clear()), Error::NoGrant("ops".to_owned()));
        assert_eq!(
            error_after(|account| account.keys[0].id = "a/b".to_owned()),
            Error::KeyId("a/b".to_owned())
        );
        assert_eq!(
            error_after(|account| account.keys[0].secret = "short".to_owned().into()),
            Error::Secret("AKOPS".to_owned())
        );
        assert_eq!(
            error_after(|account| account.grants[0].bucket.clear()),
            Error::Bucket("ops".to_owned())
        );
        assert_eq!(
            error_after(|account| account.keys.push(valid_account().keys[0].clone())),
            Error::KeyTwice("AKOPS".to_owned())
        );
        let twice = Settings { accounts: vec![valid_account(), valid_account()] };
        assert_eq!(twice.validated().unwrap_err(), Error::NameTwice("ops".to_owned()));
    }
}
