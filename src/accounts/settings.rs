//! Accounts as an operator writes them, and what may not be written.
//!
//! Guarantees: names, keys and grants that come through are well-formed and key ids are unique.
//! It does not know where they were written; `settings` adds the place.

use std::collections::HashSet;

use super::{Access, Account, Grant, Secret};

/// The shortest secret that is taken: below it an offline search of a recorded signature is cheap.
const SHORTEST_SECRET: usize = 16;

/// Ids and secrets of one account.
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

/// What cannot be. None of them names a secret.
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
    #[error("the access key id {0:?} stands there twice; give each key its own")]
    KeyTwice(String),
    #[error(
        "the secret of the access key {0:?} is shorter than {SHORTEST_SECRET} characters or has a control character"
    )]
    Secret(String),
    #[error("a grant of the account {0:?} names no bucket; name one, or \"*\" for all")]
    Bucket(String),
}

impl Settings {
    /// **Errors**: the first thing that cannot be.
    pub fn check(&self) -> Result<(), Error> {
        self.checked().map(drop)
    }

    /// Each account with its keys.
    pub(super) fn checked(&self) -> Result<Vec<(Account, Keys)>, Error> {
        let (mut names, mut ids) = (HashSet::new(), HashSet::new());
        let mut all = Vec::new();
        for account in &self.accounts {
            if !names.insert(&account.name) {
                return Err(Error::NameTwice(account.name.clone()));
            }
            if let Some(twice) = account.keys.iter().find(|key| !ids.insert(&key.id)) {
                return Err(Error::KeyTwice(twice.id.clone()));
            }
            all.push(account.checked()?);
        }
        Ok(all)
    }
}

impl AccountSettings {
    /// **Errors**: what is wrong with this account by itself.
    fn checked(&self) -> Result<(Account, Keys), Error> {
        let named = (1..=64).contains(&self.name.len())
            && self.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !named {
            return Err(Error::Name(self.name.clone()));
        }
        if self.keys.is_empty() {
            return Err(Error::NoKey(self.name.clone()));
        }
        if self.grants.is_empty() && !self.root {
            return Err(Error::NoGrant(self.name.clone()));
        }
        let keys = self.keys.iter().map(KeySettings::checked).collect::<Result<_, _>>()?;
        let grants = self.grants.iter().map(|grant| {
            if grant.bucket.is_empty() {
                return Err(Error::Bucket(self.name.clone()));
            }
            let bucket = (grant.bucket != "*").then(|| grant.bucket.clone());
            Ok(Grant { bucket, prefix: grant.prefix.clone(), access: grant.access })
        });
        let grants = grants.collect::<Result<_, _>>()?;
        Ok((Account { name: self.name.clone(), root: self.root, grants }, keys))
    }
}

impl KeySettings {
    fn checked(&self) -> Result<(String, Secret), Error> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(3..=128).contains(&self.id.len()) || !self.id.bytes().all(plain) {
            return Err(Error::KeyId(self.id.clone()));
        }
        let secret = self.secret.expose();
        if secret.len() < SHORTEST_SECRET || secret.chars().any(char::is_control) {
            return Err(Error::Secret(self.id.clone()));
        }
        Ok((self.id.clone(), self.secret.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> AccountSettings {
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

    fn refused(change: impl Fn(&mut AccountSettings)) -> Error {
        let mut account = good();
        change(&mut account);
        Settings { accounts: vec![account] }.checked().unwrap_err()
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(Settings { accounts: vec![good()] }.checked().is_ok());
        for name in ["", "Ops", "a b", "a/b", &"a".repeat(65)] {
            assert_eq!(
                refused(|account| account.name = name.to_owned()),
                Error::Name(name.to_owned())
            );
        }
        assert_eq!(refused(|account| account.keys.clear()), Error::NoKey("ops".to_owned()));
        assert_eq!(refused(|account| account.grants.clear()), Error::NoGrant("ops".to_owned()));
        assert_eq!(
            refused(|account| account.keys[0].id = "a/b".to_owned()),
            Error::KeyId("a/b".to_owned())
        );
        assert_eq!(
            refused(|account| account.keys[0].secret = "short".to_owned().into()),
            Error::Secret("AKOPS".to_owned())
        );
        assert_eq!(
            refused(|account| account.grants[0].bucket.clear()),
            Error::Bucket("ops".to_owned())
        );
        assert_eq!(
            refused(|account| account.keys.push(good().keys[0].clone())),
            Error::KeyTwice("AKOPS".to_owned())
        );
        let twice = Settings { accounts: vec![good(), good()] };
        assert_eq!(twice.checked().unwrap_err(), Error::NameTwice("ops".to_owned()));
    }
}
