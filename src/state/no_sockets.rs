//! Which accounts' hosts took no WebSocket a moment ago, so that they are asked by HTTP at once. That is no fault of
//! the account: nothing of it goes to the pool.
//!
//! Limited in size, and each entry in time: a host may offer later what it refuses now.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long no other WebSocket is tried, microseconds.
const REST: u64 = 600_000_000;

/// Maximum number of entries.
const MOST: usize = 1_024;

/// The entries, each with its end in ticks.
#[derive(Default)]
pub struct NoSockets(Mutex<HashMap<String, u64>>);

impl NoSockets {
    /// Whether a WebSocket may be tried.
    pub(crate) fn may_try(&self, account: &str, host: &str, ticks: u64) -> bool {
        let entries = self.entries();
        entries.get(&name(account, host)).is_none_or(|end| *end <= ticks)
    }

    /// It took none.
    pub(crate) fn remember(&self, account: &str, host: &str, ticks: u64) {
        let mut entries = self.entries();
        if entries.len() >= MOST {
            entries.retain(|_, end| ticks < *end);
        }
        if entries.len() >= MOST {
            entries.clear();
        }
        entries.insert(name(account, host), ticks + REST);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An account may be given another host.
fn name(account: &str, host: &str) -> String {
    format!("{account} {host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_holds_for_its_account_and_host_and_for_a_while() {
        let hosts = NoSockets::default();
        assert!(hosts.may_try("a", "one", 5));
        hosts.remember("a", "one", 5);
        assert!(!hosts.may_try("a", "one", 5) && !hosts.may_try("a", "one", 4 + REST));
        assert!(hosts.may_try("b", "one", 5) && hosts.may_try("a", "two", 5));
        assert!(hosts.may_try("a", "one", 5 + REST));
    }

    #[test]
    fn memory_is_bounded() {
        let hosts = NoSockets::default();
        for at in 0..10_000_u64 {
            hosts.remember(&at.to_string(), "one", at * REST / 100);
            assert!(!hosts.may_try(&at.to_string(), "one", at * REST / 100));
            assert!(hosts.entries().len() <= MOST);
        }
        let now = 10_000 * REST / 100;
        for at in 0..5_000_u64 {
            hosts.remember(&at.to_string(), "two", now);
            assert!(hosts.entries().len() <= MOST);
        }
    }
}
