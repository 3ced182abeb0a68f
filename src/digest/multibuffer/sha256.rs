//! The state of a SHA-256, compressed alone or together with others.
//!
//! Guarantees: after each block the state is that of FIPS 180-4. It does no padding.
//! Source: FIPS 180-4 §5.3.3, §6.2.

use super::lanes::{Algorithm, BLOCK, Lane};

#[derive(Clone, Copy, Debug)]
pub struct State(pub [u32; 8]);

impl State {
    pub fn digest(self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(self.0)
            .for_each(|(bytes, word)| *bytes = word.to_be_bytes());
        digest
    }
}

impl Algorithm for State {
    const LANES: usize = 2;
    const START: Self = Self([
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ]);

    fn compress(&mut self, blocks: &[[u8; BLOCK]]) {
        sha2::block_api::compress256(&mut self.0, blocks);
    }

    #[cfg(target_arch = "x86_64")]
    fn supports_lanes() -> bool {
        super::x86::has_sha256()
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn supports_lanes() -> bool {
        false
    }

    #[cfg(target_arch = "x86_64")]
    fn compress_lanes(lanes: &mut [Lane<'_, Self>], count: usize) -> bool {
        super::x86::sha256(lanes, count)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn compress_lanes(_lanes: &mut [Lane<'_, Self>], _count: usize) -> bool {
        false
    }

    fn encode_length(bits: u64) -> [u8; 8] {
        bits.to_be_bytes()
    }
}
