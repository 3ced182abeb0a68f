//! How much the objects below a target hold, how much the store needs for them, how much was sent,
//! and which of them share bytes with one object.
//!
//! Guarantees: a byte of the store counts once, however many of the objects have it; what the
//! gateway does not say is not there, and never estimated. Memory grows with the number of backups,
//! by some 200 bytes each, and with that of files in the store, by some 50; not with the number of
//! objects. Only objects that the gateway lists are looked at. Source: docs/api.md#usage.

use std::collections::HashMap;

use super::coverage::Coverage;
use super::remote::{for_each_backup_below, for_each_usage, no_object, usage_of_key};
use super::{Error, Result, Target, Transport};
use crate::api::{Finalized, ObjectUsage, Status, Summary};

/// All objects below a target, added up.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    pub objects: u64,
    /// The sizes of the objects.
    pub logical_bytes: u64,
    /// The bytes that the objects are made of, each counted once. None: the store does not say.
    pub stored_bytes: Option<u64>,
    /// Logical bytes for each stored one. None: nothing is stored, or it is not known.
    pub dedup_ratio: Option<f64>,
    /// The bytes that clients sent for the backups that made the objects.
    pub sent_bytes: u64,
    /// The bytes of the same objects that the store had already.
    pub known_bytes: u64,
    /// The sizes of the other objects: nothing says how much was sent for them.
    pub unrecorded_bytes: u64,
    /// Backups that have made no object yet; they are not counted in the bytes.
    pub open_backups: u64,
}

/// One object of them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageRow {
    pub bucket: String,
    pub key: String,
    pub logical_bytes: u64,
    /// The bytes that it is made of and none of the objects before it. None: the store does not
    /// say.
    pub stored_bytes: Option<u64>,
    /// None: nothing says how much was sent for it.
    pub sent_bytes: Option<u64>,
    pub known_bytes: Option<u64>,
}

/// An object that shares bytes with another one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sharer {
    pub bucket: String,
    pub key: String,
    pub shared_bytes: u64,
}

/// What the newest complete backup of a key and an ETag says.
struct Made {
    completed_at: Option<u64>,
    size: u64,
    sent_bytes: Option<u64>,
}

#[derive(Default)]
struct Backups {
    /// By key and ETag of the object.
    complete: HashMap<(String, String), Made>,
    open: u64,
}

impl Backups {
    fn add(&mut self, backup: Summary) {
        match (backup.status, backup.object) {
            (Status::InProgress | Status::Finalizing, _) => self.open += 1,
            (Status::Complete, Some(Finalized { etag, size, sent_bytes, .. })) => {
                let completed_at = backup.completed_at;
                let name = (backup.key, etag);
                let known = self.complete.get(&name);
                if known.is_none_or(|known| known.completed_at <= completed_at) {
                    self.complete.insert(name, Made { completed_at, size, sent_bytes });
                }
            }
            (Status::Complete | Status::Aborted | Status::Superseded, _) => {}
        }
    }

    /// How many bytes were sent for an object, if a backup made it and says so.
    fn sent_bytes(&mut self, object: &ObjectUsage) -> Option<u64> {
        let made = self.complete.remove(&(object.key.clone(), object.etag.clone()));
        made.filter(|made| made.size == object.size)?.sent_bytes
    }
}

/// Adds up what is below the target, and hands each object to `each`. **Errors**: also if there is
/// no such bucket.
pub async fn usage(
    transport: &Transport,
    target: &Target,
    mut each: impl FnMut(&UsageRow),
) -> Result<Usage> {
    let mut backups = Backups::default();
    for_each_backup_below(transport, target, |backup| backups.add(backup)).await?;
    let (mut usage, mut coverage) = (Usage::default(), Coverage::default());
    let mut stored_bytes = Some(0);
    for_each_usage(transport, target, |object| {
        let sent_bytes = backups.sent_bytes(&object).map(|sent| sent.min(object.size));
        let row = UsageRow {
            bucket: target.bucket.clone(),
            logical_bytes: object.size,
            stored_bytes: stored_of(transport, &object, &mut coverage)?,
            sent_bytes,
            known_bytes: sent_bytes.map(|sent| object.size - sent),
            key: object.key,
        };
        usage.objects += 1;
        usage.logical_bytes += row.logical_bytes;
        stored_bytes = stored_bytes.zip(row.stored_bytes).map(|(all, one)| all + one);
        match row.sent_bytes.zip(row.known_bytes) {
            Some((sent, known)) => {
                usage.sent_bytes += sent;
                usage.known_bytes += known;
            }
            None => usage.unrecorded_bytes += row.logical_bytes,
        }
        each(&row);
        Ok(())
    })
    .await?;
    usage.stored_bytes = stored_bytes;
    usage.dedup_ratio = stored_bytes.and_then(|stored| ratio(usage.logical_bytes, stored));
    usage.open_backups = backups.open;
    Ok(usage)
}

/// The bytes of an object that were not covered yet. None: the store does not say.
fn stored_of(
    transport: &Transport,
    object: &ObjectUsage,
    coverage: &mut Coverage,
) -> Result<Option<u64>> {
    let Some(extents) = &object.extents else { return Ok(None) };
    let in_extents: u64 = extents.iter().map(|extent| extent.length).sum();
    let own = object.size.saturating_sub(in_extents);
    extents
        .iter()
        .try_fold(own, |all, extent| Some(all + coverage.add(extent)?))
        .map_or_else(|| Err(transport.not_chunk_api(200)), |stored| Ok(Some(stored)))
}

/// Rounded to hundredths. None: nothing is stored.
fn ratio(logical: u64, stored: u64) -> Option<f64> {
    (stored > 0).then(|| (logical as f64 / stored as f64 * 100.0).round() / 100.0)
}

/// Hands the objects below the target that share bytes with this one to `each`; without itself.
/// **Errors**: also if there is no such object, or the store does not say.
pub async fn sharers(
    transport: &Transport,
    object: &Target,
    target: &Target,
    mut each: impl FnMut(&Sharer),
) -> Result<()> {
    let Some(found) = usage_of_key(transport, object).await? else {
        return Err(no_object(transport, object).await);
    };
    let mut coverage = Coverage::default();
    if stored_of(transport, &found, &mut coverage)?.is_none() {
        let what = "the store of this gateway does not say which objects share bytes";
        return Err(Error::NotDone(format!("{object}: {what}")));
    }
    for_each_usage(transport, target, |other| {
        let extents = other.extents.iter().flatten();
        let shared = extents.map(|extent| coverage.overlap(extent)).sum::<Option<u64>>();
        let shared_bytes = shared.ok_or_else(|| transport.not_chunk_api(200))?;
        let is_itself = target.bucket == object.bucket && other.key == object.key;
        if shared_bytes > 0 && !is_itself {
            each(&Sharer { bucket: target.bucket.clone(), key: other.key, shared_bytes });
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A complete backup of the key `k`, or an open one.
    fn backup(completed_at: Option<u64>, etag: &str, sent_bytes: Option<u64>) -> Summary {
        let (etag, digests) = (etag.to_owned(), BTreeMap::new());
        let object = Finalized { etag, size: 10, sent_bytes, digests };
        Summary {
            backup_id: String::new(),
            account: None,
            file_id: String::new(),
            bucket: "b".to_owned(),
            key: "k".to_owned(),
            chunk_size: 1,
            size: Some(10),
            status: if completed_at.is_some() { Status::Complete } else { Status::InProgress },
            digest: None,
            created_at: 1,
            completed_at,
            object: completed_at.map(|_| object),
            reason: None,
            metadata: BTreeMap::new(),
            content_type: None,
            layout: None,
        }
    }

    fn object(key: &str, etag: &str, size: u64) -> ObjectUsage {
        ObjectUsage { key: key.to_owned(), etag: etag.to_owned(), size, extents: None }
    }

    #[test]
    fn what_was_sent_is_said_by_the_newest_backup_that_made_the_object() {
        let of = |object: &ObjectUsage| {
            let mut backups = Backups::default();
            for (completed_at, etag, sent) in [
                (Some(3), "new", Some(4)),
                (Some(2), "new", Some(10)),
                (Some(2), "old", Some(9)),
                (Some(4), "of an older gateway", None),
                (None, "", None),
            ] {
                backups.add(backup(completed_at, etag, sent));
            }
            assert_eq!(backups.open, 1);
            backups.sent_bytes(object)
        };
        assert_eq!(of(&object("k", "new", 10)), Some(4));
        assert_eq!(of(&object("k", "old", 10)), Some(9));
        assert_eq!(of(&object("k", "of an older gateway", 10)), None);
        for other in [object("k", "new", 11), object("k", "put", 10), object("other", "new", 10)] {
            assert_eq!(of(&other), None, "{other:?}");
        }
    }

    #[test]
    fn a_ratio_has_two_decimals() {
        let table = [((0, 0), None), ((5, 0), None), ((10, 10), Some(1.0)), ((10, 3), Some(3.33))];
        for ((logical, stored), expected) in table {
            assert_eq!(ratio(logical, stored), expected, "{logical} of {stored}");
        }
    }
}
