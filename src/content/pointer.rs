//! The object that stands at a target whose bytes are in blobs.
//!
//! Guarantees: all pointers have one length, so a listing shows which objects may be one; no two
//! have the same bytes, so the store's ETag of one is never that of another. What a client sees
//! (size, ETag) is in the metadata, under a name that no client can set.

use super::names::Id;
use crate::names::AccountName;
use crate::store::{Attributes, ETag, Head};

/// The length of every pointer. Few other objects have it.
pub(super) const POINTER_BYTES: u64 = 1021;

/// The metadata that makes an object a pointer: `1 <account> <recipe> <size> <etag>`.
const METADATA: &str = "ratchet-content";

/// A server limits the metadata of an object to 2 KiB, of which a pointer needs so much.
pub(super) const METADATA_BYTES: usize = 256;

/// What a pointer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    pub account: AccountName,
    pub recipe: Id,
    /// Of the object that a client sees.
    pub size_bytes: u64,
    pub etag: ETag,
}

impl Pointer {
    /// None: the object is a plain one.
    pub fn of(attributes: &Attributes) -> Option<Self> {
        let mut fields = attributes.user.get(METADATA)?.split(' ');
        if fields.next() != Some("1") {
            return None;
        }
        let account = fields.next()?.into();
        let recipe = Id::parse(fields.next()?)?;
        let size_bytes = fields.next()?.parse().ok()?;
        Some(Self { account, recipe, size_bytes, etag: fields.next()?.into() })
    }

    /// The attributes of the pointer, made of those that the object has for clients.
    pub fn attributes(&self, mut attributes: Attributes) -> Attributes {
        let Self { account, recipe, size_bytes, etag } = self;
        let value = format!("1 {account} {recipe} {size_bytes} {etag}");
        attributes.user.insert(METADATA.to_owned(), value);
        attributes
    }

    /// The bytes of the pointer: a sentence for whoever reads the store without the gateway.
    pub fn bytes(&self) -> String {
        let Self { account, recipe, size_bytes, .. } = self;
        let text = format!(
            "The bytes of this object ({size_bytes}) are in blobs, which a Ratchet gateway puts \
             together: recipe v1/{account}/recipes/{recipe}/ of its state bucket. `ratchet \
             materialize` makes a plain object of it.\n"
        );
        format!("{text:<width$}", width = POINTER_BYTES as usize)
    }
}

/// The head as a client sees it, with the pointer that it had.
pub(super) fn seen(mut head: Head) -> (Head, Option<(ETag, Pointer)>) {
    let Some(pointer) = Pointer::of(&head.attributes) else { return (head, None) };
    head.attributes.user.remove(METADATA);
    head.size_bytes = pointer.size_bytes;
    // That of the pointer's own bytes.
    head.checksum = None;
    let stored = std::mem::replace(&mut head.etag, pointer.etag.clone());
    (head, Some((stored, pointer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_read_from_its_metadata_and_has_one_length() {
        for (account, size_bytes) in [("a".to_owned(), 0), ("b".repeat(64), u64::MAX)] {
            let recipe = Id::parse(&"0f".repeat(16)).unwrap();
            let etag = ETag(format!("{}-10000", "f".repeat(32)));
            let pointer = Pointer { account: account.into(), recipe, size_bytes, etag };
            assert_eq!(pointer.bytes().len() as u64, POINTER_BYTES);
            let attributes = pointer.attributes(Attributes::default());
            assert_eq!(Pointer::of(&attributes), Some(pointer));
            let needed: usize = attributes.user.iter().map(|(k, v)| k.len() + v.len()).sum();
            assert!(needed <= METADATA_BYTES, "{needed}");
        }
        assert_eq!(Pointer::of(&Attributes::default()), None);
        let newer = Attributes {
            user: [(METADATA.to_owned(), "2 something".to_owned())].into(),
            ..Attributes::default()
        };
        assert_eq!(Pointer::of(&newer), None);
    }
}
