//! What an account has left.

use crs_durable::Millis;
use crs_durable::pool::QuotaWindow;

use crate::world::End;

const DAY_MS: i64 = 86_400_000;
const MAX_WINDOW_MS: u64 = 8 * 86_400_000;
/// What is no more than this off is the same.
const SAME_MS: u64 = 60_000;
const SAME_PERMILLE: u16 = 10;

#[derive(Clone, Debug, Default)]
pub(super) struct Quota {
    windows: Vec<(QuotaWindow, End)>,
    day: Option<(u64, End)>,
}

impl Quota {
    pub(super) fn observe(&mut self, now: Millis, observations: &[QuotaWindow]) {
        for (index, told) in observations.iter().enumerate() {
            let mut before = observations.iter().take(index);
            if before.any(|before| before.name == told.name) {
                continue;
            }
            let until = told.resets_at.min(now + MAX_WINDOW_MS);
            let end = End {
                until,
                span: until.saturating_sub(now),
            };
            let told = QuotaWindow {
                observed_at: told.observed_at.min(now),
                ..told.clone()
            };
            let held = self.windows.iter_mut().find(|(held, _)| held.name == told.name);
            match held {
                None if until <= now => {}
                None => self.windows.push((told, end)),
                Some((held, held_end)) => {
                    let same = now < held_end.until
                        && held.family == told.family
                        && held.used_permille.abs_diff(told.used_permille) < SAME_PERMILLE
                        && held_end.until.abs_diff(until) <= SAME_MS
                        && told.observed_at <= held.observed_at + SAME_MS;
                    if told.observed_at >= held.observed_at && !same {
                        (*held, *held_end) = (told, end);
                    }
                }
            }
        }
    }

    pub(super) fn spend(&mut self, now: Millis, utc_offset_minutes: i32, cost: u64) {
        let local = i64::try_from(now).unwrap() + i64::from(utc_offset_minutes) * 60_000;
        let rest = u64::try_from(DAY_MS - local.rem_euclid(DAY_MS)).unwrap();
        self.day = match self.day {
            Some((spent, end)) if now < end.until => Some((spent + cost, end)),
            _ => Some((cost, End::after(now, rest))),
        };
    }

    pub(super) fn spent(&self, now: Millis) -> Option<(u64, Millis)> {
        let (spent, end) = self.day.filter(|(_, end)| now < end.until)?;
        Some((spent, end.until))
    }

    pub(super) fn shown(&self, now: Millis) -> Vec<QuotaWindow> {
        let running = self.windows.iter().filter(|(_, end)| now < end.until);
        running
            .map(|(window, end)| QuotaWindow {
                resets_at: end.until,
                ..window.clone()
            })
            .collect()
    }

    /// The largest share used, and the end of the last window to end.
    pub(super) fn left(&self, now: Millis, family: &str) -> (Option<u16>, Option<Millis>) {
        let shown = self.shown(now);
        let count = |window: &&QuotaWindow| window.family.as_deref().is_none_or(|of| of == family);
        let used = shown
            .iter()
            .filter(count)
            .map(|window| window.used_permille)
            .max();
        let last = shown.iter().filter(count).map(|window| window.resets_at).max();
        (used, last.filter(|last| *last > now + SAME_MS))
    }

    pub(super) fn reset(&mut self) {
        self.windows.clear();
    }

    pub(super) fn set_back(&mut self, now: Millis) {
        for (window, end) in &mut self.windows {
            end.set_back(now);
            window.observed_at = window.observed_at.min(now);
        }
        if let Some((_, end)) = &mut self.day {
            end.set_back(now);
        }
    }
}
