//! The operator's days, weeks and months, in integers alone: the clock's offset from UTC is fixed, so every day has
//! 24 hours and every week seven days.

use super::money::Span;
use crate::Millis;

const MINUTE: i128 = 60_000;
const HOUR: i128 = 60 * MINUTE;
const DAY: i128 = 24 * HOUR;
const WEEK: i128 = 7 * DAY;

/// The epoch began on a Thursday; that week's Monday is this much earlier.
const MONDAY_BEFORE_EPOCH: i128 = 3 * DAY;

/// The largest offset of a time zone from UTC.
const MAX_OFFSET_MINUTES: i32 = 14 * 60;

/// When days and weeks begin. The default is UTC, and Monday at midnight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calendar {
    pub(super) utc_offset_minutes: i32,
    pub(super) weekday: u8,
    pub(super) hour: u8,
}

impl Calendar {
    /// The day of `now`: its first moment, and the next day's.
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

    /// The month of `now` in the Gregorian calendar.
    pub(super) fn month(self, now: Millis) -> (Millis, Millis) {
        let offset = self.offset();
        let days = (i128::from(now) + offset).div_euclid(DAY);
        let (year, month) = month_of(days);
        let next = if month == 12 {
            (year + 1, 1)
        } else {
            (year, month + 1)
        };
        let at = |(year, month)| millis(first_day(year, month) * DAY - offset);
        (at((year, month)), at(next))
    }

    /// `None` for a span without beginning and end.
    pub(super) fn of(self, span: Span, now: Millis) -> Option<(Millis, Millis)> {
        match span {
            Span::Day => Some(self.day(now)),
            Span::Week => Some(self.week(now)),
            Span::Month => Some(self.month(now)),
            Span::Ever => None,
        }
    }

    /// Milliseconds that the operator's clock is ahead of UTC.
    fn offset(self) -> i128 {
        let offset = self
            .utc_offset_minutes
            .clamp(-MAX_OFFSET_MINUTES, MAX_OFFSET_MINUTES);
        i128::from(offset) * MINUTE
    }

    /// One of the consecutive spans of this length, of which one begins `begins` after the local epoch.
    fn span(self, now: Millis, length: i128, begins: i128) -> (Millis, Millis) {
        let begins = begins - self.offset();
        let start = (i128::from(now) - begins).div_euclid(length) * length + begins;
        (millis(start), millis(start + length))
    }
}

/// Year and month of a day counted from the epoch, and below the inverse: H. Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `civil_from_days` and `days_from_civil`. Years begin in March there.
fn month_of(days: i128) -> (i128, i128) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year_of_era + era * 400 + i128::from(month <= 2), month)
}

/// The first day of a month, counted from the epoch.
fn first_day(year: i128, month: i128) -> i128 {
    let year = year - i128::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

/// Clamps times before the epoch to the epoch.
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

    #[test]
    fn months_follow_each_other_and_have_their_days() {
        for offset in [0, 8 * 60, -8 * 60] {
            let calendar = Calendar {
                utc_offset_minutes: offset,
                ..Calendar::default()
            };
            let mut at = 86_400_000 * 40;
            let (mut year, mut month) = (1970, 2);
            while year < 2105 {
                let (start, end) = calendar.month(at);
                assert!(start <= at && at < end);
                let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
                let days = match month {
                    2 => 28 + u64::from(leap),
                    4 | 6 | 9 | 11 => 30,
                    _ => 31,
                };
                assert_eq!(end - start, days * D, "{year}-{month}");
                assert_eq!(calendar.month(end - 1), (start, end));
                assert_eq!(calendar.month(end).0, end);
                at = end;
                (year, month) = if month == 12 {
                    (year + 1, 1)
                } else {
                    (year, month + 1)
                };
            }
        }
        // The clock of 1 March 2024, 00:30 in China.
        let calendar = Calendar {
            utc_offset_minutes: 480,
            ..Calendar::default()
        };
        assert_eq!(calendar.month(1_709_224_200_000).0, 1_709_222_400_000);
        assert_eq!(Calendar::default().month(0), (0, 31 * D));
        let _ = calendar.month(u64::MAX);
    }
}
