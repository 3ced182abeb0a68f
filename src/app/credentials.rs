//! The access key that the embedded store keeps for itself when nobody wrote an account.
//!
//! Guarantees: made once; the file has mode 0600 from its first byte, whatever the umask, and
//! appears whole or not at all, so a crash leaves no half a key; one that has a wider mode gets
//! this one; the secret is never printed by `Debug`.
//! **Layout**: `<store>/credentials`, in the form of an AWS credentials file with the profile
//! `ratchet`.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::accounts::{AccountSettings, KeySettings, Secret};
use crate::clock::Clock;

use super::Error;

const FILE: &str = "credentials";
const MODE: u32 = 0o600;
const ACCOUNT: &str = "root";

/// A key and where it is kept.
#[derive(Clone, Debug)]
pub struct OwnKey {
    pub path: PathBuf,
    pub id: String,
    secret: Secret,
    /// Whether this start made it.
    pub fresh: bool,
}

impl OwnKey {
    /// The key that is kept in the store's directory, made if there is none.
    pub fn find_or_make(directory: &Path, clock: &Clock) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let fresh =
            matches!(fs::metadata(&path), Err(error) if error.kind() == ErrorKind::NotFound);
        if fresh {
            let written = write_whole(directory, &path, &fresh_text(clock));
            written.map_err(|error| Error::Credentials {
                path: path.clone(),
                what: error.to_string(),
            })?;
        }
        if let Err(error) = keep_private(&path) {
            tracing::warn!(path = %path.display(), %error, "other users of this machine may be able to read the access key");
        }
        Ok(Self { fresh, ..Self::find(directory)? })
    }

    /// The key that is kept there.
    pub fn find(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let failed = |what: String| Error::Credentials { path: path.clone(), what };
        let text = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        let value = |name: &str| {
            let values = text.lines().filter_map(|line| line.split_once('='));
            values
                .into_iter()
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        let missing = || failed("it names no key; remove it to have a new one made".to_owned());
        let id = value("aws_access_key_id").ok_or_else(missing)?;
        let secret = value("aws_secret_access_key").ok_or_else(missing)?.into();
        Ok(Self { path, id, secret, fresh: false })
    }

    /// The account it belongs to: admin on everything.
    pub fn account(&self) -> AccountSettings {
        let keys = vec![KeySettings { id: self.id.clone(), secret: self.secret.clone() }];
        AccountSettings { name: ACCOUNT.to_owned(), root: true, keys, grants: Vec::new() }
    }
}

fn fresh_text(clock: &Clock) -> String {
    let id = clock.random_id()[..16].to_ascii_uppercase();
    format!(
        "[ratchet]\naws_access_key_id = RATCHET{id}\naws_secret_access_key = {}\n",
        clock.random_id()
    )
}

/// Gives the file its mode if it has another one.
fn keep_private(path: &Path) -> std::io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o7777 == MODE {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(MODE))
}

/// Temporary first, then a rename: both the file and its name are durable on return.
fn write_whole(directory: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&temporary)?;
    // A umask may have taken the owner's bits away. Where it cannot be done, `find_or_make` warns.
    keep_private(&temporary).ok();
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::seeded(7);
        let made = OwnKey::find_or_make(directory.path(), &clock).unwrap();
        let found = OwnKey::find_or_make(directory.path(), &clock).unwrap();
        assert!(made.fresh && !found.fresh);
        assert_eq!((&made.id, &made.secret), (&found.id, &found.secret));
        assert_eq!(fs::metadata(&made.path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&made.path, Permissions::from_mode(0o644)).unwrap();
        OwnKey::find_or_make(directory.path(), &clock).unwrap();
        assert_eq!(
            fs::metadata(&made.path).unwrap().permissions().mode() & 0o777,
            0o600,
            "a wider mode is mended"
        );
        assert!(!format!("{made:?}").contains(made.secret.expose()));
        assert!(crate::accounts::Settings { accounts: vec![made.account()] }.check().is_ok());
    }

    #[test]
    fn a_file_without_a_key_is_refused_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), "[ratchet]\n").unwrap();
        let error = OwnKey::find_or_make(directory.path(), &Clock::seeded(7)).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
