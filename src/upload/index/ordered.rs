//! Object keys in the form in which the index of open sessions writes them: names that every store
//! accepts and that sort as the keys do.
//!
//! Guarantees: of two keys, the smaller one by its bytes has the smaller form, also if `!` and more
//! follow the forms; the form of a prefix is a prefix of the form of every key that begins with it;
//! a form is ASCII, has no `!`, no `\`, and no segment that is empty, `.`, `..` or long. The one
//! exception: forms longer than [`MAX_ESCAPED`] are cut there and end with the key's SHA-256, so
//! keys that are equal up to the cut sort among themselves by that hash. Pure. Source: the proof is
//! the tests below; docs/architecture.md#ordered-keys.
//!
//! Why the order holds: each byte is escaped by itself, no escape is the beginning of another one,
//! and the escapes sort as the bytes do: `%20` … `%2F`, then `0` … `[`, `]0` for `\`, `]1` for `]`,
//! then `^` … `}`, then `~7E` … `~FF`. All of them sort after `!`. A `/` follows every [`SEGMENT`]
//! characters, so it is at the same place in any two forms.

use crate::digest::Sha256;

/// Characters of one segment of a form: together with what an entry adds, short enough for every
/// store.
const SEGMENT: usize = 160;
/// The most escaped characters of a form that is not cut. It is no multiple of a segment, so what
/// is added to a cut form does not begin a segment.
const MAX_ESCAPED: usize = 700;

/// Sorts after everything that can follow the form of a prefix in an entry.
pub(in crate::upload) const AFTER_ALL: &str = "~~~~";

/// The form of a key.
pub(in crate::upload) fn of_key(key: &str) -> String {
    let (mut form, is_whole) = of_prefix(key);
    if !is_whole {
        form.push_str("~~");
        form.push_str(&Sha256::of(key.as_bytes()).hex());
    }
    form
}

/// The prefix of the forms of all keys with this prefix; false if forms of other keys have it too.
pub(in crate::upload) fn of_prefix(prefix: &str) -> (String, bool) {
    let mut form = String::with_capacity(prefix.len() + prefix.len() / 4);
    let (mut escaped, mut written) = (String::with_capacity(3), 0);
    for byte in prefix.bytes() {
        escape(byte, &mut escaped);
        for character in escaped.drain(..) {
            if written == MAX_ESCAPED {
                return (form, false);
            }
            form.push(character);
            written += 1;
            if written % SEGMENT == 0 {
                form.push('/');
            }
        }
    }
    (form, true)
}

/// The key of a form; None if the form was cut, or is no form.
pub(in crate::upload) fn key_of(form: &str) -> Option<String> {
    // Two `~` in a row only follow a cut, perhaps within an escape.
    if form.contains("~~") {
        return None;
    }
    let mut bytes = form.bytes().filter(|byte| *byte != b'/');
    let mut key = Vec::with_capacity(form.len());
    while let Some(byte) = bytes.next() {
        key.push(match byte {
            b'%' | b'~' => (digit(bytes.next()?)? << 4) | digit(bytes.next()?)?,
            b']' => match bytes.next()? {
                b'0' => b'\\',
                b'1' => b']',
                _ => return None,
            },
            other => other,
        });
    }
    String::from_utf8(key).ok()
}

fn escape(byte: u8, text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    match byte {
        b'\\' => text.push_str("]0"),
        b']' => text.push_str("]1"),
        b'0'..=b'}' => text.push(char::from(byte)),
        other => {
            text.push(if other < b'0' { '%' } else { '~' });
            text.extend(
                [other >> 4, other & 15].map(|digit| char::from(DIGITS[usize::from(digit)])),
            );
        }
    }
}

fn digit(character: u8) -> Option<u8> {
    let digit = char::from(character).to_digit(16).filter(|_| !character.is_ascii_lowercase())?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// Keys of few different characters, so that many have common prefixes; some are long.
    fn keys() -> impl Strategy<Value = String> {
        let character = prop::sample::select(vec![
            'a', '!', '/', '\\', ']', '.', '-', '~', '0', '\u{1}', 'ä', '}', '😀',
        ]);
        let repeated = (prop::collection::vec(character, 0..6), 1..80_usize);
        repeated.prop_map(|(characters, times)| {
            let text: String = characters.iter().collect();
            text.repeat(times).chars().take(300).collect()
        })
    }

    fn is_whole(key: &str) -> bool {
        of_prefix(key).1
    }

    proptest! {
        #[test]
        fn forms_sort_as_keys_do_and_can_be_reversed(
            one in keys(),
            other in keys(),
            times in (0..3_u64, 0..3_u64),
        ) {
            let entry = |key: &str, time: u64| format!("{}!{time:012}-b", of_key(key));
            let (first, second) = (entry(&one, times.0), entry(&other, times.1));
            let same_beginning = of_prefix(&one).0 == of_prefix(&other).0;
            if is_whole(&one) && is_whole(&other) || !same_beginning {
                let expected = (one.as_bytes(), times.0).cmp(&(other.as_bytes(), times.1));
                prop_assert_eq!(first.cmp(&second), expected, "{} {}", first, second);
            }
            prop_assert_eq!(first == second, one == other && times.0 == times.1);
            prop_assert_eq!(key_of(&of_key(&one)), Some(one.clone()).filter(|_| is_whole(&one)));
        }

        #[test]
        fn the_form_of_a_prefix_is_a_prefix_of_the_form_of_every_key(
            prefix in keys(),
            rest in keys(),
            other in keys(),
        ) {
            let (form, is_whole_form) = of_prefix(&prefix);
            let key = of_key(&format!("{prefix}{rest}"));
            prop_assert!(key.starts_with(&form), "{} {}", form, key);
            let end = form.clone() + AFTER_ALL;
            prop_assert!(key < end, "{} {}", key, end);
            if is_whole_form && is_whole(&other) {
                prop_assert_eq!(of_key(&other).starts_with(&form), other.starts_with(&prefix));
            }
        }

        #[test]
        fn every_store_accepts_a_form(key in keys()) {
            let form = of_key(&key);
            let plain = form.is_ascii() && !form.contains(['!', '\\']);
            prop_assert!(plain && form.len() <= 770, "{}", form);
            for segment in format!("{form}!000000000000-{}", "i".repeat(64)).split('/') {
                let taken = !matches!(segment, "" | "." | "..") && segment.len() <= 255;
                prop_assert!(taken, "{}", segment);
            }
        }
    }

    #[test]
    fn forms_are_readable() {
        let table = [
            ("backup2026", "backup2026"),
            ("a/b-c.d!", "a%2Fb%2Dc%2Ed%21"),
            ("a\\b]c~", "a]0b]1c~7E"),
            ("ä", "~C3~A4"),
            ("", ""),
        ];
        for (key, form) in table {
            assert_eq!(of_key(key), form);
        }
        assert_eq!(
            of_key(&"x".repeat(160)),
            format!("{}/", "x".repeat(160)),
            "no form is a directory of another one in a file system"
        );
        let long = of_key(&"x".repeat(1024));
        assert_eq!((long.len(), long.matches('/').count(), key_of(&long)), (770, 4, None));
        let cut_within_an_escape = "!\\}.\u{1}".repeat(60);
        assert_eq!(key_of(&of_key(&cut_within_an_escape)), None);
        for bad in ["%2", "%2g", "~c3", "~~", "]", "]2", "~C3"] {
            assert_eq!(key_of(bad), None, "{bad}");
        }
    }
}
