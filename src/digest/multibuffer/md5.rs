//! The state of an MD5, compressed alone or together with others.
//!
//! Guarantees: after each block the state is that of RFC 1321. It does no padding.
//! MD5 is used only as the ETag that S3 tools compare, never for security.
//! Source: RFC 1321 §3.3, §3.4.

use super::lanes::{Algorithm, BLOCK, Lane};

#[derive(Clone, Copy, Debug)]
pub struct State(pub [u32; 4]);

impl State {
    pub fn digest(self) -> [u8; 16] {
        let mut digest = [0; 16];
        digest
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(self.0)
            .for_each(|(bytes, word)| *bytes = word.to_le_bytes());
        digest
    }
}

impl Algorithm for State {
    const LANES: usize = 8;
    const START: Self = Self([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476]);

    fn compress(&mut self, blocks: &[[u8; BLOCK]]) {
        md5::block_api::compress(&mut self.0, blocks);
    }

    #[cfg(target_arch = "x86_64")]
    fn supports_lanes() -> bool {
        super::x86::has_md5()
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn supports_lanes() -> bool {
        false
    }

    #[cfg(target_arch = "x86_64")]
    fn compress_lanes(lanes: &mut [Lane<'_, Self>], count: usize) -> bool {
        super::x86::md5(lanes, count)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn compress_lanes(_lanes: &mut [Lane<'_, Self>], _count: usize) -> bool {
        false
    }

    fn encode_length(bits: u64) -> [u8; 8] {
        bits.to_le_bytes()
    }
}
