//! Token counts in providers' answers.

use serde_json::Value;

/// Upper limit for a token class, above any real call: larger figures are the provider's mistake. They are
/// limited to this, so that one bad answer cannot spoil sums permanently, and the measurement becomes an
/// estimate.
pub const MOST_TOKENS: u64 = 1_000_000_000;

/// A non-negative integer, even if written as a float.
pub(crate) fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64()?;
        // `as` saturates, which suits an excessive figure.
        (float >= 0.0 && float.fract() == 0.0).then_some(float as u64)
    })
}
