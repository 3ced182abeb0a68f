//! SHA-256 of two lanes by SHA-NI.
//!
//! Guarantees: the rounds of one lane run while those of the other wait for their results. Two
//! lanes fit into the registers; three do not
//! (docs/decisions/0005-several-messages-are-hashed-at-once.md). Source: Intel, "Intel SHA
//! Extensions" (2013), for the order of the instructions; FIPS 180-4 §4.2.2.

use std::arch::asm;
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32,
};

use super::super::lanes::{BLOCK, Lane};
use super::super::sha256::State;

/// The constants of the rounds: 16 per row, four for each pair of instructions.
#[rustfmt::skip]
const K: [[[u32; 4]; 4]; 4] = [
    [[0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
     [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
     [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
     [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174]],
    [[0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
     [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
     [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
     [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967]],
    [[0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
     [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
     [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
     [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070]],
    [[0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
     [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
     [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
     [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2]],
];

/// One lane: its state, in the order that the instructions need, and the sixteen message words of
/// the current rounds.
#[derive(Clone, Copy)]
struct Registers {
    abef: __m128i,
    cdgh: __m128i,
    words: [__m128i; 4],
}

/// Compresses the first `count` blocks of each lane.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(super) fn compress(lanes: [&mut Lane<'_, State>; 2], count: usize) {
    let zero = _mm_setzero_si128();
    let mut registers = [Registers { abef: zero, cdgh: zero, words: [zero; 4] }; 2];
    for (registers, lane) in registers.iter_mut().zip(&lanes) {
        let [a, b, c, d, e, f, g, h] = lane.state.0.map(u32::cast_signed);
        (registers.abef, registers.cdgh) = (_mm_set_epi32(a, b, e, f), _mm_set_epi32(c, d, g, h));
    }
    let blocks = lanes.each_ref().map(|lane| &lane.blocks[..count]);
    for at in 0..count {
        compress_block(&mut registers, blocks.map(|blocks| &blocks[at]));
    }
    for (registers, lane) in registers.into_iter().zip(lanes) {
        let ([a, b, e, f], [c, d, g, h]) = (words(registers.abef), words(registers.cdgh));
        lane.state.0 = [a, b, c, d, e, f, g, h];
    }
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn compress_block(lanes: &mut [Registers; 2], blocks: [&[u8; BLOCK]; 2]) {
    let before = *lanes;
    for (lane, block) in lanes.iter_mut().zip(blocks) {
        let (words, _) = block.as_chunks();
        lane.words.iter_mut().zip(words).for_each(|(word, bytes)| *word = big_endian(bytes));
    }
    for k in &K[..3] {
        sixteen_rounds::<true>(lanes, k);
    }
    sixteen_rounds::<false>(lanes, &K[3]);
    for (lane, before) in lanes.iter_mut().zip(before) {
        lane.abef = _mm_add_epi32(lane.abef, before.abef);
        lane.cdgh = _mm_add_epi32(lane.cdgh, before.cdgh);
    }
}

/// Sixteen rounds of each lane, and with `MORE` the message words of the next sixteen.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn sixteen_rounds<const MORE: bool>(lanes: &mut [Registers; 2], k: &[[u32; 4]; 4]) {
    for step in 0..4 {
        let [k0, k1, k2, k3] = k[step].map(u32::cast_signed);
        let k = _mm_set_epi32(k3, k2, k1, k0);
        for Registers { abef, cdgh, words } in lanes.iter_mut() {
            let sum = _mm_add_epi32(words[step], k);
            *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sum);
            *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32::<0x0E>(sum));
            if MORE {
                let (next, last) = (words[(step + 1) % 4], words[(step + 3) % 4]);
                let sum = _mm_sha256msg1_epu32(words[step], next);
                let sum = _mm_add_epi32(sum, _mm_alignr_epi8::<4>(last, words[(step + 2) % 4]));
                words[step] = _mm_sha256msg2_epu32(sum, last);
            }
        }
        keep_in_step(lanes);
    }
}

/// Keeps the lanes in step: without it the compiler does all rounds of one lane first, which takes
/// two fifths longer (docs/decisions/0005-several-messages-are-hashed-at-once.md).
#[inline]
#[expect(unsafe_code, reason = "there is no safe way to order instructions")]
fn keep_in_step([a, b]: &mut [Registers; 2]) {
    // SAFETY: it contains no instruction.
    unsafe {
        asm!("/* {} {} */", inout(xmm_reg) a.abef, inout(xmm_reg) b.abef, options(nomem, nostack, preserves_flags));
    }
}

#[inline]
#[target_feature(enable = "sse2,ssse3")]
fn big_endian(bytes: &[u8; 16]) -> __m128i {
    let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let number = i128::from_le_bytes(*bytes);
    _mm_shuffle_epi8(_mm_set_epi64x((number >> 64) as i64, number as i64), swap)
}

/// The words of a register, the highest first.
#[inline]
#[target_feature(enable = "sse2,sse4.1")]
fn words(register: __m128i) -> [u32; 4] {
    let words = [
        _mm_extract_epi32::<3>(register),
        _mm_extract_epi32::<2>(register),
        _mm_extract_epi32::<1>(register),
        _mm_extract_epi32::<0>(register),
    ];
    words.map(i32::cast_unsigned)
}
