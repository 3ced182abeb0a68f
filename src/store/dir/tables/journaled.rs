//! Tables whose changes are noted, for the journal
//! (docs/decisions/0029-a-pack-is-the-journal-of-the-index.md).
//!
//! Guarantees: the noted changes of a transaction, made again in their order, make the same rows of
//! the rows before it. They hold whole values, so it does no harm to make one twice.
//!
//! **Layout** of a change: the number of the table (one byte), the length of the key and that of
//! the value plus one, 0 for a row that is removed (four bytes each, little-endian); the key; the
//! value.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::ops::{Deref, RangeBounds};
use std::rc::Rc;

use redb::{Key, Table, TableDefinition, Value, WriteTransaction};

use super::super::super::{Error, Result};
use super::index_error;

/// The numbers of the tables. They are in journals: none changes its meaning.
pub const BUCKETS_NUMBER: u8 = 0;
pub const OBJECTS_NUMBER: u8 = 1;
pub const UPLOADS_NUMBER: u8 = 2;
pub const PARTS_NUMBER: u8 = 3;
pub const FILES_NUMBER: u8 = 4;
pub const SHARED_NUMBER: u8 = 5;
pub const GARBAGE_NUMBER: u8 = 6;
pub const PACKS_NUMBER: u8 = 7;

const HEAD_BYTES: usize = 9;

/// The changes of a transaction. None: they are not noted.
#[derive(Clone, Debug)]
pub(super) struct RowChanges(Option<Rc<RefCell<Vec<u8>>>>);

impl RowChanges {
    pub fn new(is_noted: bool) -> Self {
        Self(is_noted.then(Rc::default))
    }

    /// The changes up to now.
    pub fn take(&self) -> Option<Vec<u8>> {
        self.0.as_ref().map(|bytes| std::mem::take(&mut *bytes.borrow_mut()))
    }

    fn note(&self, table: u8, key: &[u8], value: Option<&[u8]>) {
        let Some(bytes) = &self.0 else { return };
        let four_bytes = |len: usize| {
            let len = u32::try_from(len).expect("the index takes no row of 4 GiB");
            len.to_le_bytes()
        };
        let mut bytes = bytes.borrow_mut();
        let value_bytes = value.map_or(0, |value| value.len() + 1);
        bytes.reserve(HEAD_BYTES + key.len() + value_bytes);
        bytes.push(table);
        bytes.extend_from_slice(&four_bytes(key.len()));
        bytes.extend_from_slice(&four_bytes(value_bytes));
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value.unwrap_or_default());
    }
}

/// One noted change of a row.
#[derive(Debug, PartialEq, Eq)]
pub struct RowChange<'a> {
    /// The table's number.
    pub table: u8,
    pub key: &'a [u8],
    /// None: the row is removed.
    pub value: Option<&'a [u8]>,
}

impl<'a> RowChange<'a> {
    /// Calls `each` with each of the changes that were noted.
    pub fn each(mut changes: &'a [u8], mut each: impl FnMut(&Self) -> Result<()>) -> Result<()> {
        while !changes.is_empty() {
            let (change, rest) = Self::first(changes)
                .ok_or_else(|| Error::unavailable("a change in the journal has no meaning"))?;
            each(&change)?;
            changes = rest;
        }
        Ok(())
    }

    /// The first of these changes, and the others.
    fn first(changes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = changes.split_at_checked(HEAD_BYTES)?;
        let number = |at: usize| {
            let four = head.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(four)).ok()
        };
        let (key, rest) = rest.split_at_checked(number(1)?)?;
        let (value, rest) = match number(5)?.checked_sub(1) {
            None => (None, rest),
            Some(len) => {
                let (value, rest) = rest.split_at_checked(len)?;
                (Some(value), rest)
            }
        };
        Some((Self { table: *head.first()?, key, value }, rest))
    }
}

/// A table of the index. Reads go to the table itself.
pub(super) struct Journaled<'txn, K: Key + 'static, V: Value + 'static> {
    table: Table<'txn, K, V>,
    /// The number of the table in the journal.
    number: u8,
    changes: RowChanges,
}

impl<'txn, K: Key + 'static, V: Value + 'static> Deref for Journaled<'txn, K, V> {
    type Target = Table<'txn, K, V>;

    fn deref(&self) -> &Self::Target {
        &self.table
    }
}

impl<'txn, K: Key + 'static, V: Value + 'static> Journaled<'txn, K, V> {
    pub fn open(
        transaction: &'txn WriteTransaction,
        definition: TableDefinition<'_, K, V>,
        number: u8,
        changes: &RowChanges,
    ) -> Result<Self> {
        let table = transaction.open_table(definition).map_err(index_error)?;
        Ok(Self { table, number, changes: changes.clone() })
    }

    /// Writes a row. Returns what `old` makes of the value that was there.
    pub fn insert_over<'k, 'v, T>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
        old: impl FnOnce(V::SelfType<'_>) -> T,
    ) -> Result<Option<T>> {
        let (key, value) = (key.borrow(), value.borrow());
        self.changes.note(
            self.number,
            K::as_bytes(key).as_ref(),
            Some(V::as_bytes(value).as_ref()),
        );
        let replaced = self.table.insert(key, value).map_err(index_error)?;
        Ok(replaced.map(|replaced| old(replaced.value())))
    }

    /// Writes a row. Returns whether there was one.
    pub fn insert<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<bool> {
        Ok(self.insert_over(key, value, |_| ())?.is_some())
    }

    /// Writes a row that the journal gets in another way.
    pub fn insert_unnoted<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<()> {
        self.table.insert(key, value).map(drop).map_err(index_error)
    }

    pub fn remove<'k>(&mut self, key: impl Borrow<K::SelfType<'k>>) -> Result<()> {
        let key = key.borrow();
        self.changes.note(self.number, K::as_bytes(key).as_ref(), None);
        self.table.remove(key).map(drop).map_err(index_error)
    }

    /// Removes the rows of a range, each after `on_row` has seen it.
    pub fn remove_range<'k, R: Borrow<K::SelfType<'k>> + 'k>(
        &mut self,
        range: impl RangeBounds<R> + 'k,
        mut on_row: impl FnMut(K::SelfType<'_>, V::SelfType<'_>) -> Result<()>,
    ) -> Result<()> {
        for row in self.table.extract_from_if(range, |_, _| true).map_err(index_error)? {
            let (key, value) = row.map_err(index_error)?;
            let key = key.value();
            self.changes.note(self.number, K::as_bytes(&key).as_ref(), None);
            on_row(key, value.value())?;
        }
        Ok(())
    }

    /// Makes a change again that was noted.
    pub fn repeat(&mut self, change: &RowChange<'_>) -> Result<()> {
        let key = K::from_bytes(change.key);
        match change.value {
            Some(value) => self.insert_unnoted(key, V::from_bytes(value)),
            None => self.table.remove(key).map(drop).map_err(index_error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_they_were_noted_and_nothing_else_is() {
        let changes = RowChanges::new(true);
        let change = |table, key, value| RowChange { table, key, value };
        let noted = [
            change(0, b"key", Some(b"value")),
            change(7, b"", Some(b"")),
            change(3, b"gone", None),
            change(1, b"k", Some(b"v")),
        ];
        for RowChange { table, key, value } in &noted {
            changes.note(*table, key, *value);
        }
        let bytes = changes.take().unwrap();
        assert_eq!(changes.take().unwrap(), b"");
        let mut expected = noted.iter();
        let read = |bytes: &[u8], on_change: &mut dyn FnMut(&RowChange<'_>)| {
            RowChange::each(bytes, |change| {
                on_change(change);
                Ok(())
            })
        };
        read(&bytes, &mut |change| assert_eq!(change, expected.next().unwrap())).unwrap();
        assert_eq!(expected.len(), 0);
        for cut in 1..HEAD_BYTES + 2 {
            assert!(read(&bytes[..bytes.len() - cut], &mut |_| {}).is_err(), "{cut}");
        }
        assert_eq!(RowChanges::new(false).take(), None);
    }
}
