//! An account's remaining quota: the provider's windows as reported by its answers, and the cost of its calls on the
//! operator's day.
//!
//! A window that has ended counts as unused. Windows only rank accounts: the provider refuses calls itself when one
//! is used up. The daily quota is the operator's own and excludes.

use serde::{Deserialize, Serialize};

use super::{AccountPolicy, QuotaWindow};
use crate::Millis;
use crate::time::Deadline;

/// A provider reports two or three windows; this bounds the state if a host parses them wrongly.
pub(super) const MAX_WINDOWS: usize = 8;

/// Names are short.
const MAX_NAME: usize = 64;

/// The longest real window is a week.
const MAX_WINDOW_MS: u64 = 8 * 86_400_000;

/// Every answer reports the windows. A difference of no more than this (and no older than that) is not worth a write.
const SAME_PERMILLE: u16 = 10;
const SAME_MS: u64 = 60_000;

/// A window that ends sooner than this is full again before it could be spent: its remaining quota does not matter.
const SOON_MS: u64 = 60_000;

const DAY_MS: i128 = 86_400_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Quota {
    windows: Vec<Window>,
    day: Option<Day>,
}

/// At most one per name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    name: String,
    family: Option<String>,
    used: u16,
    end: Deadline,
    observed: Millis,
}

/// The cost of the account's calls on the operator's day with this end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Day {
    pub(super) spent: u64,
    pub(super) end: Deadline,
}

impl Window {
    fn counts(&self, now: Millis, family: &str) -> bool {
        !self.end.passed(now) && self.family.as_deref().is_none_or(|of| of == family)
    }

    /// Whether an observation adds nothing to the known window.
    fn is_like(&self, now: Millis, other: &Self) -> bool {
        other.observed <= self.observed.saturating_add(SAME_MS)
            && !self.end.passed(now)
            && other.family == self.family
            && other.used.abs_diff(self.used) < SAME_PERMILLE
            && other.end.until().abs_diff(self.end.until()) <= SAME_MS
    }
}

impl Quota {
    /// Takes over the windows of an answer; returns whether anything changed. An older observation comes from a slow
    /// reader. Of two with one name the first counts: otherwise a repeated report could have another effect.
    pub(super) fn observe(&mut self, now: Millis, windows: Vec<QuotaWindow>) -> bool {
        let before = self.windows.clone();
        let mut names = Vec::new();
        for window in windows {
            let name = super::short(window.name, MAX_NAME);
            if names.contains(&name) {
                continue;
            }
            names.push(name.clone());
            let until = window.resets_at.min(now.saturating_add(MAX_WINDOW_MS));
            self.put(
                now,
                Window {
                    name,
                    family: window.family,
                    used: window.used_permille,
                    end: Deadline::at(now, until),
                    observed: window.observed_at.min(now),
                },
            );
        }
        self.windows != before
    }

    fn put(&mut self, now: Millis, window: Window) {
        match self.windows.iter_mut().find(|held| held.name == window.name) {
            Some(held) if window.observed < held.observed || held.is_like(now, &window) => {}
            Some(held) => *held = window,
            None if window.end.passed(now) => {}
            None => self.windows.push(window),
        }
        if self.windows.len() > MAX_WINDOWS {
            let first = self.windows.iter().enumerate();
            if let Some((first, _)) = first.min_by_key(|(_, window)| window.end.until()) {
                self.windows.remove(first);
            }
        }
    }

    /// The largest used share of a window that counts for the family, if any was measured.
    pub(super) fn used(&self, now: Millis, family: &str) -> Option<u16> {
        self.counting(now, family).map(|window| window.used).max()
    }

    /// When the remaining quota expires: the end of the longest window. The shorter ones are full again before that.
    pub(super) fn resets_at(&self, now: Millis, family: &str) -> Option<Millis> {
        self.counting(now, family)
            .map(|window| window.end.until())
            .max()
            .filter(|end| *end > now.saturating_add(SOON_MS))
    }

    fn counting(&self, now: Millis, family: &str) -> impl Iterator<Item = &Window> {
        self.windows
            .iter()
            .filter(move |window| window.counts(now, family))
    }

    /// The windows for display, without those that have ended.
    pub(super) fn shown(&self, now: Millis) -> impl Iterator<Item = QuotaWindow> {
        let running = self.windows.iter().filter(move |window| !window.end.passed(now));
        running.map(|window| QuotaWindow {
            name: window.name.clone(),
            family: window.family.clone(),
            used_permille: window.used,
            resets_at: window.end.until(),
            observed_at: window.observed,
        })
    }

    /// A call of the account cost that much.
    pub(super) fn spend(&mut self, now: Millis, policy: &AccountPolicy, cost: u64) {
        let fresh = || Day {
            spent: 0,
            end: Deadline::at(now, day_end(now, policy.utc_offset_minutes)),
        };
        let day = self.day.get_or_insert_with(fresh);
        if day.end.passed(now) {
            *day = fresh();
        }
        day.spent = day.spent.saturating_add(cost);
    }

    pub(super) fn day(&self, now: Millis) -> Option<&Day> {
        self.day.as_ref().filter(|day| !day.end.passed(now))
    }

    /// Forgets measurements; returns whether there were any. The spent amount is a fact and stays.
    pub(super) fn reset(&mut self) -> bool {
        !std::mem::take(&mut self.windows).is_empty()
    }

    pub(super) fn set_back(&mut self, now: Millis) {
        for window in &mut self.windows {
            window.end.set_back(now);
            window.observed = window.observed.min(now);
        }
        if let Some(day) = &mut self.day {
            day.end.set_back(now);
        }
    }
}

/// When the operator's day ends.
fn day_end(now: Millis, utc_offset_minutes: i32) -> Millis {
    let ahead = i128::from(utc_offset_minutes) * 60_000;
    let days = (i128::from(now) + ahead).div_euclid(DAY_MS) + 1;
    u64::try_from(days * DAY_MS - ahead).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_the_operators_midnight() {
        let noon = 20_000 * 86_400_000 + 43_200_000;
        assert_eq!(day_end(noon, 0), noon + 43_200_000);
        assert_eq!(day_end(noon, 480), noon + 4 * 3_600_000);
        assert_eq!(day_end(noon, -480), noon + 20 * 3_600_000);
        assert_eq!(day_end(noon + 43_200_000, 0), noon + 86_400_000 + 43_200_000);
        assert_eq!(day_end(Millis::MAX, 0), Millis::MAX);
        assert_eq!(day_end(0, -60), 3_600_000);
    }
}
