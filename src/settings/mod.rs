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
mod reference;
mod similar;
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
use crate::web::Settings as WebSettings;

pub use error::{Error, Origin};
pub use reference::reference;
pub use store::{StoreChoice, StoreSettings};

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
    let settings = load(args, environment)?;
    store::check_gateway(&settings)?;
    Ok(settings)
}

/// Loads the settings for a command that works on the store without serving clients. **Errors**:
/// the first invalid setting.
pub fn load(args: &Args, environment: &Environment) -> Result<Settings, Error> {
    let mut settings = Settings::default();
    let config = args.config.clone().or_else(|| environment.get(CONFIG).map(PathBuf::from));
    if let Some(path) = config {
        file::apply(&path, &mut settings)?;
    }
    keys::apply_environment(environment, &mut settings)?;
    for (key, flag, value) in
        [("listen", "--listen", &args.listen), ("store", "--store", &args.store)]
    {
        if let Some(value) = value {
            keys::set(&mut settings, key, value, &Origin::Flag(flag))?;
        }
    }
    refuse_misspelt(environment)?;
    accounts::add_root_key(environment, &mut settings)?;
    cors::add_origins(environment, &mut settings)?;
    Ok(settings)
}

/// **Errors**: a variable that is a setting's but for a typing mistake. Others are ignored:
/// orchestrators set `RATCHET_PORT` and the like for a service of this name.
fn refuse_misspelt(environment: &Environment) -> Result<(), Error> {
    let mut known: Vec<String> = keys::KEYS.iter().map(|key| keys::variable(key.name)).collect();
    known.extend([CONFIG, accounts::ID, accounts::SECRET, cors::ORIGINS].map(str::to_owned));
    // What all names begin with says nothing about which is meant.
    let word = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let words: Vec<String> = known.iter().map(|name| word(name)).collect();
    for name in environment.keys().filter(|name| !known.contains(name)) {
        if let Some(meant) = similar::similar(&word(name), words.iter().map(String::as_str)) {
            let fix = format!("did you mean {PREFIX}{meant}? rename or unset it");
            let origin = Origin::Variable(name.clone());
            return Err(Error::UnknownKey { key: name.clone(), origin, fix });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
