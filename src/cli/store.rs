//! The arguments of the commands that open a gateway's store themselves.

use std::path::PathBuf;

use crate::settings::{self, Settings};

#[derive(Debug, clap::Args)]
pub struct StoreArgs {
    /// Settings file of the gateway.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// dir:PATH (of no running gateway), s3+http://HOST:PORT or s3+https://HOST.
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
}

impl StoreArgs {
    /// The settings with what the file and the environment say. **Errors**: the exit code, once
    /// what is wrong was said.
    pub fn settings(self) -> Result<Settings, u8> {
        let typed = settings::Args { config: self.config, listen: None, store: self.store };
        settings::join(&typed, &settings::environment()).map_err(|error| {
            eprintln!("ratchet: {}", super::chain(&error));
            2
        })
    }
}
