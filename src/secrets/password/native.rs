//! Memory for one hash, natively: returned to the system as soon as it is freed.

use argon2::Block;

/// glibc maps a block of this size and unmaps it when it is freed. Smaller blocks it keeps: each block that is
/// freed raises the size from which it maps, up to 32 MiB (mallopt(3), `M_MMAP_THRESHOLD`), so the second hash
/// would stay resident in the arena of whichever thread made it. What is reserved and not touched costs nothing.
const RESERVED: usize = 33 << 20;

pub(super) fn blocks(count: usize) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(count.max(RESERVED.div_ceil(Block::SIZE)));
    blocks.resize(count, Block::default());
    blocks
}
