//! Comparisons of names and ids, counted, so that tests can tell how the work grows without a clock.

use std::cell::Cell;

thread_local! {
    static COMPARED: Cell<usize> = const { Cell::new(0) };
}

pub(crate) fn equal(one: &str, other: &str) -> bool {
    COMPARED.with(|compared| compared.set(compared.get() + 1));
    one == other
}

/// How many comparisons this takes.
pub(crate) fn comparisons(work: impl FnOnce()) -> usize {
    let before = COMPARED.with(Cell::get);
    work();
    COMPARED.with(Cell::get) - before
}
