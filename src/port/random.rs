//! Bytes nobody can guess.

use crs_durable::{CallId, Millis};

pub trait Random: Send + Sync {
    /// Fills `bytes` from a cryptographically secure source.
    fn fill(&self, bytes: &mut [u8]);
}

/// A time-ordered id (the layout of a UUID version 7): 48 bits of milliseconds, then random bits.
pub fn call_id(now: Millis, random: &dyn Random) -> CallId {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes);
    let noise = u128::from_be_bytes(bytes) & ((1 << 80) - 1);
    let versioned = (noise & !(0xf_u128 << 76)) | (0x7_u128 << 76);
    let varied = (versioned & !(0x3_u128 << 62)) | (0x2_u128 << 62);
    CallId((u128::from(now) << 80) | varied)
}
