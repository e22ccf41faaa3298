//! A machine in the memory of one process. Its rows are written behind, by the process.

use std::collections::BTreeSet;
use std::convert::Infallible;

use super::{HeldMachine, Home, ImmediateHome};
use crate::rows::Row;
use crate::{Machine, Millis, Step};

/// See the module. The death of the process ends its calls, so their rows are not written.
#[derive(Default)]
pub struct Memory<M> {
    machine: M,
    /// Rows that changed since they were last written.
    unsaved: BTreeSet<Row>,
    /// The store may have rows of it.
    stored: bool,
    /// The store has it in another form, which must go when the rows are written.
    anew: bool,
}

/// What must be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unsaved {
    /// Everything that is stored of the machine must go first.
    pub anew: bool,
    pub rows: Vec<(Row, Option<String>)>,
}

impl<M: HeldMachine> Memory<M> {
    /// Goes on from the rows of an earlier process.
    pub fn of_rows(machine: M) -> Self {
        Self {
            machine: machine.resumed(),
            stored: true,
            ..Self::default()
        }
    }

    /// Goes on from a machine that was stored in another form, or whose rows the store does not have.
    pub fn of_other_form(machine: M) -> Self {
        let machine = machine.resumed();
        Self {
            unsaved: lasting(machine.rows()).collect(),
            machine,
            stored: true,
            anew: true,
        }
    }

    /// Queries the machine without a step.
    pub fn ask<T>(&self, question: impl FnOnce(&M) -> T) -> T {
        question(&self.machine)
    }

    /// Whether the process can drop this machine: it is read again when it is needed.
    pub fn is_idle(&self) -> bool {
        self.unsaved.is_empty() && !self.has_to_go() && self.machine.is_quiet()
    }

    /// What changed since the last time; `None`: nothing.
    pub fn take_unsaved(&mut self) -> Option<Unsaved> {
        if self.machine.is_over() {
            self.unsaved.clear();
            return self.has_to_go().then(|| self.gone());
        }
        let rows = std::mem::take(&mut self.unsaved);
        (!rows.is_empty()).then(|| self.written(rows))
    }

    /// Everything that is stored of the machine, as of now; for a writer that repeats this until it was written.
    pub fn everything(&mut self) -> Unsaved {
        if self.machine.is_over() {
            self.unsaved.clear();
            return self.gone();
        }
        let anew = self.anew;
        let everything = self.written(lasting(self.machine.rows()).collect());
        self.anew = anew;
        if !anew {
            self.unsaved.clear();
        }
        everything
    }

    /// It could not be written.
    pub fn not_written(&mut self, unsaved: Unsaved) {
        self.unsaved.extend(unsaved.rows.into_iter().map(|(row, _)| row));
        self.anew |= unsaved.anew;
        self.stored = true;
    }

    fn has_to_go(&self) -> bool {
        self.stored && self.machine.is_over()
    }

    fn gone(&mut self) -> Unsaved {
        (self.stored, self.anew) = (false, false);
        Unsaved {
            anew: true,
            rows: Vec::new(),
        }
    }

    fn written(&mut self, rows: BTreeSet<Row>) -> Unsaved {
        self.stored = true;
        let text = |row| (row, self.machine.row(row));
        Unsaved {
            rows: rows.into_iter().map(text).collect(),
            anew: std::mem::take(&mut self.anew),
        }
    }
}

/// The rows that must survive a restart.
fn lasting(rows: Vec<Row>) -> impl Iterator<Item = Row> {
    rows.into_iter().filter(|row| !row.is_of_call())
}

impl<M: HeldMachine<Command: Clone>> Home for Memory<M> {
    type Machine = M;
}

impl<M: HeldMachine<Command: Clone>> ImmediateHome for Memory<M> {
    type Failure = Infallible;

    const WAKES: bool = false;

    fn run(&mut self, now: Millis, command: M::Command) -> Result<Step<M::Reply>, Infallible> {
        let mut step = Machine::handle(&mut self.machine, now, command);
        self.unsaved.extend(lasting(std::mem::take(&mut step.rows)));
        Ok(step)
    }
}
