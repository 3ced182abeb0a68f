//! Accounts, their access keys and grants, and the identities that these give to senders of
//! requests.
//!
//! Guarantees: accounts can be replaced while they are in use, all at once or not at all; no secret
//! is ever printed. It verifies no signature (it only keeps the secrets in the form that `sigv4`
//! needs) and knows no HTTP. Source: docs/architecture.md#identity,
//! docs/architecture.md#accounts-are-separate.

mod grant;
mod identity;
mod settings;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::names::{AccountName, Bucket};
use crate::sigv4;

pub use grant::Access;
use grant::Grant;
pub use identity::Identity;
pub use settings::{AccountSettings, Error, GrantSettings, KeySettings, Settings};

/// An access key's secret. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for verifying a signature.
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

/// An owner of sessions.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    /// `[a-z0-9-]{1,64}`.
    name: AccountName,
    /// Has admin access to everything.
    root: bool,
    grants: Vec<Grant>,
}

impl Account {
    /// Whether the account may do anything in the bucket.
    fn sees(&self, bucket: &Bucket) -> bool {
        self.root
            || self
                .grants
                .iter()
                .any(|grant| grant.bucket.as_ref().is_none_or(|name| name == bucket))
    }

    /// Whether the account has this access to the key or, with an empty key, to the whole bucket.
    fn allows(&self, access: Access, bucket: &Bucket, key: &str) -> bool {
        self.root || self.grants.iter().any(|grant| grant.covers(access, bucket, key))
    }
}

type ByKey = HashMap<String, (Identity, sigv4::Secret)>;

/// All accounts, by access key id. Cheap to clone; a replacement takes effect in all clones.
#[derive(Clone, Debug)]
pub struct Accounts {
    keys: Arc<RwLock<ByKey>>,
}

/// The secret to verify a signature against, and the identity that a valid signature proves.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub secret: sigv4::Secret,
    pub identity: Identity,
}

impl Accounts {
    /// **Errors**: the first invalid entry of the settings.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let keys = Arc::new(RwLock::new(by_key(settings)?));
        Ok(Self { keys })
    }

    /// Replaces all accounts; requests whose signature was already verified continue. **Errors**:
    /// those of `new`; then nothing has changed.
    pub fn replace(&self, settings: &Settings) -> Result<(), Error> {
        let keys = by_key(settings)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// None: no account has the access key.
    pub fn credentials(&self, access_key_id: &str) -> Option<Credentials> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let (identity, secret) = keys.get(access_key_id)?;
        Some(Credentials { secret: secret.clone(), identity: identity.clone() })
    }
}

fn by_key(settings: &Settings) -> Result<ByKey, Error> {
    let mut keys = HashMap::new();
    for (account, secrets) in settings.validated()? {
        let identity = Identity::new(Arc::new(account));
        for (id, secret) in secrets {
            keys.insert(id, (identity.clone(), sigv4::Secret::new(secret.expose())));
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
    fn each_access_key_yields_its_account_and_an_unknown_one_nothing() {
        let accounts = Accounts::new(&settings()).unwrap();
        let name = |id: &str| {
            accounts.credentials(id).map(|found| found.identity.account_name().to_owned())
        };
        assert_eq!(name("AKOPS1").as_deref(), Some("ops"));
        assert_eq!(name("AKOPS2").as_deref(), Some("ops"));
        assert_eq!(name("AKROOT").as_deref(), Some("root"));
        assert_eq!(name("AKNONE"), None);
    }

    #[test]
    fn replacing_accounts_is_all_or_nothing() {
        let accounts = Accounts::new(&settings()).unwrap();
        let other_clone = accounts.clone();
        let mut next = settings();
        next.accounts[0].keys[0].secret = Secret("another-secret-0123".to_owned());
        next.accounts[1].keys[0].secret = Secret("short".to_owned());
        assert_eq!(accounts.replace(&next), Err(Error::Secret("AKOPS1".to_owned())));
        assert_eq!(
            other_clone.credentials("AKROOT").unwrap().secret,
            sigv4::Secret::new("0123456789abcdef")
        );
        next.accounts.truncate(1);
        accounts.replace(&next).unwrap();
        assert_eq!(
            other_clone.credentials("AKROOT").unwrap().secret,
            sigv4::Secret::new("another-secret-0123")
        );
        assert!(other_clone.credentials("AKOPS1").is_none());
    }

    #[test]
    fn debug_output_contains_no_secret() {
        let settings = settings();
        let printed = format!("{settings:?} {:?}", Accounts::new(&settings).unwrap());
        assert!(!printed.contains("0123456789abcdef"), "{printed}");
    }

    #[test]
    fn an_identity_allows_what_its_grants_cover_and_no_more() {
        let accounts = Accounts::new(&settings()).unwrap();
        let ops = accounts.credentials("AKOPS1").unwrap().identity;
        let root = accounts.credentials("AKROOT").unwrap().identity;
        let table = [
            (Access::Write, "logs", "2024/a", true),
            (Access::Write, "logs", "2023/a", false),
            (Access::Write, "other", "2024/a", false),
            (Access::Read, "other", "x", true),
            (Access::Admin, "logs", "2024/a", false),
            (Access::Admin, "logs", "", false),
        ];
        for (access, bucket, key, allowed) in table {
            assert_eq!(
                ops.allows(access, &bucket.into(), key),
                allowed,
                "{access:?} {bucket}/{key}"
            );
            assert!(root.allows(access, &bucket.into(), key));
        }
    }
}
