//! Memory for one hash on the edge. WebAssembly memory never shrinks, but freed memory is reused, and there is
//! one hash at a time.

use argon2::Block;

pub(super) fn blocks(count: usize) -> Vec<Block> {
    vec![Block::default(); count]
}
