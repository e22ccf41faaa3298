//! Time that may jump: the present for a machine, and ends that a clock set back cannot postpone.

use serde::{Deserialize, Serialize};

use crate::Millis;

/// Readings may reach a machine out of order (many tasks read the clock, then wait for one lock). A reading at most
/// this far behind the latest is out of order, and time stands still; one further behind means that the clock was set
/// back.
pub(crate) const JITTER_MS: u64 = 1_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Present {
    latest: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) now: Millis,
    /// The clock was set back: every end must be adjusted, see [`Deadline::set_back`].
    pub(crate) set_back: bool,
}

impl Present {
    pub(crate) fn read(&mut self, reading: Millis) -> Tick {
        let behind = self.latest.saturating_sub(reading);
        if behind > 0 && behind <= JITTER_MS {
            return Tick {
                now: self.latest,
                set_back: false,
            };
        }
        self.latest = reading;
        Tick {
            now: reading,
            set_back: behind > 0,
        }
    }
}

/// The time at which something ends. It remembers its distance from the time at which it was set, so that after the
/// clock was set back it is no further ahead than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deadline {
    until: Millis,
    span: u64,
}

impl Deadline {
    pub(crate) fn after(now: Millis, span: u64) -> Self {
        Self {
            until: now.saturating_add(span),
            span,
        }
    }

    pub(crate) fn at(now: Millis, until: Millis) -> Self {
        Self {
            until,
            span: until.saturating_sub(now),
        }
    }

    pub(crate) fn until(self) -> Millis {
        self.until
    }

    /// A deadline has passed at its very moment.
    pub(crate) fn passed(self, now: Millis) -> bool {
        self.until <= now
    }

    /// Takes `other` if it is later; returns whether it did.
    pub(crate) fn extend(&mut self, other: Self) -> bool {
        let later = other.until > self.until;
        if later {
            *self = other;
        }
        later
    }

    pub(crate) fn set_back(&mut self, now: Millis) {
        self.until = self.until.min(now.saturating_add(self.span));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_readings_hold_time_still_and_jumps_are_told() {
        let mut present = Present::default();
        assert_eq!(
            present.read(10_000),
            Tick {
                now: 10_000,
                set_back: false
            }
        );
        assert_eq!(
            present.read(9_000),
            Tick {
                now: 10_000,
                set_back: false
            }
        );
        assert_eq!(
            present.read(10_001),
            Tick {
                now: 10_001,
                set_back: false
            }
        );
        assert_eq!(
            present.read(9_000),
            Tick {
                now: 9_000,
                set_back: true
            }
        );
        assert_eq!(
            present.read(9_000),
            Tick {
                now: 9_000,
                set_back: false
            }
        );
    }

    #[test]
    fn small_steps_back_cannot_add_up() {
        let mut present = Present::default();
        present.read(10_000);
        assert!(!present.read(9_400).set_back);
        assert!(present.read(8_800).set_back, "1,200 behind the latest reading");
    }

    #[test]
    fn a_deadline_is_never_further_ahead_than_it_was_set() {
        let mut end = Deadline::after(1_000, 60);
        end.set_back(990);
        assert_eq!(end.until(), 1_050);
        end.set_back(2_000);
        assert_eq!(end.until(), 1_050, "it is no earlier for that");
        assert!(!end.passed(1_049));
        assert!(end.passed(1_050));
    }

    #[test]
    fn a_deadline_only_grows() {
        let mut end = Deadline::after(0, 60);
        assert!(!end.extend(Deadline::after(10, 50)));
        assert!(end.extend(Deadline::after(10, 51)));
        assert_eq!(end, Deadline::after(10, 51));
        assert_eq!(Deadline::after(1, u64::MAX).until(), u64::MAX);
    }
}
