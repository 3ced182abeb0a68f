//! The manifest of a backup: its attributes, and the checksum of each recorded chunk.

use std::collections::BTreeMap;

use crate::api::{Manifest, Summary};
use crate::client::{
    Result, Transport,
    transport::{ApiRequest, encoded},
};
use crate::digest::{Kind, Sha256};

/// The path of a backup, or of what lies below it. It names the account: ids of two accounts may be
/// the same.
pub(in crate::client) fn path_of(backup: &Summary, below: &str) -> String {
    let path = format!("/backups/{}{below}", backup.backup_id);
    match &backup.account {
        Some(account) => format!("{path}?account={}", encoded(account)),
        None => path,
    }
}

/// A backup as the gateway had recorded it when it was loaded.
pub(in crate::client) struct RemoteBackup {
    pub summary: Summary,
    /// Chunk index → checksum.
    pub checksums: BTreeMap<u64, Sha256>,
    /// Whether a chunk other than the last one has another length than the others.
    pub is_uneven: bool,
}

impl RemoteBackup {
    /// Loads a backup that was listed, or created.
    pub async fn load(transport: &Transport, listed: &Summary) -> Result<Self> {
        Self::load_from(transport, path_of(listed, "")).await
    }

    /// A complete backup of one chunk, or of none, of which the list says everything; None for
    /// others.
    pub fn of_listed(listed: &Summary) -> Option<Self> {
        let object = listed.object.as_ref().filter(|object| object.size <= listed.chunk_size)?;
        let mut checksums = BTreeMap::new();
        if object.size > 0 {
            let sha256 = object.digests.get(Kind::Sha256.name())?;
            checksums.insert(0, sha256.parse().ok()?);
        }
        Some(Self { summary: listed.clone(), checksums, is_uneven: false })
    }

    /// Loads the backup with this id, of the account or of another one.
    pub async fn load_by_id(transport: &Transport, id: &str) -> Result<Self> {
        Self::load_from(transport, format!("/backups/{id}")).await
    }

    async fn load_from(transport: &Transport, path: String) -> Result<Self> {
        let manifest: Manifest = transport.send_for_json(&ApiRequest::get(path)).await?;
        let checksums = manifest
            .chunks
            .iter()
            .filter_map(|(index, checksum)| Some((index.parse().ok()?, checksum.parse().ok()?)))
            .collect();
        let is_uneven = manifest.uneven;
        Ok(Self { summary: manifest.summary, checksums, is_uneven })
    }

    /// The same backup as if no chunk were recorded, so that every chunk is sent.
    pub fn with_nothing_recorded(&self) -> Self {
        let (summary, is_uneven) = (self.summary.clone(), self.is_uneven);
        Self { summary, checksums: BTreeMap::new(), is_uneven }
    }

    pub fn id(&self) -> &str {
        &self.summary.backup_id
    }

    pub fn checksum_of(&self, index: u64) -> Option<&Sha256> {
        self.checksums.get(&index)
    }
}
