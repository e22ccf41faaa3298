//! The last errors that were held against an account, for people. They influence no decision.
//!
//! They outlive the operator's reset: they are the reason for it, and remain readable afterwards.

use serde::{Deserialize, Serialize};

use super::AccountError;
use crate::Millis;

const MAX_ERRORS: usize = 16;

/// The same error within this time belongs to one outage: recorded once, it does not push out the others.
const SAME_MS: u64 = 1_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Errors {
    /// The oldest first.
    last: Vec<AccountError>,
}

impl Errors {
    /// Returns whether it was new: a repeated report is not.
    pub(super) fn add(&mut self, error: AccountError) -> bool {
        let same = |held: &AccountError| {
            held.status == error.status
                && held.why == error.why
                && (held.call == error.call || error.at < held.at.saturating_add(SAME_MS))
        };
        if self.last.iter().any(same) {
            return false;
        }
        self.last.push(error);
        if self.last.len() > MAX_ERRORS {
            self.last.remove(0);
        }
        true
    }

    pub(super) fn shown(&self) -> Vec<AccountError> {
        self.last.clone()
    }

    pub(super) fn set_back(&mut self, now: Millis) {
        for error in &mut self.last {
            error.at = error.at.min(now);
        }
    }
}
