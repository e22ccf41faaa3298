//! The operator's days and weeks, by integers alone: the clock's offset from UTC is fixed, so every day
//! has 24 hours and every week seven days.

use crate::Millis;

const MINUTE: i128 = 60_000;
const HOUR: i128 = 60 * MINUTE;
const DAY: i128 = 24 * HOUR;
const WEEK: i128 = 7 * DAY;

/// The epoch began on a Thursday; so far before it did that week's Monday.
const MONDAY_BEFORE_EPOCH: i128 = 3 * DAY;

/// No clock on Earth is further from UTC.
const MAX_OFFSET_MINUTES: i32 = 14 * 60;

/// When days and weeks begin. The default is UTC, and Monday at midnight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calendar {
    pub(super) utc_offset_minutes: i32,
    pub(super) weekday: u8,
    pub(super) hour: u8,
}

impl Calendar {
    /// The day that `now` is in: its first moment, and the next day's.
    pub(super) fn day(self, now: Millis) -> (Millis, Millis) {
        self.span(now, DAY, 0)
    }

    pub(super) fn week(self, now: Millis) -> (Millis, Millis) {
        let weekday = match self.weekday {
            day @ 1..=7 => i128::from(day),
            _ => 1,
        };
        let begins = (weekday - 1) * DAY + i128::from(self.hour.min(23)) * HOUR - MONDAY_BEFORE_EPOCH;
        self.span(now, WEEK, begins)
    }

    /// One of the spans that follow each other, of which one begins `begins` after the local epoch.
    fn span(self, now: Millis, length: i128, begins: i128) -> (Millis, Millis) {
        let offset = self
            .utc_offset_minutes
            .clamp(-MAX_OFFSET_MINUTES, MAX_OFFSET_MINUTES);
        let begins = begins - i128::from(offset) * MINUTE;
        let start = (i128::from(now) - begins).div_euclid(length) * length + begins;
        (millis(start), millis(start + length))
    }
}

/// Before the epoch is the epoch.
fn millis(at: i128) -> Millis {
    u64::try_from(at.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Friday, 15 January 2027, 08:00 UTC.
    const FRIDAY: Millis = 1_800_000_000_000;
    const H: u64 = 3_600_000;
    const D: u64 = 24 * H;

    #[test]
    fn a_day_is_the_operators() {
        let at = |minutes| {
            let calendar = Calendar {
                utc_offset_minutes: minutes,
                ..Calendar::default()
            };
            let (start, end) = calendar.day(FRIDAY);
            assert_eq!(end - start, D);
            assert!(start <= FRIDAY && FRIDAY < end);
            FRIDAY - start
        };
        assert_eq!(at(0), 8 * H);
        assert_eq!(at(8 * 60), 16 * H);
        assert_eq!(at(5 * 60 + 45), 13 * H + 45 * 60_000);
        assert_eq!(at(-8 * 60), 0);
        assert_eq!(at(-8 * 60 - 1), D - 60_000);
        assert_eq!(at(i32::MAX), at(14 * 60));
    }

    #[test]
    fn a_week_begins_on_its_day_at_its_hour() {
        let at = |weekday, hour, utc_offset_minutes| {
            let calendar = Calendar {
                utc_offset_minutes,
                weekday,
                hour,
            };
            let (start, end) = calendar.week(FRIDAY);
            assert_eq!(end - start, 7 * D);
            assert!(start <= FRIDAY && FRIDAY < end);
            FRIDAY - start
        };
        assert_eq!(at(1, 0, 0), 4 * D + 8 * H);
        assert_eq!(at(0, 0, 0), at(1, 0, 0), "Monday, if nothing else is said");
        assert_eq!(at(9, 99, 0), at(1, 23, 0));
        assert_eq!(at(5, 8, 0), 0, "at this very moment");
        assert_eq!(at(5, 9, 0), 7 * D - H);
        assert_eq!(at(7, 0, 0), 5 * D + 8 * H);
        assert_eq!(at(6, 0, 16 * 60), 6 * D + 22 * H, "14 hours is the most");
        assert_eq!(at(5, 16, 8 * 60), 0);
    }

    #[test]
    fn the_ends_of_time_are_days_too() {
        let calendar = Calendar {
            utc_offset_minutes: 60,
            ..Calendar::default()
        };
        assert_eq!(calendar.day(0), (0, 23 * H));
        assert_eq!(calendar.week(0).0, 0);
        assert_eq!(calendar.day(u64::MAX).1, u64::MAX);
    }
}
