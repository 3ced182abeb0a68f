//! Access keys that change while the gateway runs.
//!
//! Guarantees: what the settings say of accounts counts within seconds, without a restart, as do
//! the files of secrets that they name and the key that the embedded store keeps; what cannot be
//! read or cannot be leaves the old accounts in place and says why, once. Sessions belong to
//! accounts, not to keys, so nothing in flight is lost. It compares what was read, not dates of
//! files: two changes within a second, or a link that leads elsewhere, are seen.

use std::sync::Arc;
use std::time::Duration;

use crate::accounts::{Accounts, Settings as AccountsSettings};
use crate::clock::Clock;
use crate::web::BoxError;

/// How often the settings are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Reads anew what the settings say of accounts. Blocks.
pub type Reread = Arc<dyn Fn() -> Result<AccountsSettings, BoxError> + Send + Sync>;

/// Keeps the accounts as they are written, for ever.
pub async fn keep(accounts: Accounts, mut current: AccountsSettings, reread: Reread, clock: Clock) {
    let mut complaint = None;
    loop {
        clock.pause(LOOK_AGAIN).await;
        let reread = Arc::clone(&reread);
        let read = tokio::task::spawn_blocking(move || reread())
            .await
            .unwrap_or_else(|error| Err(error.into()));
        let changed = read.and_then(|next| {
            if next == current {
                return Ok(false);
            }
            accounts.replace(&next)?;
            current = next;
            Ok(true)
        });
        let refused = match changed {
            Ok(true) => {
                tracing::info!("accounts and access keys were read again");
                None
            }
            Ok(false) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = refused.as_ref().filter(|refused| Some(*refused) != complaint.as_ref())
        {
            tracing::warn!(error, "the old accounts and access keys stay in use");
        }
        complaint = refused;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::accounts::{AccountSettings, KeySettings};
    use crate::sigv4::Secret;

    fn settings(secret: &str) -> AccountsSettings {
        let keys = vec![KeySettings { id: "AKROOT".to_owned(), secret: secret.to_owned().into() }];
        let account =
            AccountSettings { name: "root".to_owned(), root: true, keys, grants: Vec::new() };
        AccountsSettings { accounts: vec![account] }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_secret_counts_and_a_bad_one_or_none_does_not() {
        let accounts = Accounts::new(&settings("first-secret-0123")).unwrap();
        let written = Arc::new(Mutex::new(Ok(settings("first-secret-0123"))));
        let file = Arc::clone(&written);
        let reread: Reread =
            Arc::new(move || file.lock().unwrap().clone().map_err(|error: String| error.into()));
        tokio::spawn(keep(
            accounts.clone(),
            settings("first-secret-0123"),
            reread,
            Clock::seeded(1),
        ));
        let secret = || accounts.credentials("AKROOT").secret;
        for (next, wanted) in [
            (Ok(settings("second-secret-0123")), "second-secret-0123"),
            (Ok(settings("short")), "second-secret-0123"),
            (Err("the file is gone".to_owned()), "second-secret-0123"),
            (Ok(settings("third-secret-0123")), "third-secret-0123"),
        ] {
            *written.lock().unwrap() = next;
            tokio::time::timeout(LOOK_AGAIN * 3, std::future::pending::<()>()).await.unwrap_err();
            assert_eq!(secret(), Secret::new(wanted));
        }
    }
}
