//! Decides how often a password may be guessed, from counts.
//!
//! A source (an address or a session) has some free attempts, then must wait, twice as long after each further
//! failure. Nothing is counted per login name, so nobody can lock out the admin. Strangers (addresses without an
//! earlier login) also share two limits per window: one per site, and one for all. Known addresses have neither
//! limit and shorter waits.

use serde::{Deserialize, Serialize};

use crs_durable::Millis;

/// Number of failures before a source must wait.
pub const FREE: u32 = 5;

/// The first wait, in milliseconds.
pub const FIRST_WAIT: Millis = 30 * 1000;

/// The longest wait of a stranger.
pub const LONGEST_WAIT: Millis = 15 * 60 * 1000;

/// The longest wait of an address that logged in before, or of a session.
pub const LONGEST_WAIT_OF_KNOWN: Millis = 60 * 1000;

/// How long the last failure of a source counts.
pub const REMEMBERED: Millis = 24 * 60 * 60 * 1000;

/// Length of the windows for the limits of strangers.
pub const WINDOW: Millis = 15 * 60 * 1000;

/// Maximum number of strangers' attempts per site and window.
pub const PER_SITE: u32 = 50;

/// Maximum number of strangers' attempts per window: seven million a year, compared with the 10^8 guesses for the
/// weakest password that we accept.
pub const OF_ALL_STRANGERS: u32 = 200;

/// Maximum number of known addresses; the one with the oldest last login is dropped.
pub const KNOWN_ADDRESSES: usize = 64;

/// The stored record of a source with failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    pub failures: u32,
    pub last_at: Millis,
    /// The login's epoch at that time. Failures at older passwords do not count.
    pub epoch: u64,
}

/// The attempts of strangers in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrangerCounts {
    pub of_site: u32,
    pub of_all: u32,
}

/// The counts that an allowed attempt increments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptCost {
    pub source: Source,
    pub strangers: Option<StrangerCounts>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub until: Millis,
    /// Every stranger is refused, not only this source.
    pub of_all_strangers: bool,
}

impl Refusal {
    pub fn of_source(until: Millis) -> Self {
        Self {
            until,
            of_all_strangers: false,
        }
    }
}

/// The window that contains a given time.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub number: u64,
    pub ends: Millis,
}

impl Window {
    pub fn of(now: Millis) -> Self {
        let number = now / WINDOW;
        Self {
            number,
            ends: number.saturating_add(1).saturating_mul(WINDOW),
        }
    }
}

impl Source {
    pub fn forgotten_at(&self) -> Millis {
        self.last_at.saturating_add(REMEMBERED)
    }

    /// When the source may try again.
    fn free_at(&self, longest: Millis) -> Millis {
        let Some(beyond) = self.failures.checked_sub(FREE) else {
            return self.last_at;
        };
        let wait = FIRST_WAIT.saturating_mul(1_u64.checked_shl(beyond).unwrap_or(u64::MAX));
        self.last_at.saturating_add(wait.min(longest))
    }
}

/// Decides on an attempt at `now`. `source`: its stored record; `strangers`: `None` if it is not a stranger.
pub fn admit(
    source: Option<Source>,
    strangers: Option<StrangerCounts>,
    epoch: u64,
    now: Millis,
) -> Result<AttemptCost, Refusal> {
    let longest = if strangers.is_some() {
        LONGEST_WAIT
    } else {
        LONGEST_WAIT_OF_KNOWN
    };
    // If the clock was set back, nobody must wait for years.
    let before =
        source.filter(|source| source.epoch == epoch && source.last_at <= now && now < source.forgotten_at());
    if let Some(before) = before
        && before.free_at(longest) > now
    {
        return Err(Refusal::of_source(before.free_at(longest)));
    }
    let window = Window::of(now);
    if let Some(counts) = strangers {
        if counts.of_all >= OF_ALL_STRANGERS {
            return Err(Refusal {
                until: window.ends,
                of_all_strangers: true,
            });
        }
        if counts.of_site >= PER_SITE {
            return Err(Refusal::of_source(window.ends));
        }
    }
    Ok(AttemptCost {
        source: Source {
            failures: before.map_or(0, |source| source.failures).saturating_add(1),
            last_at: now,
            epoch,
        },
        strangers: strangers.map(|counts| StrangerCounts {
            of_site: counts.of_site.saturating_add(1),
            of_all: counts.of_all.saturating_add(1),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_764_000_000_000;
    const NONE: Option<StrangerCounts> = Some(StrangerCounts {
        of_site: 0,
        of_all: 0,
    });

    /// The waits, in seconds, of somebody who fails each time it may try.
    fn waits(strangers: Option<StrangerCounts>, count: usize) -> Vec<u64> {
        let (mut source, mut now) = (None, NOW);
        let mut waits = Vec::new();
        for _ in 0..count {
            let begun = now;
            if let Err(refusal) = admit(source, strangers, 1, now) {
                now = refusal.until;
            }
            waits.push((now - begun) / 1000);
            source = Some(admit(source, strangers, 1, now).unwrap().source);
        }
        waits
    }

    #[test]
    fn the_wait_doubles_with_each_failure_and_has_an_end() {
        assert_eq!(waits(NONE, 12), [0, 0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(waits(None, 9), [0, 0, 0, 0, 0, 30, 60, 60, 60]);
        // No number of failures overflows.
        let worst = Source {
            failures: u32::MAX,
            last_at: NOW,
            epoch: 1,
        };
        assert_eq!(worst.free_at(LONGEST_WAIT), NOW + LONGEST_WAIT);
    }

    #[test]
    fn failures_end_with_the_password_and_with_time() {
        let source = Some(Source {
            failures: 20,
            last_at: NOW,
            epoch: 1,
        });
        assert!(admit(source, NONE, 1, NOW + 1).is_err());
        assert_eq!(admit(source, NONE, 2, NOW + 1).unwrap().source.failures, 1);
        assert_eq!(
            admit(source, NONE, 1, NOW + REMEMBERED - 1)
                .unwrap()
                .source
                .failures,
            21
        );
        assert_eq!(
            admit(source, NONE, 1, NOW + REMEMBERED).unwrap().source.failures,
            1
        );
        // The clock was set back.
        assert_eq!(admit(source, NONE, 1, NOW - 1).unwrap().source.failures, 1);
    }

    #[test]
    fn strangers_share_bounds_that_others_do_not_have() {
        let full = |of_site, of_all| Some(StrangerCounts { of_site, of_all });
        let refusal = admit(None, full(PER_SITE, 60), 1, NOW).unwrap_err();
        assert_eq!(
            (refusal.until, refusal.of_all_strangers),
            (Window::of(NOW).ends, false)
        );
        let refusal = admit(None, full(0, OF_ALL_STRANGERS), 1, NOW).unwrap_err();
        assert_eq!(
            (refusal.until, refusal.of_all_strangers),
            (Window::of(NOW).ends, true)
        );
        assert!(admit(None, full(PER_SITE - 1, OF_ALL_STRANGERS - 1), 1, NOW).is_ok());
        assert!(admit(None, None, 1, NOW).is_ok());
    }
}
