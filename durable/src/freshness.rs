//! Whether facts learned from the store may still decide.
//!
//! A request carries a record from the store to the machine. Meanwhile the record can change, and the news of the
//! change ([`Freshness::invalidated`]) can overtake it. So facts learned shortly after such news are provisional:
//! they decide for now, and the machine asks for them once more after [`SLOW_READER_MS`].

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::time::Deadline;

/// The longest time from a reader's read of the store to its `Learn` (hosts bound a read by 2 s).
pub(crate) const SLOW_READER_MS: u64 = 5_000;

/// A version older than the current one comes from a slow reader and is refused. But only for this long after the
/// current one was last confirmed: the store may have been restored from a backup.
pub(crate) const OLDER_REFUSED_MS: u64 = 600_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Freshness {
    learned: Option<Millis>,
    /// Changed elsewhere since the last `Learn`.
    stale: bool,
    /// Facts learned before this end do not decide after it.
    doubt: Option<Deadline>,
}

impl Freshness {
    /// Whether a record was ever learned.
    pub(crate) fn known(&self) -> bool {
        self.learned.is_some()
    }

    /// Whether a record was learned so recently that a reader with an older read may still arrive. A record that
    /// contradicts it is in doubt.
    pub(crate) fn recent(&self, now: Millis) -> bool {
        self.learned
            .is_some_and(|learned| now < learned.saturating_add(SLOW_READER_MS))
    }

    /// Whether the current record may decide for a host that accepts nothing learned before `learned_since`; with 0
    /// the host accepts any age.
    pub(crate) fn decides(&self, now: Millis, learned_since: Millis) -> bool {
        let Some(learned) = self.learned else { return false };
        let doubted = |doubt: Deadline| doubt.passed(now) && learned < doubt.until();
        learned_since == 0 || (!self.stale && learned >= learned_since && !self.doubt.is_some_and(doubted))
    }

    /// When the current record stops deciding, if nothing is learned until then.
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

    /// The current record, and one learned now, must be asked for once more in a while.
    pub(crate) fn doubt(&mut self, now: Millis) {
        self.doubt = Some(Deadline::after(now, SLOW_READER_MS));
    }

    /// After a restart: changes in the meantime are unknown.
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
