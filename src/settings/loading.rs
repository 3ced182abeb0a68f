//! Loads the settings from all places, and gathers everything that is wrong with them.
//!
//! Guarantees: a fault in one place hides none in another.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{
    Args, CONFIG, Environment, Error, Origin, Settings, accounts, cors, file, keys, store,
    variables,
};

/// The settings as far as they could be loaded.
#[derive(Debug, Default)]
pub struct Loaded {
    pub settings: Settings,
    /// Key → where it was set. What is not here has its default.
    pub(super) origins: BTreeMap<String, Origin>,
    /// Where each account was set.
    pub(super) accounts: Vec<Origin>,
    /// Where each rule for pages of other origins was set.
    pub(super) cors: Vec<Origin>,
    /// In the order in which they were found.
    pub faults: Vec<Error>,
}

impl Loaded {
    /// Loads everything.
    pub(super) fn from(args: &Args, environment: &Environment) -> Self {
        let mut loaded = Self::default();
        let config = args.config.clone().or_else(|| environment.get(CONFIG).map(PathBuf::from));
        if let Some(path) = config {
            file::apply(&path, &mut loaded);
        }
        keys::apply_environment(environment, &mut loaded);
        for (key, flag, value) in
            [("listen", "--listen", &args.listen), ("store", "--store", &args.store)]
        {
            if let Some(value) = value {
                loaded.set(key, value, &Origin::Flag(flag));
            }
        }
        loaded.faults.extend(variables::misspelt(environment));
        let outcome = accounts::add_root_key(environment, &mut loaded);
        loaded.note(outcome);
        let outcome = cors::add_origins(environment, &mut loaded);
        loaded.note(outcome);
        loaded
    }

    /// Checks what a gateway needs beside valid single settings, if there are those.
    pub(super) fn check_gateway(mut self) -> Self {
        if self.faults.is_empty() {
            let outcome = store::check_gateway(&self.settings);
            self.note(outcome);
        }
        self
    }

    /// The settings. **Errors**: the first fault.
    pub(super) fn finish(self) -> Result<Settings, Error> {
        match self.faults.into_iter().next() {
            Some(fault) => Err(fault),
            None => Ok(self.settings),
        }
    }

    pub(super) fn set(&mut self, key: &str, text: &str, origin: &Origin) {
        match keys::set(&mut self.settings, key, text, origin) {
            Ok(()) => drop(self.origins.insert(key.to_owned(), origin.clone())),
            Err(fault) => self.faults.push(fault),
        }
    }

    pub(super) fn note(&mut self, outcome: Result<(), Error>) {
        self.faults.extend(outcome.err());
    }
}
