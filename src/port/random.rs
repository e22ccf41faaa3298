//! Secure random bytes.

use crs_durable::{CallId, Millis};

use crate::model::id;

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

/// A new record's id: the text of a [`call_id`], so ids sort by age.
pub fn record_id(now: Millis, random: &dyn Random) -> String {
    id::text(call_id(now, random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::tests::Counting;

    #[test]
    fn record_ids_are_uuids_and_sort_by_age() {
        let random = Counting::new();
        let (older, newer) = (
            record_id(1_764_000_000_000, &random),
            record_id(1_764_000_000_001, &random),
        );
        assert!(older < newer);
        assert_eq!(older.len(), 36);
        assert_eq!(older.as_bytes()[14], b'7');
    }
}
