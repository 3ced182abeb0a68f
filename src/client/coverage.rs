//! Which bytes of a store the extents that were seen so far cover.
//!
//! Guarantees: a byte counts once, however many extents have it. Memory grows with the bytes that
//! do not lie beside each other, not with the number of extents. Pure.

use std::collections::BTreeMap;

use crate::api::Extent;

/// Disjoint spans of bytes of each id.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Id and first byte → the byte after the last.
    spans: BTreeMap<(u64, u64), u64>,
}

impl Coverage {
    /// Adds the bytes of an extent. Returns how many of them were not covered yet. None: the id is
    /// not one.
    pub fn add(&mut self, extent: &Extent) -> Option<u64> {
        let (id, mut first, mut end) = span(extent)?;
        let new_bytes = (end - first) - self.overlap(extent)?;
        // Those that touch it become one with it.
        let touching: Vec<(u64, u64)> = self.touching((id, first, end)).collect();
        for (start, old_end) in touching {
            self.spans.remove(&(id, start));
            (first, end) = (first.min(start), end.max(old_end));
        }
        if first < end {
            self.spans.insert((id, first), end);
        }
        Some(new_bytes)
    }

    /// How many bytes of an extent are covered. None: the id is not one.
    pub fn overlap(&self, extent: &Extent) -> Option<u64> {
        let (id, first, end) = span(extent)?;
        let touching = self.touching((id, first, end));
        Some(
            touching
                .map(|(start, old_end)| old_end.min(end).saturating_sub(start.max(first)))
                .sum(),
        )
    }

    /// First byte and end of the spans that overlap this one or lie beside it.
    fn touching(&self, (id, first, end): (u64, u64, u64)) -> impl Iterator<Item = (u64, u64)> {
        let before = self.spans.range((id, 0)..=(id, end)).rev();
        // They are disjoint, so those that begin earlier end earlier too.
        before.map(|((_, start), end)| (*start, *end)).take_while(move |(_, end)| *end >= first)
    }
}

fn span(Extent { id, first, length }: &Extent) -> Option<(u64, u64, u64)> {
    Some((u64::from_str_radix(id, 16).ok()?, *first, first.checked_add(*length)?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn extent(id: u64, first: u64, length: u64) -> Extent {
        Extent { id: format!("{id:016x}"), first, length }
    }

    #[test]
    fn each_byte_counts_once() {
        let mut coverage = Coverage::default();
        let table = [
            ((1, 10, 10), 10),
            ((1, 10, 10), 0),
            // Another id, and nothing at all.
            ((2, 10, 10), 10),
            ((1, 0, 0), 0),
            // Beside it, inside it, over its end, around everything.
            ((1, 20, 5), 5),
            ((1, 12, 3), 0),
            ((1, 24, 6), 5),
            ((1, 40, 10), 10),
            ((1, 0, 100), 70),
            ((2, 5, 20), 10),
        ];
        for ((id, first, length), new_bytes) in table {
            assert_eq!(coverage.add(&extent(id, first, length)), Some(new_bytes), "{first}");
        }
        assert_eq!(coverage.spans.len(), 2, "{:?}", coverage.spans);
        assert_eq!(coverage.overlap(&extent(1, 90, 20)), Some(10));
        assert_eq!(coverage.overlap(&extent(3, 0, 20)), Some(0));
        let no_id = Extent { id: "none".to_owned(), first: 0, length: 1 };
        assert_eq!((coverage.overlap(&no_id), coverage.add(&no_id)), (None, None));
        assert_eq!(coverage.add(&extent(1, u64::MAX, 1)), None);
    }

    proptest::proptest! {
        #[test]
        fn it_counts_as_a_set_of_bytes_does(extents in proptest::collection::vec(
            (0..2_u64, 0..50_u64, 0..20_u64), 0..40,
        )) {
            let (mut coverage, mut bytes) = (Coverage::default(), BTreeSet::new());
            for (id, first, length) in extents {
                let span = (first..first + length).map(|at| (id, at));
                let covered = span.clone().filter(|byte| bytes.contains(byte)).count() as u64;
                let extent = extent(id, first, length);
                assert_eq!(coverage.overlap(&extent), Some(covered));
                assert_eq!(coverage.add(&extent), Some(length - covered));
                bytes.extend(span);
            }
        }
    }
}
