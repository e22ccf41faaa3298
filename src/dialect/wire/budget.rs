//! Limits on what one conversion writes, holds and rereads.
//!
//! Conversions write most things once, but some repeatedly: a schema for each reference to it, a signature for
//! each of its calls, a name for each use. So all output is taken from one budget before memory is used. It
//! counts bytes of text, and values (each block, list item and schema member takes memory, however short it is).
//!
//! Reading the same input repeatedly takes time without any output. So code that rereads a part of the input
//! takes steps from the budget, too.

use std::cell::Cell;

use super::FieldRefusal;

/// Maximum size of the output relative to the input; [`FLOOR`] is added.
const TIMES: usize = 4;

/// Bytes; small requests do grow, by field names and added texts.
const FLOOR: usize = 1 << 20;

/// Maximum size of the output, bytes, unless the input exceeds half of it. Twice the default limit for request
/// bodies.
const CEILING: usize = 200 << 20;

/// Bytes counted for a value besides its text: brackets, quotes and commas.
const VALUE: usize = 16;

/// Maximum number of values in one conversion. Each takes up to about 100 bytes of memory.
const MOST_VALUES: usize = 1_000_000;

/// The maximum output size for an input of this length, bytes.
pub fn allowance(input: usize) -> usize {
    let most = CEILING.max(input.saturating_mul(2));
    input.saturating_mul(TIMES).saturating_add(FLOOR).min(most)
}

/// The rest of a conversion's budget. All its writers share it, so it is taken through `&self`.
#[derive(Debug)]
pub(crate) struct Budget {
    allowed: usize,
    bytes: Cell<usize>,
    values: Cell<usize>,
    steps: Cell<usize>,
    overdrawn: Cell<Option<BudgetExceeded>>,
}

/// The budget is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BudgetExceeded {
    /// More than this many bytes of output.
    Bytes(usize),
    Values,
    /// More than this many steps.
    Steps(usize),
}

/// The used part of a conversion's budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetUse {
    /// Bytes of text, and [`VALUE`] for each value.
    pub bytes: usize,
    pub values: usize,
    pub steps: usize,
}

impl Budget {
    /// The budget for an input of this length.
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

    /// Takes this many bytes of text.
    pub(crate) fn text(&self, bytes: usize) -> Result<(), BudgetExceeded> {
        match self.bytes.get().checked_sub(bytes) {
            Some(left) => {
                self.bytes.set(left);
                Ok(())
            }
            None => Err(self.overdraw(BudgetExceeded::Bytes(self.allowed))),
        }
    }

    /// Takes one value with this many bytes of text.
    pub(crate) fn value(&self, bytes: usize) -> Result<(), BudgetExceeded> {
        let Some(left) = self.values.get().checked_sub(1) else {
            return Err(self.overdraw(BudgetExceeded::Values));
        };
        self.values.set(left);
        self.text(bytes.saturating_add(VALUE))
    }

    /// Takes this many steps: members examined, or bytes of references followed. The limit equals that for bytes,
    /// so the work is linear in the input, like the output.
    pub(crate) fn steps(&self, steps: usize) -> Result<(), BudgetExceeded> {
        match self.steps.get().checked_sub(steps) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(self.overdraw(BudgetExceeded::Steps(self.allowed))),
        }
    }

    pub(crate) fn spent(&self) -> BudgetUse {
        BudgetUse {
            bytes: self.allowed - self.bytes.get(),
            values: MOST_VALUES - self.values.get(),
            steps: self.allowed - self.steps.get(),
        }
    }

    /// How the budget was exceeded, if it was; for callers that received another error.
    pub(crate) fn overdrawn(&self) -> Option<BudgetExceeded> {
        self.overdrawn.get()
    }

    /// The maximum output size, bytes.
    pub(crate) fn allowed(&self) -> usize {
        self.allowed
    }

    fn overdraw(&self, why: BudgetExceeded) -> BudgetExceeded {
        self.overdrawn.set(Some(why));
        why
    }
}

impl std::fmt::Display for BudgetExceeded {
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

impl From<BudgetExceeded> for FieldRefusal {
    fn from(overdrawn: BudgetExceeded) -> Self {
        Self::at("the request body", overdrawn)
    }
}

/// A writer with a limited length.
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

/// The value as JSON, within the budget's length. Serialisation cannot fail otherwise: maps have string keys, and
/// raw parts were parsed as JSON.
pub(crate) fn written(value: &impl serde::Serialize, budget: &Budget) -> Result<Vec<u8>, BudgetExceeded> {
    let mut out = Bounded::new(budget.allowed());
    match serde_json::to_writer(&mut out, value) {
        Ok(()) => Ok(out.bytes),
        Err(_) => Err(BudgetExceeded::Bytes(budget.allowed())),
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
        assert_eq!(budget.text(1), Err(BudgetExceeded::Bytes(1 << 20)));
        assert_eq!(budget.overdrawn(), Some(BudgetExceeded::Bytes(1 << 20)));

        let budget = Budget::of(100 << 20);
        let taken = (0..=MOST_VALUES).take_while(|_| budget.value(0).is_ok()).count();
        assert_eq!(taken, MOST_VALUES);
        assert_eq!(budget.overdrawn(), Some(BudgetExceeded::Values));
    }

    #[test]
    fn steps_run_out_by_themselves() {
        let budget = Budget::of(0);
        assert_eq!(budget.steps(1 << 20), Ok(()));
        assert_eq!(budget.steps(1), Err(BudgetExceeded::Steps(1 << 20)));
        assert_eq!(budget.overdrawn(), Some(BudgetExceeded::Steps(1 << 20)));
        assert_eq!(budget.value(4), Ok(()));
        let spent = BudgetUse {
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
        assert_eq!(
            written(&long, &budget),
            Err(BudgetExceeded::Bytes(budget.allowed()))
        );
        assert_eq!(written(&"x", &budget), Ok(b"\"x\"".to_vec()));
    }
}
