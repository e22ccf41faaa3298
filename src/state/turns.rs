//! Remembers the provider's cache figures of each conversation's last call in this process: compared with the
//! next call's figures they show where a cache was lost.
//!
//! Limited in size: the least recently used half is dropped.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Maximum number of conversations.
const MOST: usize = 4_096;

#[derive(Default)]
pub struct Turns(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<u64, f64>,
    old: HashMap<u64, f64>,
}

impl Turns {
    /// Stores the cached share of a session's finished call, and returns that of the call before.
    pub fn follow(&self, session: u64, share: f64) -> Option<f64> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = turns.old.remove(&session);
        let before = turns.young.insert(session, share).or(old);
        if turns.young.len() >= MOST / 2 {
            turns.old = std::mem::take(&mut turns.young);
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_before_is_remembered_and_memory_is_bounded() {
        let turns = Turns::default();
        assert_eq!(turns.follow(1, 0.5), None);
        assert_eq!(turns.follow(1, 0.75), Some(0.5));
        for session in 2..100_000 {
            turns.follow(session, 0.0);
            // One that is used goes on being known.
            if session % 1_000 == 0 {
                assert!(turns.follow(1, 0.75).is_some());
            }
        }
        assert_eq!(turns.follow(2, 0.0), None);
        let held = turns.0.lock().unwrap();
        assert!(held.young.len() + held.old.len() <= MOST);
    }
}
