//! Ids of records: UUIDs of version 7, which sort by age.

use crs_durable::CallId;

/// The usual text form: 8-4-4-4-12 hex digits.
pub fn text(CallId(bits): CallId) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        (bits >> 80) & 0xffff,
        (bits >> 64) & 0xffff,
        (bits >> 48) & 0xffff,
        bits & 0xffff_ffff_ffff,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_form_of_a_uuid() {
        assert_eq!(
            text(CallId(0x0123_4567_89ab_7def_8123_4567_89ab_cdef)),
            "01234567-89ab-7def-8123-456789abcdef"
        );
    }
}
