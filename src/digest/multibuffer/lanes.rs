//! A running hash in blocks, and the order in which the blocks of several hashes are compressed.
//!
//! Guarantees: every block of every lane is compressed once, in the order of its lane; when a lane
//! ends, the next one takes its turn. It knows no algorithm.

/// The block size of both MD5 and SHA-256. **Unit**: bytes.
pub const BLOCK: usize = 64;

/// What differs between MD5 and SHA-256.
pub trait Algorithm: Copy {
    /// How many lanes are compressed together at most.
    const LANES: usize;
    /// The state before any bytes.
    const START: Self;

    /// Whether this processor compresses several lanes together.
    fn supports_lanes() -> bool;
    fn compress(&mut self, blocks: &[[u8; BLOCK]]);
    /// Compresses the first `count` blocks of each of at most `LANES` lanes. False: this processor
    /// cannot, and nothing has changed.
    fn compress_lanes(lanes: &mut [Lane<'_, Self>], count: usize) -> bool;
    /// The length of the message as the last block contains it.
    fn encode_length(bits: u64) -> [u8; 8];
}

/// The state of a message and the blocks that are to be compressed into it.
pub struct Lane<'a, A> {
    pub state: &'a mut A,
    pub blocks: &'a [[u8; BLOCK]],
}

/// Compresses all blocks of all lanes.
pub fn compress_all<A: Algorithm>(lanes: &mut [Lane<'_, A>]) {
    loop {
        // The longest first: the lanes at the end of the list are then the first to be empty.
        lanes.sort_by_key(|lane| std::cmp::Reverse(lane.blocks.len()));
        let busy = lanes.iter().filter(|lane| !lane.blocks.is_empty()).count().min(A::LANES);
        match &mut lanes[..busy] {
            [] => return,
            [lane] => {
                lane.state.compress(lane.blocks);
                lane.blocks = &[];
            }
            lanes => {
                let count = lanes.iter().map(|lane| lane.blocks.len()).min().unwrap_or(0);
                if !A::compress_lanes(lanes, count) {
                    lanes.iter_mut().for_each(|lane| lane.state.compress(&lane.blocks[..count]));
                }
                lanes.iter_mut().for_each(|lane| lane.blocks = &lane.blocks[count..]);
            }
        }
    }
}

/// A running hash: its state, and the bytes that do not fill a block yet.
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

    /// Appends bytes. The caller compresses the whole blocks that are returned.
    pub fn append<'a>(&'a mut self, bytes: &'a [u8]) -> Lane<'a, A> {
        let filled = self.filled();
        self.len_bytes += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min((BLOCK - filled) % BLOCK));
        self.tail[filled..filled + head.len()].copy_from_slice(head);
        if filled > 0 && filled + head.len() == BLOCK {
            self.state.compress(&[self.tail]);
        }
        let (blocks, tail) = rest.as_chunks();
        if !rest.is_empty() {
            self.tail[..tail.len()].copy_from_slice(tail);
        }
        Lane { state: &mut self.state, blocks }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        compress_all(&mut [self.append(bytes)]);
    }

    /// The state after the padding: one bit, zeros, the length.
    pub fn finish(mut self) -> A {
        let filled = self.filled();
        let mut last = [0; 2 * BLOCK];
        last[..filled].copy_from_slice(&self.tail[..filled]);
        last[filled] = 0x80;
        let end = if filled < BLOCK - 8 { BLOCK } else { 2 * BLOCK };
        last[end - 8..end].copy_from_slice(&A::encode_length(self.len_bytes.wrapping_mul(8)));
        self.state.compress(last[..end].as_chunks().0);
        self.state
    }

    fn filled(&self) -> usize {
        (self.len_bytes % BLOCK as u64) as usize
    }
}
