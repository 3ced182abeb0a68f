//! Typed settings, from flags, environment variables and the settings file.
//!
//! Guarantees: flags win over environment variables, variables over the file, the file over
//! defaults; everything is checked before a store or a port is opened; an unknown key in the file
//! is an error; an error names key, value, origin and the correction, and never a secret. It opens
//! no store and no port. Source: docs/architecture.md#settings.

mod accounts;
mod cors;
mod error;
mod file;
mod keys;
mod loading;
mod reference;
mod shown;
mod similar;
mod store;
mod values;
mod variables;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::accounts::Settings as AccountsSettings;
use crate::front::s3::Settings as S3Settings;
use crate::gc::Settings as GcSettings;
use crate::observe::Settings as ObserveSettings;
use crate::server::Settings as ServerSettings;
use crate::upload::Settings as UploadSettings;
use crate::web::Settings as WebSettings;

pub use error::{Error, Origin};
pub use loading::Loaded;
pub use reference::reference;
pub use shown::{Shown, shown};
pub use store::{StoreChoice, StoreSettings};
pub use variables::unknown_variables;

/// What the names of all variables begin with.
const PREFIX: &str = "RATCHET_";
/// The variable that names the settings file.
const CONFIG: &str = "RATCHET_CONFIG";

/// The flags of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    pub config: Option<PathBuf>,
    pub listen: Option<String>,
    pub store: Option<String>,
}

/// The settings of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub listen: SocketAddr,
    pub store: StoreSettings,
    pub upload: UploadSettings,
    pub server: ServerSettings,
    pub web: WebSettings,
    pub s3: S3Settings,
    pub gc: GcSettings,
    pub log: ObserveSettings,
    /// Empty: none are configured; with the embedded store the gateway then creates an access key.
    pub accounts: AccountsSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9010)),
            store: StoreSettings::default(),
            upload: UploadSettings::default(),
            server: ServerSettings::default(),
            web: WebSettings::default(),
            s3: S3Settings::default(),
            gc: GcSettings::default(),
            log: ObserveSettings::default(),
            accounts: AccountsSettings::default(),
        }
    }
}

/// The environment variables whose names begin with `RATCHET_`.
pub type Environment = BTreeMap<String, String>;

/// The `RATCHET_` variables of this process. Variables that are not Unicode are left out.
pub fn environment() -> Environment {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    variables.filter(|(name, _)| name.starts_with(PREFIX)).collect()
}

/// Loads the settings of a gateway, and checks that it can start with them. **Errors**: the first
/// invalid setting.
pub fn load_for_gateway(args: &Args, environment: &Environment) -> Result<Settings, Error> {
    inspect(args, environment).finish()
}

/// Loads the settings for a command that works on the store without serving clients. **Errors**:
/// the first invalid setting.
pub fn load(args: &Args, environment: &Environment) -> Result<Settings, Error> {
    Loaded::from(args, environment).finish()
}

/// The settings of a gateway, where each comes from, and everything that is wrong with them.
pub fn inspect(args: &Args, environment: &Environment) -> Loaded {
    Loaded::from(args, environment).check_gateway()
}

#[cfg(test)]
mod tests;
