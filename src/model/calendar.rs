//! Hours, days and months in the operator's time zone.
//!
//! A calendar is a fixed offset from UTC (`TIMEZONE_OFFSET`), as in CRS: without daylight saving, every day has
//! 24 hours and every hour belongs to one day. Labels name the ledger's buckets and sort by time. Times after the
//! year 9999 count as its last.

use std::fmt;

use chrono::{DateTime, Datelike, Days, NaiveDate};
use crs_durable::Millis;
use serde::{Deserialize, Serialize};

const MINUTE: u64 = 60_000;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

/// The last millisecond of the year 9999, minus a margin for the offset.
const END: u64 = 253_402_300_799_999 - 2 * DAY;

/// Converts times to the operator's dates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    offset_minutes: i32,
}

/// `2026-01-31`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(NaiveDate);

/// `2026-01-31:09`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour {
    day: Day,
    hour: u32,
}

/// `2026-01`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i32,
    month: u32,
}

impl Calendar {
    /// `offset_minutes`: local time minus UTC, less than a day.
    pub fn new(offset_minutes: i32) -> Self {
        Self {
            offset_minutes: offset_minutes.clamp(-24 * 60, 24 * 60),
        }
    }

    pub fn day(self, at: Millis) -> Day {
        Day(self.local(at).date())
    }

    pub fn hour(self, at: Millis) -> Hour {
        let local = self.local(at);
        Hour {
            day: Day(local.date()),
            hour: chrono::Timelike::hour(&local),
        }
    }

    pub fn month(self, at: Millis) -> Month {
        self.day(at).month()
    }

    /// When the day begins. Days that began before 1970 begin at 0.
    pub fn start(self, day: Day) -> Millis {
        let utc = day
            .0
            .and_time(chrono::NaiveTime::MIN)
            .and_utc()
            .timestamp_millis();
        u64::try_from(utc - i64::from(self.offset_minutes) * MINUTE as i64).unwrap_or_default()
    }

    fn local(self, at: Millis) -> chrono::NaiveDateTime {
        let utc = at.min(END) as i64;
        DateTime::from_timestamp_millis(utc + i64::from(self.offset_minutes) * MINUTE as i64)
            .unwrap_or_default()
            .naive_utc()
    }
}

impl Day {
    pub fn month(self) -> Month {
        Month {
            year: self.0.year(),
            month: self.0.month(),
        }
    }

    pub fn before(self, days: u32) -> Self {
        Self(self.0.checked_sub_days(Days::new(days.into())).unwrap_or(self.0))
    }

    pub fn after(self, days: u32) -> Self {
        Self(self.0.checked_add_days(Days::new(days.into())).unwrap_or(self.0))
    }

    /// Parses a label.
    pub fn parse(label: &str) -> Option<Self> {
        let day = Self(NaiveDate::parse_from_str(label, "%Y-%m-%d").ok()?);
        (day.to_string() == label).then_some(day)
    }
}

impl Hour {
    /// Parses a label.
    pub fn parse(label: &str) -> Option<Self> {
        let (day, hour) = label.split_at_checked(10)?;
        let hour = Self {
            day: Day::parse(day)?,
            hour: hour.strip_prefix(':')?.parse().ok().filter(|hour| *hour < 24)?,
        };
        (hour.to_string() == label).then_some(hour)
    }

    pub fn day(self) -> Day {
        self.day
    }
}

impl Month {
    /// Parses a label.
    pub fn parse(label: &str) -> Option<Self> {
        let month = Day::parse(&format!("{label}-01"))?.month();
        (month.to_string() == label).then_some(month)
    }

    pub fn first_day(self) -> Day {
        Day(NaiveDate::from_ymd_opt(self.year, self.month, 1).unwrap_or_default())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02}",
            self.0.year(),
            self.0.month(),
            self.0.day()
        )
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:02}", self.day, self.hour)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let label = String::deserialize(from)?;
        Self::parse(&label).ok_or_else(|| serde::de::Error::custom("must be a day such as 2026-01-31"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments_have_their_labels() {
        for (at, offset, day, hour, month) in [
            (0, 0, "1970-01-01", "1970-01-01:00", "1970-01"),
            (0, -60, "1969-12-31", "1969-12-31:23", "1969-12"),
            (951_782_400_000, 0, "2000-02-29", "2000-02-29:00", "2000-02"),
            (1_709_251_199_999, 0, "2024-02-29", "2024-02-29:23", "2024-02"),
            (1_709_251_199_999, 1, "2024-03-01", "2024-03-01:00", "2024-03"),
            (1_767_225_599_000, 480, "2026-01-01", "2026-01-01:07", "2026-01"),
            (4_107_542_399_999, 0, "2100-02-28", "2100-02-28:23", "2100-02"),
            (4_107_542_400_000, 0, "2100-03-01", "2100-03-01:00", "2100-03"),
        ] {
            let calendar = Calendar::new(offset);
            assert_eq!(calendar.day(at).to_string(), day);
            assert_eq!(calendar.hour(at).to_string(), hour);
            assert_eq!(calendar.month(at).to_string(), month);
        }
        assert_eq!(Calendar::new(0).day(u64::MAX).to_string(), "9999-12-29");
    }

    #[test]
    fn days_are_counted_over_months_and_years() {
        let day = Day::parse("2024-03-01").unwrap();
        assert_eq!(day.before(1).to_string(), "2024-02-29");
        assert_eq!(day.before(366).to_string(), "2023-03-01");
        assert_eq!(day.after(365).to_string(), "2025-03-01");
        assert_eq!(day.month().first_day(), day);
        for bad in [
            "",
            "2024-02-30",
            "2024-3-1",
            "24-03-01",
            "2024-03-01 ",
            "+2024-03-01",
        ] {
            assert_eq!(Day::parse(bad), None, "{bad}");
        }
    }

    /// Days since 1970 of a date, by Hinnant's arithmetic, to have a second opinion.
    fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }

    proptest! {
        #[test]
        fn every_moment_lies_in_its_day(at in 0..END, offset in -840..841_i32) {
            let calendar = Calendar::new(offset);
            let day = calendar.day(at);
            let label = day.to_string();
            let parts: Vec<i64> = label.split('-').map(|part| part.parse().unwrap()).collect();
            let local = at as i64 + i64::from(offset) * 60_000;
            prop_assert_eq!(days_from_civil(parts[0], parts[1], parts[2]), local.div_euclid(DAY as i64));
            prop_assert_eq!(Day::parse(&label), Some(day));
            prop_assert_eq!(calendar.hour(at).day(), day);
            prop_assert_eq!(calendar.month(at), day.month());
            let hour = format!("{}:{:02}", label, local.rem_euclid(DAY as i64) / HOUR as i64);
            prop_assert_eq!(&calendar.hour(at).to_string(), &hour);
            prop_assert_eq!(Hour::parse(&hour), Some(calendar.hour(at)));
            prop_assert_eq!(Month::parse(&day.month().to_string()), Some(day.month()));
            prop_assert!(calendar.start(day) <= at && at < calendar.start(day.after(1)));
            prop_assert!(day.before(1) < day && day.before(1).after(1) == day);
        }
    }
}
