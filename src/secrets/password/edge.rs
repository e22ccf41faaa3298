//! Memory for one hash, on the edge. The memory of WebAssembly never shrinks, but what is freed is used again, and
//! there is one hash at a time.

use argon2::Block;

pub(super) fn blocks(count: usize) -> Vec<Block> {
    vec![Block::default(); count]
}
