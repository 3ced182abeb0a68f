//! The lease of the sweep: which gateway sweeps, and how far the sweep is.
//!
//! Guarantees: of any number of gateways one acquires it; a holder that writes nothing for
//! [`LEASE_TIMEOUT`] is replaced; the next holder continues where the last one stopped. Ages are
//! differences of two store times. It protects nothing: two sweepers do no harm, they only do the
//! same work twice.
//! **Layout**: `v1/leases/gc.json`, without a version and a checksum; one that cannot be read
//! counts as free. Source: docs/architecture.md#leases.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::names::{AccountName, Key};
use crate::records::{Document, Documents, FoundLease, Lease, LeaseDocument, Result, Stamp};

/// A holder that writes nothing for this long counts as dead.
pub(super) const LEASE_TIMEOUT: Duration = Duration::from_secs(300);

/// How far a sweep is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SweepPosition {
    pub account: AccountName,
    /// The last key of the account's session listing that was dealt with.
    pub after: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct SweepRecord {
    stamp: Stamp,
    /// None: nobody, the last sweep is done.
    holder: Option<String>,
    position: Option<SweepPosition>,
}

/// The stored form.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SweepJson {
    seq: u64,
    write_id: String,
    holder: Option<String>,
    place: Option<SweepPosition>,
}

impl Document for SweepRecord {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn set_stamp(&mut self, stamp: Stamp) {
        self.stamp = stamp;
    }

    fn encode(&self) -> Vec<u8> {
        let json = SweepJson {
            seq: self.stamp.seq,
            write_id: self.stamp.write_id.clone(),
            holder: self.holder.clone(),
            place: self.position.clone(),
        };
        serde_json::to_vec(&json).expect("texts and numbers serialize")
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        // A lease that cannot be read keeps nobody from sweeping.
        let SweepJson { seq, write_id, holder, place } =
            serde_json::from_slice(bytes).unwrap_or_default();
        let stamp = Stamp { seq, write_id, recent_write_ids: Vec::new() };
        Ok(Self { stamp, holder, position: place })
    }
}

impl LeaseDocument for SweepRecord {
    fn holder(&self) -> Option<&str> {
        self.holder.as_deref()
    }

    fn set_holder(&mut self, holder: Option<String>) {
        self.holder = holder;
    }
}

/// The lease as its holder has it.
#[derive(Debug)]
pub(super) struct SweepLease {
    lease: Lease<SweepRecord>,
    /// The store's time when it was acquired.
    pub acquired_at: SystemTime,
}

impl SweepLease {
    /// Acquires the lease. None if another gateway holds it, or if the last sweep ended less than
    /// `min_pause` ago.
    pub async fn acquire(documents: &Documents, min_pause: Duration) -> Result<Option<Self>> {
        let key = Key::from("v1/leases/gc.json".to_owned());
        let is_available = |found: &FoundLease<SweepRecord>| {
            let is_held = found.snapshot.value.holder.is_some();
            found.age >= if is_held { LEASE_TIMEOUT } else { min_pause }
        };
        let holder = documents.clock.random_id();
        let Some(lease) = Lease::acquire(documents, key.clone(), &holder, is_available).await?
        else {
            return Ok(None);
        };
        let head = documents.head(&key).await?;
        Ok(head.map(|head| Self { lease, acquired_at: head.date }))
    }

    /// Where the last sweep stopped; None if it came to its end.
    pub fn position(&self) -> Option<SweepPosition> {
        self.lease.document().position.clone()
    }

    /// Keeps the lease and records how far the sweep is. False if the lease is lost.
    pub async fn renew(&mut self, position: SweepPosition) -> Result<bool> {
        self.lease.renew(|record| record.position = Some(position)).await
    }

    /// Gives the lease up after a sweep that came to its end.
    pub async fn finish(self) -> Result<()> {
        // False if the lease was lost: another gateway sweeps, and will finish.
        self.lease.release(|record| record.position = None).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_has_neither_version_nor_checksum() {
        let json =
            br#"{"seq":7,"writeId":"w","holder":"h","place":{"account":"home","after":null}}"#;
        let record = SweepRecord::decode(json).unwrap();
        assert_eq!((record.stamp.seq, record.holder()), (7, Some("h")));
        assert_eq!(record.encode(), json);
        let free = br#"{"seq":8,"writeId":"w","holder":null,"place":null}"#;
        assert_eq!(SweepRecord::decode(free).unwrap().encode(), free);
        let damaged = SweepRecord::decode(b"{\"seq\":").unwrap();
        assert_eq!((damaged.stamp.seq, damaged.holder()), (0, None));
    }
}
