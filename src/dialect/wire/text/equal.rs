//! Comparisons of names and ids.

pub(crate) fn equal(one: &str, other: &str) -> bool {
    one == other
}
