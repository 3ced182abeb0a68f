//! Who may do what: accounts, their access keys and their grants.
//!
//! Guarantees: an access key id that nobody has yields a secret all the same, so that the caller
//! verifies a signature either way and an unknown key takes the time of a wrong one; accounts can
//! be replaced while they are in use, all at once or not at all; no secret is ever printed. It
//! verifies no signature (it only keeps the secrets as `sigv4` wants them) and knows no HTTP.
//! Source: DESIGN §9.6, §10.

mod grant;
mod settings;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::sigv4;

pub use grant::{Access, Grant};
pub use settings::{AccountSettings, Error, GrantSettings, KeySettings, Settings};

/// What stands in for the secret of a key that nobody has.
const NOBODYS_SECRET: &str = "no signature is ever made with this";

/// An access key's secret. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the hand that verifies a signature.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Who owns sessions.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    /// `[a-z0-9-]{1,64}`.
    name: String,
    /// Admin on everything.
    root: bool,
    grants: Vec<Grant>,
}

impl Account {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the account may do anything in the bucket.
    pub fn sees(&self, bucket: &str) -> bool {
        self.root
            || self
                .grants
                .iter()
                .any(|grant| grant.bucket.as_deref().is_none_or(|name| name == bucket))
    }

    /// Whether the account may do this to the key, or, with an empty key, to the bucket as a whole.
    pub fn allows(&self, access: Access, bucket: &str, key: &str) -> bool {
        self.root || self.grants.iter().any(|grant| grant.covers(access, bucket, key))
    }
}

type ByKey = HashMap<String, (Arc<Account>, sigv4::Secret)>;

/// All accounts, by access key id. Cheap to clone; clones see a replacement alike.
#[derive(Clone, Debug)]
pub struct Accounts {
    keys: Arc<RwLock<ByKey>>,
    nobodys: sigv4::Secret,
}

/// The secret to verify against, and whose it is.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub secret: sigv4::Secret,
    /// None: nobody's. Verify first, refuse then.
    pub account: Option<Arc<Account>>,
}

impl Accounts {
    /// **Errors**: the first thing in the settings that cannot be.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let keys = Arc::new(RwLock::new(by_key(settings)?));
        Ok(Self { keys, nobodys: sigv4::Secret::new(NOBODYS_SECRET) })
    }

    /// From now on these are the accounts; requests whose signature was verified go on. **Errors**:
    /// as `new`, and then nothing changed.
    pub fn replace(&self, settings: &Settings) -> Result<(), Error> {
        let keys = by_key(settings)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    pub fn credentials(&self, access_key_id: &str) -> Credentials {
        match self.keys.read().unwrap_or_else(PoisonError::into_inner).get(access_key_id) {
            Some((account, secret)) => {
                Credentials { secret: secret.clone(), account: Some(Arc::clone(account)) }
            }
            None => Credentials { secret: self.nobodys.clone(), account: None },
        }
    }
}

fn by_key(settings: &Settings) -> Result<ByKey, Error> {
    let mut keys = HashMap::new();
    for (account, secrets) in settings.checked()? {
        let account = Arc::new(account);
        for (id, secret) in secrets {
            keys.insert(id, (Arc::clone(&account), sigv4::Secret::new(secret.expose())));
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let key = |id: &str| KeySettings {
            id: id.to_owned(),
            secret: Secret("0123456789abcdef".to_owned()),
        };
        let grant = |bucket: &str, prefix: &str, access| GrantSettings {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            access,
        };
        Settings {
            accounts: vec![
                AccountSettings {
                    name: "root".to_owned(),
                    root: true,
                    keys: vec![key("AKROOT")],
                    grants: Vec::new(),
                },
                AccountSettings {
                    name: "ops".to_owned(),
                    root: false,
                    keys: vec![key("AKOPS1"), key("AKOPS2")],
                    grants: vec![
                        grant("logs", "2024/", Access::Write),
                        grant("*", "", Access::Read),
                    ],
                },
            ],
        }
    }

    #[test]
    fn every_key_leads_to_its_account_and_an_unknown_one_to_a_secret_of_nobody() {
        let accounts = Accounts::new(&settings()).unwrap();
        let name =
            |id: &str| accounts.credentials(id).account.map(|account| account.name().to_owned());
        assert_eq!(name("AKOPS1").as_deref(), Some("ops"));
        assert_eq!(name("AKOPS2").as_deref(), Some("ops"));
        assert_eq!(name("AKROOT").as_deref(), Some("root"));
        assert_eq!(name("AKNONE"), None);
        assert_eq!(accounts.credentials("AKNONE").secret, sigv4::Secret::new(NOBODYS_SECRET));
    }

    #[test]
    fn accounts_are_replaced_together_or_not_at_all() {
        let accounts = Accounts::new(&settings()).unwrap();
        let elsewhere = accounts.clone();
        let mut next = settings();
        next.accounts[0].keys[0].secret = Secret("another-secret-0123".to_owned());
        next.accounts[1].keys[0].secret = Secret("short".to_owned());
        assert_eq!(accounts.replace(&next), Err(Error::Secret("AKOPS1".to_owned())));
        assert_eq!(elsewhere.credentials("AKROOT").secret, sigv4::Secret::new("0123456789abcdef"));
        next.accounts.truncate(1);
        accounts.replace(&next).unwrap();
        assert_eq!(
            elsewhere.credentials("AKROOT").secret,
            sigv4::Secret::new("another-secret-0123")
        );
        assert!(elsewhere.credentials("AKOPS1").account.is_none());
    }

    #[test]
    fn no_secret_is_printed() {
        let settings = settings();
        let printed = format!("{settings:?} {:?}", Accounts::new(&settings).unwrap());
        assert!(!printed.contains("0123456789abcdef"), "{printed}");
    }

    #[test]
    fn grants_are_as_wide_as_they_say() {
        let accounts = Accounts::new(&settings()).unwrap();
        let ops = accounts.credentials("AKOPS1").account.unwrap();
        let root = accounts.credentials("AKROOT").account.unwrap();
        let table = [
            (Access::Write, "logs", "2024/a", true),
            (Access::Write, "logs", "2023/a", false),
            (Access::Write, "other", "2024/a", false),
            (Access::Read, "other", "x", true),
            (Access::Admin, "logs", "2024/a", false),
            (Access::Admin, "logs", "", false),
        ];
        for (access, bucket, key, allowed) in table {
            assert_eq!(ops.allows(access, bucket, key), allowed, "{access:?} {bucket}/{key}");
            assert!(root.allows(access, bucket, key));
        }
    }
}
