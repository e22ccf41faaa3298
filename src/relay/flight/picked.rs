//! The account picked by the pool, whose slot the flight holds.

use crs_durable::pool;

use crate::dialect::origin::Kind;

/// An account as the pool picked it.
#[derive(Clone, Debug)]
pub(in crate::relay) struct PickedAccount {
    pub(in crate::relay) account: pool::AccountId,
    /// Revision of its record: a cached copy of an earlier revision is stale.
    pub(in crate::relay) revision: u64,
    /// The pool expects a report as soon as the account serves.
    pub(in crate::relay) on_trial: bool,
}

/// Why the pool picked the account.
#[derive(Clone, Copy)]
pub(in crate::relay) struct PickReason {
    /// It served the session's earlier calls.
    pub(in crate::relay) sticky: bool,
    /// The key is bound to it.
    pub(in crate::relay) bound: bool,
    /// It stores an object of this kind that the call refers to.
    pub(in crate::relay) followed: Option<Kind>,
}
