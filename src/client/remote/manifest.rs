//! The manifest of a backup: its attributes, and the checksum of each recorded chunk.

use std::collections::BTreeMap;

use crate::api::{Manifest, Summary};
use crate::client::{Result, Transport, transport::ApiRequest};
use crate::digest::Sha256;

/// A backup as the gateway had recorded it when it was loaded.
pub(in crate::client) struct RemoteBackup {
    pub summary: Summary,
    /// Chunk index → checksum.
    pub checksums: BTreeMap<u64, Sha256>,
}

impl RemoteBackup {
    pub async fn load(transport: &Transport, id: &str) -> Result<Self> {
        let manifest: Manifest =
            transport.send_for_json(&ApiRequest::get(format!("/backups/{id}"))).await?;
        let checksums = manifest
            .chunks
            .iter()
            .filter_map(|(index, checksum)| Some((index.parse().ok()?, checksum.parse().ok()?)))
            .collect();
        Ok(Self { summary: manifest.summary, checksums })
    }

    /// The same backup as if no chunk were recorded, so that every chunk is sent.
    pub fn with_nothing_recorded(&self) -> Self {
        Self { summary: self.summary.clone(), checksums: BTreeMap::new() }
    }

    pub fn id(&self) -> &str {
        &self.summary.backup_id
    }

    pub fn checksum_of(&self, index: u64) -> Option<&Sha256> {
        self.checksums.get(&index)
    }
}
