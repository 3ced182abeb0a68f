//! What Complete states of the object and its parts besides numbers and ETags: checksums, their
//! kind, the size.
//!
//! Guarantees: whatever is stated is compared with what is recorded of the bytes, or refused where
//! that is not known. Pure. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>.

use super::super::error::{Error, Result};
use super::super::manifest::Root;
use super::super::object_checksum::{ChecksumKind, ObjectChecksum};
use super::entries::{ChosenEntry, PartEntry};
use crate::digest::{Algorithm, Checksum};

/// What a client states of the object that Complete makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectClaim {
    /// With the number of parts, where the client wrote it behind a composite checksum.
    pub checksum: Option<(Checksum, Option<usize>)>,
    pub kind: Option<ChecksumKind>,
    pub size_bytes: Option<u64>,
}

impl ObjectClaim {
    /// **Errors**: `BadRequest` for another kind or algorithm than that of the upload, another
    /// size, and a checksum that cannot be compared; `InvalidPart`, `WrongChecksum`.
    pub(super) fn check(
        &self,
        root: &Root,
        chosen: &[ChosenEntry],
        entries: &[PartEntry],
    ) -> Result<()> {
        let named = root.s3.as_ref().and_then(|s3| s3.checksum);
        self.check_kind(root, named)?;
        for listed in chosen {
            check_part(root, named, listed, entries)?;
        }
        let parts = || chosen.iter().filter_map(|listed| entry_of(listed, entries));
        let size_bytes: u64 = parts().map(|part| part.size_bytes).sum();
        if let Some(stated) = self.size_bytes.filter(|stated| *stated != size_bytes) {
            let what = format!(
                "The provided 'x-amz-mp-object-size' header value {stated} does not match what \
                 was computed: {size_bytes}"
            );
            return Err(Error::BadRequest(what));
        }
        let Some((stated, stated_parts)) = &self.checksum else { return Ok(()) };
        let (algorithm, kind) = (stated.algorithm(), kind_of(root));
        let sums: Option<Vec<(Checksum, u64)>> =
            parts().map(|part| Some((part.record.checksum(algorithm)?, part.size_bytes))).collect();
        let found = sums.and_then(|sums| ObjectChecksum::of_parts(kind, &sums));
        let found = found.ok_or_else(|| {
            let what =
                format!("the {algorithm} of the object cannot be compared: its parts have none");
            Error::BadRequest(what)
        })?;
        let value = match kind {
            ChecksumKind::FullObject => stated.base64(),
            ChecksumKind::Composite => {
                format!("{}-{}", stated.base64(), stated_parts.unwrap_or(chosen.len()))
            }
        };
        if value == found.value {
            return Ok(());
        }
        let what = format!("The {algorithm} you specified did not match the calculated checksum.");
        Err(Error::WrongChecksum(what))
    }

    fn check_kind(&self, root: &Root, named: Option<(Algorithm, ChecksumKind)>) -> Result<()> {
        let own = kind_of(root);
        if self.kind.is_some_and(|kind| kind != own) {
            let what = format!(
                "The upload was created using the {} checksum mode. The complete request must use \
                 the same checksum mode.",
                own.name()
            );
            return Err(Error::BadRequest(what));
        }
        match (named, self.checksum.as_ref().map(|(stated, _)| stated.algorithm())) {
            (Some((expected, _)), Some(stated)) if expected != stated => {
                let what = format!(
                    "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual \
                     checksum Type: {stated}"
                );
                Err(Error::BadRequest(what))
            }
            _ => Ok(()),
        }
    }
}

/// The kind of the object's checksum; of an object that the chunk API began, too.
fn kind_of(root: &Root) -> ChecksumKind {
    root.s3.as_ref().map_or(ChecksumKind::FullObject, |s3| s3.object_checksum().1)
}

fn entry_of<'a>(listed: &ChosenEntry, entries: &'a [PartEntry]) -> Option<&'a PartEntry> {
    let number = listed.number.get();
    entries.binary_search_by_key(&number, |entry| entry.number).ok().map(|at| &entries[at])
}

fn check_part(
    root: &Root,
    named: Option<(Algorithm, ChecksumKind)>,
    listed: &ChosenEntry,
    entries: &[PartEntry],
) -> Result<()> {
    let number = listed.number.get();
    let invalid = || Error::InvalidPart { id: root.backup_id.clone(), number };
    let Some(stated) = &listed.checksum else {
        return match named {
            Some((algorithm, ChecksumKind::Composite)) => {
                let what = format!(
                    "The upload was created using a {} checksum. The complete request must \
                     include the checksum for each part. It was missing for part {number} in the \
                     request.",
                    algorithm.name().to_lowercase()
                );
                Err(Error::BadRequest(what))
            }
            Some((_, ChecksumKind::FullObject)) | None => Ok(()),
        };
    };
    let algorithm = stated.algorithm();
    let entry = entry_of(listed, entries).ok_or_else(invalid)?;
    match entry.record.checksum(algorithm) {
        Some(found) if found == *stated => Ok(()),
        found => match named {
            Some((expected, _)) if expected != algorithm || found.is_none() => {
                let what = format!(
                    "The {} you specified for part {number} did not match what we received.",
                    algorithm.name().to_lowercase()
                );
                Err(Error::WrongChecksum(what))
            }
            Some(_) | None => Err(invalid()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use super::super::super::{
        Kind, NewUpload, PartAdmission, PartClaim, Session, Settings, Uploads,
    };
    use super::*;
    use crate::clock::Clock;
    use crate::digest::ChecksumHasher;
    use crate::store::{Limits, PartNumber, Store, memory::Memory};

    const PARTS: [&[u8]; 2] = [b"one", b"three"];

    fn sum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = ChecksumHasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// An upload with both parts, a minute apart. Of each part the client declared this algorithm.
    async fn upload(
        named: Option<(Algorithm, ChecksumKind)>,
        declared: Option<Algorithm>,
    ) -> (Session, Vec<ChosenEntry>) {
        let clock = Clock::seeded(1);
        let limits = Limits { min_part_bytes: 1, ..Limits::S3 };
        let store: Arc<dyn Store> = Arc::new(Memory::with_limits(limits, clock.clone()));
        let uploads = Uploads::new(store, clock.clone(), Settings::default());
        uploads.prepare().await.unwrap();
        uploads.make_bucket(&"b".into()).await.unwrap();
        let new = NewUpload {
            bucket: "b".into(),
            key: "k".into(),
            checksum: named,
            ..NewUpload::default()
        };
        let session = uploads.create_upload(&"home".into(), new).await.unwrap();
        let mut chosen = Vec::new();
        for (at, bytes) in (1_u32..).zip(PARTS) {
            clock.set_wall(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(at) * 60));
            let number = PartNumber::new(at).unwrap();
            let len_bytes = bytes.len() as u64;
            let claim = PartClaim { len_bytes, algorithm: declared, ..PartClaim::default() };
            let admission = session.admit_part(number, claim).await.unwrap();
            let PartAdmission::Wanted(permit) = admission else { panic!("it is known already") };
            let declared = declared.map(|algorithm| sum(algorithm, bytes));
            let stored = permit.store_part(bytes.to_vec().into(), move || declared).await.unwrap();
            chosen.push(ChosenEntry { number, etag: stored.etag.unwrap(), checksum: None });
        }
        (session, chosen)
    }

    #[tokio::test]
    async fn each_part_has_its_own_time_and_the_checksums_that_the_object_needs() {
        use Algorithm as A;
        let full = |algorithm| Some((algorithm, ChecksumKind::FullObject));
        let table = [
            (None, None, vec![A::Crc64Nvme]),
            (None, Some(A::Crc32), vec![A::Crc32, A::Crc64Nvme]),
            (full(A::Crc32c), None, vec![A::Crc32c]),
            (full(A::Crc32c), Some(A::Crc32c), vec![A::Crc32c]),
            (Some((A::Sha256, ChecksumKind::Composite)), None, vec![A::Sha256]),
        ];
        for (named, declared, expected) in table {
            let (session, _) = upload(named, declared).await;
            let entries = session.part_entries().await.unwrap();
            let minutes =
                entries.iter().map(|entry| entry.record.part.written_at.map(|at| at / 60));
            assert_eq!(minutes.collect::<Vec<_>>(), [Some(1), Some(2)]);
            for (entry, bytes) in entries.iter().zip(PARTS) {
                let sums: Vec<Checksum> =
                    expected.iter().map(|algorithm| sum(*algorithm, bytes)).collect();
                assert_eq!(entry.record.part.checksums, sums, "{named:?} {declared:?}");
            }
        }
    }

    /// Claims that are true, claims that are false, and claims that cannot be compared. A refused
    /// Complete leaves the upload open.
    #[tokio::test]
    async fn what_complete_states_is_compared_before_anything_changes() {
        use Algorithm as A;
        let whole = PARTS.concat();
        let of_object = |algorithm, bytes: &[u8]| ObjectClaim {
            checksum: Some((sum(algorithm, bytes), None)),
            ..ObjectClaim::default()
        };
        let composite = |parts: Option<usize>| {
            let sums = PARTS.map(|bytes| sum(A::Crc32, bytes));
            let all = crate::digest::composite(&sums).unwrap();
            ObjectClaim { checksum: Some((all, parts)), ..ObjectClaim::default() }
        };
        let kind = |kind| ObjectClaim { kind: Some(kind), ..ObjectClaim::default() };
        let size = |size| ObjectClaim { size_bytes: Some(size), ..ObjectClaim::default() };
        let (full, parts) = (ChecksumKind::FullObject, ChecksumKind::Composite);
        let (bad, wrong) = (Some(Kind::BadRequest), Some(Kind::DigestMismatch));
        let nothing = ObjectClaim::default;
        let table = [
            // An upload for which no algorithm was named, and what each part states.
            (None, A::Crc64Nvme, of_object(A::Crc64Nvme, &whole), None),
            (None, A::Crc64Nvme, of_object(A::Crc64Nvme, b"other"), wrong),
            (None, A::Crc32, of_object(A::Crc32, &whole), None),
            (None, A::Sha1, nothing(), Some(Kind::InvalidPart)),
            (None, A::Crc32, of_object(A::Sha512, &whole), bad),
            (None, A::Crc32, kind(full), None),
            (None, A::Crc32, kind(parts), bad),
            (None, A::Crc32, size(8), None),
            (None, A::Crc32, size(9), bad),
            // An upload for which CRC32 was named.
            (Some(full), A::Crc32, of_object(A::Crc32, &whole), None),
            (Some(full), A::Crc32, of_object(A::Crc32, b"other"), wrong),
            (Some(full), A::Crc32, of_object(A::Crc32c, &whole), bad),
            (Some(full), A::Sha256, nothing(), None),
            (Some(parts), A::Crc32, composite(None), None),
            (Some(parts), A::Crc32, composite(Some(2)), None),
            (Some(parts), A::Crc32, composite(Some(3)), wrong),
            (Some(parts), A::Crc32, of_object(A::Crc32, &whole), wrong),
            (Some(parts), A::Crc32, kind(full), bad),
        ];
        for (kind, algorithm, claim, refusal) in table {
            let case = format!("{kind:?} {algorithm} {claim:?}");
            let named = kind.map(|kind| (A::Crc32, kind));
            let (session, mut chosen) = upload(named, Some(A::Crc32)).await;
            for (entry, bytes) in chosen.iter_mut().zip(PARTS) {
                entry.checksum = Some(sum(algorithm, bytes));
            }
            let completed = session.complete_claimed(&chosen, &claim, None).await;
            assert_eq!(completed.err().map(|error| error.kind()), refusal, "{case}");
            assert_eq!(session.root().is_open(), refusal.is_some(), "{case}");
            if refusal.is_none() {
                let again = session.complete_claimed(&chosen, &claim, None).await;
                assert!(again.is_ok(), "{case}: a repeated Complete");
                let other = session.complete_claimed(&chosen, &size(1), None).await;
                assert_eq!(other.unwrap_err().kind(), Kind::BadRequest, "{case}");
            }
        }
    }

    #[tokio::test]
    async fn parts_state_their_checksums() {
        let named = Some((Algorithm::Crc32, ChecksumKind::Composite));
        let (session, mut chosen) = upload(named, Some(Algorithm::Crc32)).await;
        let missing = session.complete_parts(&chosen).await.unwrap_err();
        assert!(missing.to_string().contains("missing for part 1"), "{missing}");
        for entry in &mut chosen {
            entry.checksum = Some(sum(Algorithm::Crc32, PARTS[0]));
        }
        let wrong = session.complete_parts(&chosen).await.unwrap_err();
        assert!(matches!(wrong, Error::InvalidPart { number: 2, .. }), "{wrong:?}");
        chosen[1].checksum = Some(sum(Algorithm::Crc32, PARTS[1]));
        let object = session.complete_parts(&chosen).await.unwrap();
        let checksum = object.checksum.unwrap();
        assert!(checksum.value.ends_with("-2") && checksum.kind == ChecksumKind::Composite);
    }
}
