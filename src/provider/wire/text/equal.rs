//! Comparisons of names and ids.

pub(in crate::provider) fn equal(one: &str, other: &str) -> bool {
    one == other
}
