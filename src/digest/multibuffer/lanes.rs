//! A hash under way that is cut into blocks, and the order in which many of them get on.
//!
//! Guarantees: every block of every lane is compressed once, in its lane's order; a lane that ends
//! early makes room for the next. It knows no algorithm.

/// Bytes of a block, of MD5 and SHA-256 alike.
pub const BLOCK: usize = 64;

/// What MD5 and SHA-256 differ in.
pub trait Algorithm: Copy {
    /// So many lanes are worth being compressed together.
    const LANES: usize;
    /// Of no bytes.
    const START: Self;

    /// Whether this processor compresses several lanes faster together.
    fn has_lanes() -> bool;
    fn compress(&mut self, blocks: &[[u8; BLOCK]]);
    /// As `compress` for the first `count` blocks of each of at most `LANES` lanes. False: this
    /// processor cannot, and nothing has changed.
    fn compress_lanes(lanes: &mut [Lane<'_, Self>], count: usize) -> bool;
    /// How the last block tells the length of the message.
    fn length(bits: u64) -> [u8; 8];
}

/// A state and the blocks that it has before it.
pub struct Lane<'a, A> {
    pub state: &'a mut A,
    pub blocks: &'a [[u8; BLOCK]],
}

/// Compresses all blocks of all lanes.
pub fn compress_all<A: Algorithm>(lanes: &mut [Lane<'_, A>]) {
    loop {
        // The longest first: those that end early are then the ones that would end alone.
        lanes.sort_by_key(|lane| std::cmp::Reverse(lane.blocks.len()));
        let busy = lanes.iter().filter(|lane| !lane.blocks.is_empty()).count().min(A::LANES);
        match &mut lanes[..busy] {
            [] => return,
            [alone] => {
                alone.state.compress(alone.blocks);
                alone.blocks = &[];
            }
            together => {
                let count = together.iter().map(|lane| lane.blocks.len()).min().unwrap_or(0);
                if !A::compress_lanes(together, count) {
                    together.iter_mut().for_each(|lane| lane.state.compress(&lane.blocks[..count]));
                }
                together.iter_mut().for_each(|lane| lane.blocks = &lane.blocks[count..]);
            }
        }
    }
}

/// A hash under way: its state, and the bytes that do not fill a block yet.
#[derive(Clone, Debug)]
pub struct Running<A> {
    state: A,
    tail: [u8; BLOCK],
    len_bytes: u64,
}

impl<A: Algorithm> Running<A> {
    pub fn new() -> Self {
        Self { state: A::START, tail: [0; BLOCK], len_bytes: 0 }
    }

    /// Takes bytes in; the whole blocks of them are the caller's to compress.
    pub fn take_in<'a>(&'a mut self, bytes: &'a [u8]) -> Lane<'a, A> {
        let filled = self.filled();
        self.len_bytes += bytes.len() as u64;
        let (fills, rest) = bytes.split_at(bytes.len().min((BLOCK - filled) % BLOCK));
        self.tail[filled..filled + fills.len()].copy_from_slice(fills);
        if filled > 0 && filled + fills.len() == BLOCK {
            self.state.compress(&[self.tail]);
        }
        let (blocks, tail) = rest.as_chunks();
        if !rest.is_empty() {
            self.tail[..tail.len()].copy_from_slice(tail);
        }
        Lane { state: &mut self.state, blocks }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        compress_all(&mut [self.take_in(bytes)]);
    }

    /// The state after the padding: one bit, zeros, the length.
    pub fn finish(mut self) -> A {
        let filled = self.filled();
        let mut last = [0; 2 * BLOCK];
        last[..filled].copy_from_slice(&self.tail[..filled]);
        last[filled] = 0x80;
        let end = if filled < BLOCK - 8 { BLOCK } else { 2 * BLOCK };
        last[end - 8..end].copy_from_slice(&A::length(self.len_bytes.wrapping_mul(8)));
        self.state.compress(last[..end].as_chunks().0);
        self.state
    }

    fn filled(&self) -> usize {
        (self.len_bytes % BLOCK as u64) as usize
    }
}
