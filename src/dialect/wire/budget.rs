//! How much one conversion may write, hold, and read again.
//!
//! Conversions write most things once, but some more often: a schema for each reference to it, a signature for
//! each call it belongs to, a name for each use. So every writer takes what it is about to write from one
//! budget, before the memory is used. Two things are counted: bytes of text, and values (each block, list item
//! and schema member takes up memory of its own, however short it is).
//!
//! Reading the same thing again takes time even if nothing is written. So whoever reads a part of the input more
//! than once takes steps from the budget too.

use std::cell::Cell;

use super::Refused;

/// A converted body may be this many times as long as what it is made of, and [`FLOOR`] bytes more.
const TIMES: usize = 4;

/// Bytes; small requests do grow, by names of fields and by what is said for the client.
const FLOOR: usize = 1 << 20;

/// A converted body is not longer than this, bytes, unless its input is longer than half of it. Twice the
/// default of the largest body that is accepted.
const CEILING: usize = 200 << 20;

/// Bytes that a value costs beside its text: its brackets, quotes and commas.
const VALUE: usize = 16;

/// Values that one conversion may hold. Each takes up to about 100 bytes of memory.
const MOST_VALUES: usize = 1_000_000;

/// The longest body that a conversion makes of an input of this length, bytes.
pub fn allowance(input: usize) -> usize {
    let most = CEILING.max(input.saturating_mul(2));
    input.saturating_mul(TIMES).saturating_add(FLOOR).min(most)
}

/// The rest of one conversion's budget. Shared by all its writers, so it is taken from through `&self`.
#[derive(Debug)]
pub(crate) struct Budget {
    allowed: usize,
    bytes: Cell<usize>,
    values: Cell<usize>,
    steps: Cell<usize>,
    overdrawn: Cell<Option<Overdrawn>>,
}

/// The budget does not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdrawn {
    /// More than this many bytes would be written.
    Bytes(usize),
    Values,
    /// More than this many steps would be taken.
    Steps(usize),
}

/// The part of its budget that a conversion used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Bytes of text, and [`VALUE`] for each value.
    pub bytes: usize,
    pub values: usize,
    pub steps: usize,
}

impl Budget {
    /// For the conversion of an input of this length.
    pub(crate) fn of(input: usize) -> Self {
        let allowed = allowance(input);
        Self {
            allowed,
            bytes: Cell::new(allowed),
            values: Cell::new(MOST_VALUES),
            steps: Cell::new(allowed),
            overdrawn: Cell::new(None),
        }
    }

    /// Takes so many bytes of text.
    pub(crate) fn text(&self, bytes: usize) -> Result<(), Overdrawn> {
        match self.bytes.get().checked_sub(bytes) {
            Some(left) => {
                self.bytes.set(left);
                Ok(())
            }
            None => Err(self.overdraw(Overdrawn::Bytes(self.allowed))),
        }
    }

    /// Takes one value with so many bytes of text.
    pub(crate) fn value(&self, bytes: usize) -> Result<(), Overdrawn> {
        let Some(left) = self.values.get().checked_sub(1) else {
            return Err(self.overdraw(Overdrawn::Values));
        };
        self.values.set(left);
        self.text(bytes.saturating_add(VALUE))
    }

    /// Takes so many steps: members looked at, or bytes of a reference followed. As many are allowed as bytes,
    /// so that the work is linear in the input, like the output.
    pub(crate) fn steps(&self, steps: usize) -> Result<(), Overdrawn> {
        match self.steps.get().checked_sub(steps) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(self.overdraw(Overdrawn::Steps(self.allowed))),
        }
    }

    pub(crate) fn spent(&self) -> Spent {
        Spent {
            bytes: self.allowed - self.bytes.get(),
            values: MOST_VALUES - self.values.get(),
            steps: self.allowed - self.steps.get(),
        }
    }

    /// The item that exceeded it, if one did: for callers that got another error.
    pub(crate) fn overdrawn(&self) -> Option<Overdrawn> {
        self.overdrawn.get()
    }

    /// The longest body that may be written, bytes.
    pub(crate) fn allowed(&self) -> usize {
        self.allowed
    }

    fn overdraw(&self, why: Overdrawn) -> Overdrawn {
        self.overdrawn.set(Some(why));
        why
    }
}

impl std::fmt::Display for Overdrawn {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(allowed) => write!(
                to,
                "converted for this model it would be longer than {allowed} bytes; schemas whose references \
                 repeat long texts are the usual cause"
            ),
            Self::Values => write!(
                to,
                "it has more than {MOST_VALUES} blocks, list items and schema members, which cannot be converted \
                 for this model"
            ),
            Self::Steps(allowed) => write!(
                to,
                "it would take more than {allowed} steps to convert it for this model; large schemas that are \
                 referred to often are the usual cause"
            ),
        }
    }
}

impl From<Overdrawn> for Refused {
    fn from(overdrawn: Overdrawn) -> Self {
        Self::at("the request body", overdrawn)
    }
}

/// Collects what is written, up to a length.
pub(crate) struct Bounded {
    pub bytes: Vec<u8>,
    most: usize,
}

impl Bounded {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            bytes: Vec::new(),
            most,
        }
    }
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The value as JSON, within the budget's length. Values here serialise: maps have names for keys, and raw
/// parts were read as JSON.
pub(crate) fn written(value: &impl serde::Serialize, budget: &Budget) -> Result<Vec<u8>, Overdrawn> {
    let mut out = Bounded::new(budget.allowed());
    match serde_json::to_writer(&mut out, value) {
        Ok(()) => Ok(out.bytes),
        Err(_) => Err(Overdrawn::Bytes(budget.allowed())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_follows_the_input_between_a_floor_and_a_ceiling() {
        assert_eq!(allowance(0), 1 << 20);
        assert_eq!(allowance(1_000), 4_000 + (1 << 20));
        assert_eq!(allowance(100 << 20), 200 << 20);
        // An operator may accept longer bodies.
        assert_eq!(allowance(500 << 20), 1_000 << 20);
    }

    #[test]
    fn bytes_and_values_both_run_out() {
        let budget = Budget::of(0);
        assert_eq!(budget.text(1 << 20), Ok(()));
        assert_eq!(budget.overdrawn(), None);
        assert_eq!(budget.text(1), Err(Overdrawn::Bytes(1 << 20)));
        assert_eq!(budget.overdrawn(), Some(Overdrawn::Bytes(1 << 20)));

        let budget = Budget::of(100 << 20);
        let taken = (0..=MOST_VALUES).take_while(|_| budget.value(0).is_ok()).count();
        assert_eq!(taken, MOST_VALUES);
        assert_eq!(budget.overdrawn(), Some(Overdrawn::Values));
    }

    #[test]
    fn steps_run_out_by_themselves() {
        let budget = Budget::of(0);
        assert_eq!(budget.steps(1 << 20), Ok(()));
        assert_eq!(budget.steps(1), Err(Overdrawn::Steps(1 << 20)));
        assert_eq!(budget.overdrawn(), Some(Overdrawn::Steps(1 << 20)));
        assert_eq!(budget.value(4), Ok(()));
        let spent = Spent {
            bytes: 4 + VALUE,
            values: 1,
            steps: 1 << 20,
        };
        assert_eq!(budget.spent(), spent);
    }

    #[test]
    fn a_writer_stops_at_its_bound() {
        let budget = Budget::of(0);
        let long = "x".repeat(budget.allowed());
        assert_eq!(written(&long, &budget), Err(Overdrawn::Bytes(budget.allowed())));
        assert_eq!(written(&"x", &budget), Ok(b"\"x\"".to_vec()));
    }
}
