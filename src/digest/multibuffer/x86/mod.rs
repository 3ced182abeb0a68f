//! Compression functions that need instructions which not every x86-64 processor has.
//!
//! Guarantees: the processor is checked before such an instruction is used; without it the result
//! is false and nothing has changed. **The only `unsafe` code of the project is here**: calls of
//! functions that are compiled for those instructions, directly after the check, and an assembly
//! statement without instructions that fixes their order. Everything else is safe code. It does no
//! padding.

mod md5;
mod sha256;

use super::lanes::Lane;

/// Whether the processor has SHA-NI.
pub fn has_sha256() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
}

/// Whether the processor has AVX2.
pub fn has_md5() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Compresses the first `count` blocks of two lanes by SHA-NI. False: not possible here.
#[expect(unsafe_code, reason = "a function with target features may be called only from `unsafe`")]
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

/// Compresses the first `count` blocks of at most eight lanes by AVX2. False: not possible here.
#[expect(unsafe_code, reason = "a function with target features may be called only from `unsafe`")]
pub fn md5(lanes: &mut [Lane<'_, super::md5::State>], count: usize) -> bool {
    if !has_md5() {
        return false;
    }
    // SAFETY: the processor has the feature that the function is compiled for.
    unsafe { md5::compress(lanes, count) };
    true
}
