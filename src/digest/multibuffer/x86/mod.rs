//! The compressions that need instructions beyond those of every x86-64 processor.
//!
//! Guarantees: the processor is asked before an instruction of it is used; where it has none the
//! answer is false and nothing has changed. **The only `unsafe` of the project is here**: calls of
//! functions that are compiled for those instructions, right behind the question, and a word to the
//! compiler about their order. All else is safe code. It knows nothing of padding, nor of who
//! waits.

mod md5;
mod sha256;

use super::lanes::Lane;

/// Whether SHA-NI is here.
pub fn has_sha256() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
}

/// Whether AVX2 is here.
pub fn has_md5() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Compresses the first `count` blocks of two lanes by SHA-NI. False: not on this processor.
#[expect(
    unsafe_code,
    reason = "what is compiled for more than every processor has may be called only by `unsafe`"
)]
pub fn sha256(lanes: &mut [Lane<'_, super::sha256::State>], count: usize) -> bool {
    match lanes {
        [a, b] if has_sha256() => {
            // SAFETY: the processor has every feature that the function is compiled for.
            unsafe { sha256::compress([a, b], count) };
            true
        }
        _ => false,
    }
}

/// Compresses the first `count` blocks of at most eight lanes by AVX2. False: not on this
/// processor.
#[expect(
    unsafe_code,
    reason = "what is compiled for more than every processor has may be called only by `unsafe`"
)]
pub fn md5(lanes: &mut [Lane<'_, super::md5::State>], count: usize) -> bool {
    if !has_md5() {
        return false;
    }
    // SAFETY: the processor has the feature that the function is compiled for.
    unsafe { md5::compress(lanes, count) };
    true
}
