//! Whether what a machine learned from the store may still decide.
//!
//! A record travels from the store to the machine in the hands of some request. Meanwhile it can be
//! changed, and the news of the change ([`Freshness::invalidated`]) can overtake it. So nothing learned
//! shortly after such news is taken for good: it decides for now, and is asked for once more after
//! [`SLOW_READER_MS`].

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::time::Deadline;

/// No reader takes longer from its read of the store to its `Learn` (hosts bound a read by 2 s).
pub(crate) const SLOW_READER_MS: u64 = 5_000;

/// A version older than the one held is a slow reader's, so it is refused; but for no longer than
/// this after the held one was last confirmed: the store may have been restored from a backup.
pub(crate) const OLDER_REFUSED_MS: u64 = 600_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Freshness {
    learned: Option<Millis>,
    /// Changed elsewhere since.
    stale: bool,
    /// What was learned before this end does not decide after it.
    doubt: Option<Deadline>,
}

impl Freshness {
    /// Whether anything was ever learned.
    pub(crate) fn known(&self) -> bool {
        self.learned.is_some()
    }

    /// Whether something was learned so shortly ago that a reader may be on its way who read before
    /// that. What contradicts it is in doubt.
    pub(crate) fn recent(&self, now: Millis) -> bool {
        self.learned
            .is_some_and(|learned| now < learned.saturating_add(SLOW_READER_MS))
    }

    /// Whether what is known may decide for a host that takes nothing learned before
    /// `learned_since`; with 0 the host takes anything.
    pub(crate) fn decides(&self, now: Millis, learned_since: Millis) -> bool {
        let Some(learned) = self.learned else { return false };
        let doubted = |doubt: Deadline| doubt.passed(now) && learned < doubt.until();
        learned_since == 0 || (!self.stale && learned >= learned_since && !self.doubt.is_some_and(doubted))
    }

    /// When what is known stops to decide, if nothing is learned until then.
    pub(crate) fn doubted_at(&self, now: Millis) -> Option<Millis> {
        let doubt = self.doubt.filter(|doubt| !self.stale && !doubt.passed(now))?;
        self.learned
            .is_some_and(|learned| learned < doubt.until())
            .then(|| doubt.until())
    }

    pub(crate) fn learned(&mut self, now: Millis) {
        self.learned = Some(now);
        self.stale = false;
        if self.doubt.is_some_and(|doubt| doubt.passed(now)) {
            self.doubt = None;
        }
    }

    pub(crate) fn invalidated(&mut self, now: Millis) {
        self.stale = true;
        self.doubt(now);
    }

    /// What is learned now, or was before, is to be asked for once more in a while.
    pub(crate) fn doubt(&mut self, now: Millis) {
        self.doubt = Some(Deadline::after(now, SLOW_READER_MS));
    }

    /// Nobody knows what happened in the meantime.
    pub(crate) fn resumed(&mut self) {
        self.stale = true;
    }

    pub(crate) fn set_back(&mut self, now: Millis) {
        self.learned = self.learned.map(|learned| learned.min(now));
        if let Some(doubt) = &mut self.doubt {
            doubt.set_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_learned_decides_nothing() {
        let freshness = Freshness::default();
        assert!(!freshness.known());
        assert!(!freshness.decides(0, 0));
    }

    #[test]
    fn too_old_a_record_decides_only_for_want_of_better() {
        let mut freshness = Freshness::default();
        freshness.learned(1_000);
        assert!(freshness.decides(5_000, 1_000));
        assert!(!freshness.decides(5_000, 1_001));
        assert!(freshness.decides(5_000, 0));
    }

    #[test]
    fn what_a_slow_reader_brings_after_the_news_is_asked_for_again() {
        let mut freshness = Freshness::default();
        freshness.learned(1_000);
        freshness.invalidated(2_000);
        assert!(!freshness.decides(2_000, 1));
        assert!(freshness.decides(2_000, 0));
        freshness.learned(2_500);
        assert!(freshness.decides(6_999, 1));
        assert!(!freshness.decides(7_000, 1));
        freshness.learned(7_000);
        assert!(freshness.decides(99_000, 1));
    }

    #[test]
    fn a_clock_set_back_makes_nothing_fresh_for_ever() {
        let mut freshness = Freshness::default();
        freshness.learned(900_000);
        freshness.set_back(1_000);
        assert!(!freshness.decides(2_000, 1_500));
    }
}
