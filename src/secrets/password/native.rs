//! Memory for one hash on the native host, returned to the system when it is freed.

use argon2::Block;

/// glibc maps a block of this size separately and unmaps it when it is freed. It keeps smaller blocks: each freed
/// block raises the mapping threshold, up to 32 MiB (mallopt(3), `M_MMAP_THRESHOLD`), so the second hash would
/// stay resident in its thread's arena. Reserved but untouched memory costs nothing.
const RESERVED: usize = 33 << 20;

pub(super) fn blocks(count: usize) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(count.max(RESERVED.div_ceil(Block::SIZE)));
    blocks.resize(count, Block::default());
    blocks
}
