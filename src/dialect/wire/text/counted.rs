//! Counts comparisons of names and ids, so that tests can check the growth of work without a clock.

use std::cell::Cell;

thread_local! {
    static COMPARED: Cell<usize> = const { Cell::new(0) };
}

pub(crate) fn equal(one: &str, other: &str) -> bool {
    COMPARED.with(|compared| compared.set(compared.get() + 1));
    one == other
}

/// The number of comparisons in `work`.
pub(crate) fn comparisons(work: impl FnOnce()) -> usize {
    let before = COMPARED.with(Cell::get);
    work();
    COMPARED.with(Cell::get) - before
}
