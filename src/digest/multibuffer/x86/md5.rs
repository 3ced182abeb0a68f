//! MD5 of eight lanes by AVX2.
//!
//! Guarantees: a register holds the same word of all lanes, so one instruction serves all of them.
//! With fewer lanes the blocks of the first one fill the empty places, and the results are
//! dropped. Safe code. Source: RFC 1321 §3.4.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_or_si256, _mm256_permute2x128_si256,
    _mm256_set_epi32, _mm256_set_epi64x, _mm256_set1_epi32, _mm256_setzero_si256,
    _mm256_slli_epi32, _mm256_srli_epi32, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::super::lanes::{BLOCK, Lane};
use super::super::md5::State;

const LANES: usize = 8;

/// The table T of RFC 1321: the integer parts of 2^32 |sin i|, in rows of 16.
#[rustfmt::skip]
const T: [[u32; 16]; 4] = [
    [0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee,
     0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
     0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be,
     0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821],
    [0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa,
     0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
     0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed,
     0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a],
    [0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c,
     0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
     0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05,
     0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665],
    [0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039,
     0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
     0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1,
     0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391],
];

/// One word of each lane.
type Word = __m256i;

/// Compresses the first `count` blocks of each lane, of which there are at most eight.
#[target_feature(enable = "avx2")]
pub(super) fn compress(lanes: &mut [Lane<'_, State>], count: usize) {
    let blocks: [&[[u8; BLOCK]]; LANES] =
        std::array::from_fn(|lane| &lanes.get(lane).unwrap_or(&lanes[0]).blocks[..count]);
    let mut state = [_mm256_setzero_si256(); 4];
    for (word, state) in state.iter_mut().enumerate() {
        let of = |lane: usize| lanes.get(lane).map_or(0, |lane| lane.state.0[word].cast_signed());
        *state = _mm256_set_epi32(of(7), of(6), of(5), of(4), of(3), of(2), of(1), of(0));
    }
    for at in 0..count {
        state = compress_block(state, &transposed(blocks.map(|blocks| &blocks[at])));
    }
    for (word, state) in state.into_iter().enumerate() {
        lanes.iter_mut().zip(words(state)).for_each(|(lane, found)| lane.state.0[word] = found);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn compress_block(before: [Word; 4], words: &[Word; 16]) -> [Word; 4] {
    let ones = _mm256_set1_epi32(-1);
    let mut state = before;
    for at in (0..16).step_by(4) {
        let f = |[_, b, c, d]: [Word; 4]| {
            _mm256_xor_si256(d, _mm256_and_si256(b, _mm256_xor_si256(c, d)))
        };
        let x = |step: usize| plus(words[step], T[0][step]);
        state = step::<7, 25>(state, f(state), x(at));
        state = step::<12, 20>(state, f(state), x(at + 1));
        state = step::<17, 15>(state, f(state), x(at + 2));
        state = step::<22, 10>(state, f(state), x(at + 3));
    }
    for at in (0..16).step_by(4) {
        let f = |[_, b, c, d]: [Word; 4]| {
            _mm256_xor_si256(c, _mm256_and_si256(d, _mm256_xor_si256(b, c)))
        };
        let x = |step: usize| plus(words[(5 * step + 1) % 16], T[1][step]);
        state = step::<5, 27>(state, f(state), x(at));
        state = step::<9, 23>(state, f(state), x(at + 1));
        state = step::<14, 18>(state, f(state), x(at + 2));
        state = step::<20, 12>(state, f(state), x(at + 3));
    }
    for at in (0..16).step_by(4) {
        let f = |[_, b, c, d]: [Word; 4]| _mm256_xor_si256(_mm256_xor_si256(c, d), b);
        let x = |step: usize| plus(words[(3 * step + 5) % 16], T[2][step]);
        state = step::<4, 28>(state, f(state), x(at));
        state = step::<11, 21>(state, f(state), x(at + 1));
        state = step::<16, 16>(state, f(state), x(at + 2));
        state = step::<23, 9>(state, f(state), x(at + 3));
    }
    for at in (0..16).step_by(4) {
        let f = |[_, b, c, d]: [Word; 4]| {
            _mm256_xor_si256(c, _mm256_or_si256(b, _mm256_xor_si256(d, ones)))
        };
        let x = |step: usize| plus(words[7 * step % 16], T[3][step]);
        state = step::<6, 26>(state, f(state), x(at));
        state = step::<10, 22>(state, f(state), x(at + 1));
        state = step::<15, 17>(state, f(state), x(at + 2));
        state = step::<21, 11>(state, f(state), x(at + 3));
    }
    std::array::from_fn(|word| _mm256_add_epi32(state[word], before[word]))
}

/// `b + ((a + f + x) <<< LEFT)`; the four words move by one place.
#[inline]
#[target_feature(enable = "avx2")]
fn step<const LEFT: i32, const RIGHT: i32>([a, b, c, d]: [Word; 4], f: Word, x: Word) -> [Word; 4] {
    let sum = _mm256_add_epi32(_mm256_add_epi32(a, x), f);
    let rotated = _mm256_or_si256(_mm256_slli_epi32::<LEFT>(sum), _mm256_srli_epi32::<RIGHT>(sum));
    [d, _mm256_add_epi32(b, rotated), b, c]
}

#[inline]
#[target_feature(enable = "avx2")]
fn plus(word: Word, constant: u32) -> Word {
    _mm256_add_epi32(word, _mm256_set1_epi32(constant.cast_signed()))
}

/// The sixteen words of a block, each for all lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(blocks: [&[u8; BLOCK]; LANES]) -> [Word; 16] {
    let mut words = [_mm256_setzero_si256(); 16];
    for half in 0..2 {
        let rows = blocks.map(|block| eight_words(block, half));
        let pairs: [[Word; 2]; 4] = std::array::from_fn(|pair| {
            let (even, odd) = (rows[2 * pair], rows[2 * pair + 1]);
            [_mm256_unpacklo_epi32(even, odd), _mm256_unpackhi_epi32(even, odd)]
        });
        // For lanes 0 to 3 and lanes 4 to 7: word i, and word i + 4 in the upper half.
        let fours: [[Word; 4]; 2] = std::array::from_fn(|four| {
            let ([a0, a1], [b0, b1]) = (pairs[2 * four], pairs[2 * four + 1]);
            [
                _mm256_unpacklo_epi64(a0, b0),
                _mm256_unpackhi_epi64(a0, b0),
                _mm256_unpacklo_epi64(a1, b1),
                _mm256_unpackhi_epi64(a1, b1),
            ]
        });
        for word in 0..4 {
            let (low, high) = (fours[0][word], fours[1][word]);
            words[8 * half + word] = _mm256_permute2x128_si256::<0x20>(low, high);
            words[8 * half + word + 4] = _mm256_permute2x128_si256::<0x31>(low, high);
        }
    }
    words
}

#[inline]
#[target_feature(enable = "avx2")]
fn eight_words(block: &[u8; BLOCK], half: usize) -> Word {
    let (halves, _) = block.as_chunks::<32>();
    let (eighths, _) = halves[half].as_chunks();
    let [a, b, c, d] = std::array::from_fn(|eighth| i64::from_le_bytes(eighths[eighth]));
    _mm256_set_epi64x(d, c, b, a)
}

/// The word of each lane in a register.
#[inline]
#[target_feature(enable = "avx2")]
fn words(register: Word) -> [u32; LANES] {
    use std::arch::x86_64::_mm256_extract_epi32 as word;
    let words = [
        word::<0>(register),
        word::<1>(register),
        word::<2>(register),
        word::<3>(register),
        word::<4>(register),
        word::<5>(register),
        word::<6>(register),
        word::<7>(register),
    ];
    words.map(i32::cast_unsigned)
}
