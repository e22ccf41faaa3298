//! A machine as rows of a table, so that a host writes what a step touched and not the whole state.
//!
//! A row's text is JSON that reads what an older version wrote. Putting the rows together again gives the
//! machine as it was (`tests/model` checks that after every step); what is not in a row is worked out from
//! those that are.

use std::fmt;

use crate::{CallId, Machine};

/// Names a row within its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// What there is one of.
    Head,
    Lease(CallId),
    /// A call whose lease in a gate ended before the call was settled.
    Ended(CallId),
    /// A call that waits at a gate, by its turn there.
    Waiter(u64),
    /// An account of a pool, by its number there.
    Account(u64),
    /// The recent errors of an account of a pool, by its number there: they change seldom, the account with
    /// every call.
    Errors(u64),
    /// A sticky session of a pool.
    Session(u64),
    /// What a provider keeps for one account of a pool.
    Origin(u64),
    /// An event of a gate's outbox, by its number there.
    Event(u64),
}

/// A machine that can be kept as rows.
pub trait Kept: Machine + Default {
    /// The row's text as it is now; `None`: there is no such row any more.
    fn row(&self, row: Row) -> Option<String>;

    /// The machine that these rows are of. A row that cannot be read is left out: leases end and records
    /// are learned again by themselves.
    fn from_rows(rows: impl IntoIterator<Item = (Row, String)>) -> Self;
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Lease(call) => write!(f, "lease:{:032x}", call.0),
            Self::Ended(call) => write!(f, "ended:{:032x}", call.0),
            // Turns and numbers sorted as text are in order.
            Self::Waiter(turn) => write!(f, "waiter:{turn:020}"),
            Self::Account(number) => write!(f, "account:{number}"),
            Self::Errors(number) => write!(f, "errors:{number}"),
            Self::Session(session) => write!(f, "session:{session:016x}"),
            Self::Origin(origin) => write!(f, "origin:{origin:016x}"),
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
            "waiter" => rest.parse().ok().map(Self::Waiter),
            "account" => rest.parse().ok().map(Self::Account),
            "errors" => rest.parse().ok().map(Self::Errors),
            "session" => u64::from_str_radix(rest, 16).ok().map(Self::Session),
            "origin" => u64::from_str_radix(rest, 16).ok().map(Self::Origin),
            "event" => rest.parse().ok().map(Self::Event),
            _ => None,
        }
        .ok_or(())
    }
}

fn call(hex: &str) -> Option<CallId> {
    u128::from_str_radix(hex, 16).ok().map(CallId)
}

/// A part of the state as its row's text. What machines are made of always has one.
pub(crate) fn text(part: &impl serde::Serialize) -> Option<String> {
    serde_json::to_string(part).ok()
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(text.as_bytes()).ok()
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
            Row::Waiter(5),
            Row::Account(3),
            Row::Errors(3),
            Row::Session(u64::MAX),
            Row::Origin(u64::MAX),
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
