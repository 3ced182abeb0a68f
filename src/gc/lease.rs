//! Who sweeps: one record, changed by compare-and-swap.
//!
//! Guarantees: of any number of gateways one gets it; one that dies is followed once its lease is
//! over; the next holder goes on where the last one was. Ages are differences of two store times.
//! It protects nothing: two sweepers do no harm, only double work.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::store::{
    Body, Bucket, ETag, Error, GetOptions, GetRange, Head, Key, Kind, PutMode, PutOptions, Result,
    Store,
};

/// A holder that says nothing for so long is taken for dead.
pub(super) const TERM: Duration = Duration::from_secs(300);
const MAX_BYTES: usize = 64 << 10;

/// How far a sweep is: the account, and the place in its sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub account: String,
    pub after: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    seq: u64,
    write_id: String,
    /// None: nobody, the last sweep is done.
    holder: Option<String>,
    place: Option<Place>,
}

/// The lease as its holder has it.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    store: &'a dyn Store,
    bucket: &'a Bucket,
    record: Record,
    etag: ETag,
    /// The store's clock when it was taken.
    pub taken_at: SystemTime,
}

fn key() -> Key {
    Key("v1/leases/gc.json".to_owned())
}

impl<'a> Lease<'a> {
    /// Takes the lease; None where somebody holds it, or where the last sweep ended less than
    /// `rest` ago.
    pub async fn take(
        store: &'a dyn Store,
        bucket: &'a Bucket,
        id: &str,
        rest: Duration,
    ) -> Result<Option<Self>> {
        let (record, mode) = match read(store, bucket).await? {
            None => (Record::default(), PutMode::CreateOnly),
            Some((record, head)) => {
                let age = head.date.duration_since(head.modified).unwrap_or_default();
                if age < if record.holder.is_some() { TERM } else { rest } {
                    return Ok(None);
                }
                (record, PutMode::IfMatch(head.etag))
            }
        };
        let record = Record { holder: Some(id.to_owned()), ..record };
        let mut lease = Self {
            store,
            bucket,
            record,
            etag: ETag(String::new()),
            taken_at: SystemTime::UNIX_EPOCH,
        };
        if !lease.write(mode, id).await? {
            return Ok(None);
        }
        // The store's own time, which ages are counted to.
        lease.taken_at = store.head(bucket, &key()).await?.date;
        Ok(Some(lease))
    }

    pub fn place(&self) -> Option<Place> {
        self.record.place.clone()
    }

    /// Says how far the sweep is; None: it is done. False where the lease is lost.
    pub async fn renew(&mut self, place: Option<Place>, write_id: &str) -> Result<bool> {
        self.record.holder = self.record.holder.take().filter(|_| place.is_some());
        self.record.place = place;
        self.write(PutMode::IfMatch(self.etag.clone()), write_id).await
    }

    async fn write(&mut self, mode: PutMode, write_id: &str) -> Result<bool> {
        self.record.seq += 1;
        write_id.clone_into(&mut self.record.write_id);
        let bytes = serde_json::to_vec(&self.record).map_err(|error| {
            Error::new(Kind::Invalid, "the lease cannot be written down").because(error)
        })?;
        let options = PutOptions { mode, ..PutOptions::default() };
        let failure = match self.store.put(self.bucket, &key(), Body::from(bytes), options).await {
            Ok(written) => {
                self.etag = written.etag;
                return Ok(true);
            }
            Err(failure) => failure,
        };
        // The answer may have been lost, and the write not.
        match read(self.store, self.bucket).await? {
            Some((record, head)) if record.write_id == self.record.write_id => {
                self.etag = head.etag;
                Ok(true)
            }
            _ if matches!(failure.kind(), Kind::Precondition | Kind::Conflict | Kind::NotFound) => {
                Ok(false)
            }
            _ => Err(failure),
        }
    }
}

async fn read(store: &dyn Store, bucket: &Bucket) -> Result<Option<(Record, Head)>> {
    let (head, body) = match store.get(bucket, &key(), GetRange::Whole, GetOptions::default()).await
    {
        Ok(found) => found,
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // A record that cannot be read holds nobody back.
    let record = serde_json::from_slice(&body.collect(MAX_BYTES).await?).unwrap_or_default();
    Ok(Some((record, head)))
}
