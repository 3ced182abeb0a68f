//! Settings: what was typed, written and exported becomes what is meant, or one clear error.
//!
//! Guarantees: flags win over environment over file over defaults; everything is checked before
//! anything is opened; an unknown key in the file is an error; an error names key, value, place and
//! the fix, and never a secret. It opens no store and no port. Source: DESIGN §11.

mod accounts;
mod error;
mod file;
mod keys;
mod reference;
mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::accounts::Settings as AccountsSettings;
use crate::front::s3::Settings as S3Settings;
use crate::gc::Settings as GcSettings;
use crate::observe::Settings as ObserveSettings;
use crate::server::Settings as ServerSettings;
use crate::upload::Settings as UploadSettings;
use crate::web::Settings as HttpSettings;

pub use error::{Error, Place};
pub use reference::reference;
pub use store::{StoreChoice, StoreSettings};

/// What was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    pub config: Option<PathBuf>,
    pub listen: Option<String>,
    pub store: Option<String>,
}

/// What was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub listen: SocketAddr,
    pub store: StoreSettings,
    pub upload: UploadSettings,
    pub server: ServerSettings,
    pub http: HttpSettings,
    pub s3: S3Settings,
    pub gc: GcSettings,
    pub log: ObserveSettings,
    /// Empty: nobody wrote any; the embedded store then keeps a key of its own.
    pub accounts: AccountsSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9010)),
            store: StoreSettings::default(),
            upload: UploadSettings::default(),
            server: ServerSettings::default(),
            http: HttpSettings::default(),
            s3: S3Settings::default(),
            gc: GcSettings::default(),
            log: ObserveSettings::default(),
            accounts: AccountsSettings::default(),
        }
    }
}

/// The variables of a process that are ours.
pub type Environment = BTreeMap<String, String>;

/// The variables of this process. One that is not Unicode is none of ours.
pub fn environment() -> Environment {
    let ours = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    ours.filter(|(name, _)| name.starts_with("RATCHET_")).collect()
}

/// Joins the three, for a gateway. **Errors**: the first thing that cannot be.
pub fn join_to_serve(args: &Args, environment: &Environment) -> Result<Settings, Error> {
    let settings = join(args, environment)?;
    store::serves(&settings)?;
    Ok(settings)
}

/// Joins the three, for a look at the store. **Errors**: the first thing that cannot be.
pub fn join(args: &Args, environment: &Environment) -> Result<Settings, Error> {
    let mut settings = Settings::default();
    let config =
        args.config.clone().or_else(|| environment.get("RATCHET_CONFIG").map(PathBuf::from));
    if let Some(path) = config {
        file::apply(&path, &mut settings)?;
    }
    keys::apply_environment(environment, &mut settings)?;
    for (key, flag, value) in
        [("listen", "--listen", &args.listen), ("store", "--store", &args.store)]
    {
        if let Some(value) = value {
            keys::set(&mut settings, key, value, &Place::Flag(flag))?;
        }
    }
    accounts::add_root_key(environment, &mut settings)?;
    Ok(settings)
}

#[cfg(test)]
mod tests;
