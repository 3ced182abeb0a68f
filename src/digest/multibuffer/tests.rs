//! Digests of several messages at once, compared with those of the libraries.

use md5::Md5;
use sha2::{Digest, Sha256};

use super::{DigestSet, Digests, Hasher, update_all};

const BOTH: DigestSet = DigestSet { sha256: true, md5: true };

/// A uniform, reproducible sequence of numbers (Knuth's MMIX generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

fn assert_digests(found: Digests, message: &[u8], context: &str) {
    assert_eq!(
        found.sha256.map(|sha256| sha256.0),
        Some(Sha256::digest(message).into()),
        "{context}"
    );
    assert_eq!(found.md5, Some(Md5::digest(message).into()), "{context}");
}

#[test]
fn a_message_of_any_length_has_the_right_digests() {
    let mut numbers = Numbers(1);
    for len in (0..200).chain([1000, 4095, 4096, 4097]) {
        let message = numbers.bytes(len);
        let mut hasher = Hasher::new(BOTH);
        message.chunks(61).for_each(|bytes| hasher.update(bytes));
        assert_digests(hasher.finish(), &message, &format!("{len} bytes"));
    }
}

#[test]
fn messages_hashed_together_have_their_own_digests() {
    let mut numbers = Numbers(7);
    for round in 0..300 {
        let count = 1 + numbers.below(11);
        let mut messages = vec![Vec::new(); count];
        let mut all: Vec<(Hasher, Vec<u8>)> =
            messages.iter().map(|_| (Hasher::new(BOTH), Vec::new())).collect();
        for _ in 0..3 {
            for ((_, bytes), message) in all.iter_mut().zip(&mut messages) {
                let len = numbers.below(700);
                *bytes = numbers.bytes(len);
                message.extend_from_slice(bytes);
            }
            update_all(&mut all);
        }
        for ((hasher, _), message) in all.into_iter().zip(&messages) {
            assert_digests(hasher.finish(), message, &format!("round {round}, {count} messages"));
        }
    }
}

#[test]
fn only_selected_digests_are_computed() {
    let mut hasher = Hasher::new(DigestSet { sha256: false, md5: true });
    hasher.update(b"abc");
    let found = hasher.finish();
    assert_eq!((found.sha256.is_none(), found.md5), (true, Some(Md5::digest(b"abc").into())));
}
