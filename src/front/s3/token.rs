//! Continuation tokens of ListObjectsV2.
//!
//! Guarantees: a token has all that the next page needs, the store's own token included, so any
//! gateway can continue; one that was changed, or that belongs to a listing of another bucket,
//! prefix or delimiter, is no token. It is not secret: a page shows only what its prefix allows.
//! Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::digest::Sha256;
use crate::names::Bucket;
use crate::object::{ListOptions, Next};

/// The first byte of a token: its form.
const FORM: u8 = 1;
/// How much of the SHA-256 over listing and content a token has.
const CHECK_BYTES: usize = 8;
/// A token as long as this one is none of ours.
const MAX_BYTES: usize = 16 << 10;

/// The token of the next page.
pub fn write(next: &Next, bucket: &Bucket, options: &ListOptions) -> String {
    // No key has a zero byte, so it ends the text.
    let token = next.token.as_ref().map(|token| format!("\0{token}")).unwrap_or_default();
    let content = format!("{}{token}", next.after);
    let check = check(&content, bucket, options);
    URL_SAFE_NO_PAD.encode([&[FORM], &check[..], content.as_bytes()].concat())
}

/// Where a page continues. None: the token is no token of this listing.
pub fn read(token: &str, bucket: &Bucket, options: &ListOptions) -> Option<Next> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|bytes| bytes.len() <= MAX_BYTES)?;
    let (found, content) = bytes.strip_prefix(&[FORM])?.split_at_checked(CHECK_BYTES)?;
    let content = std::str::from_utf8(content).ok()?;
    if found != check(content, bucket, options) {
        return None;
    }
    Some(match content.split_once('\0') {
        Some((after, token)) => Next { after: after.to_owned(), token: Some(token.to_owned()) },
        None => Next { after: content.to_owned(), token: None },
    })
}

fn check(content: &str, bucket: &Bucket, options: &ListOptions) -> [u8; CHECK_BYTES] {
    let delimiter = options.delimiter.as_deref().unwrap_or_default();
    let all = [bucket.as_str(), &options.prefix, delimiter, content].join("\0");
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&Sha256::of(all.as_bytes()).0[..CHECK_BYTES]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_continues_its_own_listing_only() {
        let bucket = Bucket::from("bucket");
        let options = ListOptions { prefix: "l/".to_owned(), ..ListOptions::default() };
        for token in [None, Some(String::new()), Some("l/a/\0ä".to_owned())] {
            let next = Next { after: "l/ä".to_owned(), token };
            let written = write(&next, &bucket, &options);
            assert_eq!(read(&written, &bucket, &options), Some(next));
            assert_eq!(read(&written, &Bucket::from("other"), &options), None);
            for other in [
                ListOptions { prefix: "m/".to_owned(), ..ListOptions::default() },
                ListOptions { delimiter: Some("/".to_owned()), ..options.clone() },
            ] {
                assert_eq!(read(&written, &bucket, &other), None, "{other:?}");
            }
            let mut changed = URL_SAFE_NO_PAD.decode(&written).unwrap();
            *changed.last_mut().unwrap() ^= 1;
            assert_eq!(read(&URL_SAFE_NO_PAD.encode(changed), &bucket, &options), None);
        }
        for bad in ["", "AA", "AQ", "bC9h", "%", &"A".repeat(40_000)] {
            assert_eq!(read(bad, &bucket, &options), None, "{bad}");
        }
    }
}
