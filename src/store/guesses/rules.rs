//! How often a password may be guessed: pure decisions over what is counted.
//!
//! A source (an address, or a stolen session) has some attempts free, then waits, twice as long after each further
//! failure. Nothing is counted per login name, so nobody can lock the admin out by naming it. Strangers, from whose
//! addresses nobody ever logged in, also share two bounds per window: one for each site, and one for all of them.
//! Addresses that logged in before have neither and wait less.

use serde::{Deserialize, Serialize};

use crs_durable::Millis;

/// Failures of a source before it has to wait.
pub const FREE: u32 = 5;

/// The first wait, in milliseconds.
pub const FIRST_WAIT: Millis = 30 * 1000;

/// The longest wait of a stranger.
pub const LONGEST_WAIT: Millis = 15 * 60 * 1000;

/// The longest wait of an address that logged in before, or of a session.
pub const LONGEST_WAIT_OF_KNOWN: Millis = 60 * 1000;

/// How long the last failure of a source is remembered.
pub const REMEMBERED: Millis = 24 * 60 * 60 * 1000;

/// The bounds on strangers are counted in windows of this length.
pub const WINDOW: Millis = 15 * 60 * 1000;

/// Attempts of strangers of one site in a window.
pub const PER_SITE: u32 = 50;

/// Attempts of all strangers together in a window: seven million in a year, against the 10^8 guesses that the
/// easiest password we take is worth.
pub const OF_ALL_STRANGERS: u32 = 200;

/// How many addresses are known at most; the one whose last login is longest ago makes room.
pub const KNOWN_ADDRESSES: usize = 64;

/// The stored record of a source that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    pub failures: u32,
    pub last_at: Millis,
    /// Of the login when it was counted: failures at an older password do not count.
    pub epoch: u64,
}

/// Attempts of strangers in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrangerCounts {
    pub of_site: u32,
    pub of_all: u32,
}

/// The counts that an allowed attempt adds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptCost {
    pub source: Source,
    pub strangers: Option<StrangerCounts>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub until: Millis,
    /// Every stranger is refused, not this source alone.
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

/// The window that a moment is in.
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

    /// When it may try again.
    fn free_at(&self, longest: Millis) -> Millis {
        let Some(beyond) = self.failures.checked_sub(FREE) else {
            return self.last_at;
        };
        let wait = FIRST_WAIT.saturating_mul(1_u64.checked_shl(beyond).unwrap_or(u64::MAX));
        self.last_at.saturating_add(wait.min(longest))
    }
}

/// Decides about an attempt at `now`. `source`: what is stored of it; `strangers`: `None` if it is none.
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
    // A clock that was set back must not make anybody wait for years.
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
