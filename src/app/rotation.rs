//! Changes of accounts and access keys while the gateway runs.
//!
//! Guarantees: changed accounts in the settings, in the files of secrets that they name, and a
//! changed generated key of the embedded store take effect within seconds, without a restart. If
//! they cannot be read or are invalid, the old accounts stay in use and the reason is logged once.
//! Sessions belong to accounts, not to keys, so nothing in flight is lost. Contents are compared,
//! not modification times, so two changes within a second, or a changed symbolic link, are seen.

use std::sync::Arc;
use std::time::Duration;

use crate::accounts::{Accounts, Settings as AccountsSettings};
use crate::clock::Clock;
use crate::web::BoxError;

/// The time between two readings of the settings.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reads the accounts from the settings again. Blocks.
pub type LoadAccounts = Arc<dyn Fn() -> Result<AccountsSettings, BoxError> + Send + Sync>;

/// Replaces the accounts whenever the settings change. Never returns.
pub async fn watch(
    accounts: Accounts,
    mut current: AccountsSettings,
    load_accounts: LoadAccounts,
    clock: Clock,
) {
    let mut last_error = None;
    loop {
        clock.pause(INTERVAL).await;
        let load_accounts = Arc::clone(&load_accounts);
        let loaded = tokio::task::spawn_blocking(move || load_accounts())
            .await
            .unwrap_or_else(|error| Err(error.into()));
        let changed = loaded.and_then(|next| {
            if next == current {
                return Ok(false);
            }
            accounts.replace(&next)?;
            current = next;
            Ok(true)
        });
        let error = match changed {
            Ok(true) => {
                tracing::info!("accounts and access keys were updated");
                None
            }
            Ok(false) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = error.as_ref().filter(|error| Some(*error) != last_error.as_ref()) {
            tracing::warn!(error, "the old accounts and access keys stay in use");
        }
        last_error = error;
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
    async fn a_new_secret_takes_effect_and_invalid_settings_do_not() {
        let accounts = Accounts::new(&settings("first-secret-0123")).unwrap();
        let configured = Arc::new(Mutex::new(Ok(settings("first-secret-0123"))));
        let file = Arc::clone(&configured);
        let load_accounts: LoadAccounts =
            Arc::new(move || file.lock().unwrap().clone().map_err(|error: String| error.into()));
        tokio::spawn(watch(
            accounts.clone(),
            settings("first-secret-0123"),
            load_accounts,
            Clock::seeded(1),
        ));
        let secret = || accounts.credentials("AKROOT").unwrap().secret;
        for (next, expected) in [
            (Ok(settings("second-secret-0123")), "second-secret-0123"),
            (Ok(settings("short")), "second-secret-0123"),
            (Err("the file is gone".to_owned()), "second-secret-0123"),
            (Ok(settings("third-secret-0123")), "third-secret-0123"),
        ] {
            *configured.lock().unwrap() = next;
            tokio::time::timeout(INTERVAL * 3, std::future::pending::<()>()).await.unwrap_err();
            assert_eq!(secret(), Secret::new(expected));
        }
    }
}
