//! A machine as rows of a table, so that a host writes only the rows that a step changed and not the whole state.
//!
//! A row's text is JSON and remains readable for later versions. The rows together give the same machine again
//! (`tests/model` checks that after every step); state outside the rows is derived from them.

use std::fmt;

use crate::{CallId, Machine};

/// Names a row within its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// The parts that exist once.
    Head,
    Lease(CallId),
    /// A call whose lease in a gate ended before the call was settled.
    Ended(CallId),
    /// A reservation of a gate for work that goes on after its call.
    Kept(CallId),
    /// A call that waits at a gate, by its turn.
    Waiter(u64),
    /// An account of a pool, by its number.
    Account(u64),
    /// The recent errors of an account of a pool, by its number: they change seldom, the account with every call.
    Errors(u64),
    /// A sticky session of a pool.
    Session(u64),
    /// An object that a provider stores for one account of a pool.
    Origin(u64),
    /// A session of a split pool, which another shard serves.
    Elsewhere(u64),
    /// An event of a gate's outbox, by its number.
    Event(u64),
}

/// A machine that can be stored as rows.
pub trait RowMachine: Machine + Default {
    /// The row's current text; `None`: the row does not exist.
    fn row(&self, row: Row) -> Option<String>;

    /// The names of all its rows.
    fn rows(&self) -> Vec<Row>;

    /// Builds the machine from its rows. Skips unreadable rows: leases end and records are learned again by
    /// themselves.
    fn from_rows(rows: impl IntoIterator<Item = (Row, String)>) -> Self;

    /// Sets one row to the text, or removes it, and updates the derived state. For a machine whose rows others write,
    /// too. `woken`: collects calls that waited here for something that the row no longer says.
    fn put(&mut self, row: Row, text: Option<&str>, woken: &mut Vec<CallId>);
}

impl Row {
    /// Whether the row is of a call, so that the death of the call's host ends it.
    pub fn is_of_call(&self) -> bool {
        matches!(self, Self::Lease(_) | Self::Ended(_) | Self::Waiter(_))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Lease(call) => write!(f, "lease:{:032x}", call.0),
            Self::Ended(call) => write!(f, "ended:{:032x}", call.0),
            Self::Kept(call) => write!(f, "kept:{:032x}", call.0),
            // Zero-padded, so that sorting as text keeps the order.
            Self::Waiter(turn) => write!(f, "waiter:{turn:020}"),
            Self::Account(number) => write!(f, "account:{number}"),
            Self::Errors(number) => write!(f, "errors:{number}"),
            Self::Session(session) => write!(f, "session:{session:016x}"),
            Self::Origin(origin) => write!(f, "origin:{origin:016x}"),
            Self::Elsewhere(session) => write!(f, "elsewhere:{session:016x}"),
            Self::Event(number) => write!(f, "event:{number:020}"),
        }
    }
}

impl std::str::FromStr for Row {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        if name == "head" {
            return Ok(Self::Head);
        }
        let (kind, rest) = name.split_once(':').ok_or(())?;
        match kind {
            "lease" => call(rest).map(Self::Lease),
            "ended" => call(rest).map(Self::Ended),
            "kept" => call(rest).map(Self::Kept),
            "waiter" => rest.parse().ok().map(Self::Waiter),
            "account" => rest.parse().ok().map(Self::Account),
            "errors" => rest.parse().ok().map(Self::Errors),
            "session" => u64::from_str_radix(rest, 16).ok().map(Self::Session),
            "origin" => u64::from_str_radix(rest, 16).ok().map(Self::Origin),
            "elsewhere" => u64::from_str_radix(rest, 16).ok().map(Self::Elsewhere),
            "event" => rest.parse().ok().map(Self::Event),
            _ => None,
        }
        .ok_or(())
    }
}

fn call(hex: &str) -> Option<CallId> {
    u128::from_str_radix(hex, 16).ok().map(CallId)
}

/// A part of the state as its row's text. Parts of machines can always be serialised.
pub(crate) fn text(part: &impl serde::Serialize) -> Option<String> {
    serde_json::to_string(part).ok()
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(text.as_bytes()).ok()
}

/// Which kinds of rows a step changed.
#[cfg(test)]
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ChangedRows {
    pub(crate) of_calls: bool,
    /// Rows that must survive a restart.
    pub(crate) lasting: bool,
}

#[cfg(test)]
impl<R> crate::Step<R> {
    pub(crate) fn changes(&self) -> ChangedRows {
        ChangedRows {
            of_calls: self.rows.iter().any(Row::is_of_call),
            lasting: self.rows.iter().any(|row| !row.is_of_call()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_by_its_name() {
        for row in [
            Row::Head,
            Row::Lease(CallId(7)),
            Row::Lease(CallId(u128::MAX)),
            Row::Ended(CallId(7)),
            Row::Kept(CallId(7)),
            Row::Waiter(5),
            Row::Account(3),
            Row::Errors(3),
            Row::Session(u64::MAX),
            Row::Origin(u64::MAX),
            Row::Elsewhere(u64::MAX),
            Row::Event(12),
        ] {
            assert_eq!(row.to_string().parse(), Ok(row));
        }
        for name in ["", "head:1", "lease:x", "account", "other:1", "event:-1"] {
            assert_eq!(name.parse::<Row>(), Err(()), "{name}");
        }
        assert!(Row::Event(9).to_string() < Row::Event(10).to_string());
    }
}
