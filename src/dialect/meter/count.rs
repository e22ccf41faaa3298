//! Counts of tokens as providers write them.

use serde_json::Value;

/// More tokens of one class than any call can use: a figure above it is the provider's mistake. It is cut
/// to this, so that one bad answer cannot spoil sums for good, and the measurement becomes an estimate.
pub const MOST_TOKENS: u64 = 1_000_000_000;

/// A whole number from 0, also when written as a float.
pub(crate) fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64()?;
        // `as` saturates, which is what a figure beyond all bounds should do.
        (float >= 0.0 && float.fract() == 0.0).then_some(float as u64)
    })
}
