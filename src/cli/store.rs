//! The arguments that say which settings and which store are meant: of a gateway, and of the
//! commands that open a gateway's store themselves (`gc`, `doctor`, `check`).

use std::path::PathBuf;

use super::{WRONG_USE, failure};
use crate::settings::{self, Settings};

#[derive(Debug, clap::Args)]
pub struct GatewayArgs {
    /// Settings file; `ratchet serve --print-config` shows every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes any free port.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Where to keep objects: dir:PATH, s3+http://HOST:PORT or s3+https://HOST.
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
}

impl GatewayArgs {
    pub fn typed(self) -> settings::Args {
        settings::Args { config: self.config, listen: self.listen, store: self.store }
    }
}

#[derive(Debug, clap::Args)]
pub struct StoreArgs {
    /// Settings file of the gateway.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// dir:PATH (while no gateway runs on it), s3+http://HOST:PORT or s3+https://HOST.
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
}

impl StoreArgs {
    /// Whether an argument says which store is meant.
    pub fn names_a_store(&self) -> bool {
        self.config.is_some() || self.store.is_some()
    }

    /// Joins the arguments with the file and the environment. **Errors**: the exit code; the error
    /// itself is already printed.
    pub fn settings(self) -> Result<Settings, u8> {
        let typed = settings::Args { config: self.config, listen: None, store: self.store };
        settings::load(&typed, &settings::environment()).map_err(|error| {
            failure::report(&error, error.code(), None);
            WRONG_USE
        })
    }
}
