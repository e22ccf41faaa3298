//! Spans of time, and the buckets that cover them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::bucket::Bucket;
use super::{DAY_DAYS, HOUR_DAYS, Ledger, MONTH_MONTHS};
use crate::model::calendar::{self, Day};
use crate::port::clock::Millis;

/// A span up to now, in the operator's days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Range {
    #[serde(rename = "today")]
    Today,
    /// Today and the six days before.
    #[serde(rename = "7days")]
    Days7,
    /// Today and the 29 days before.
    #[serde(rename = "30days")]
    Days30,
    /// This calendar month.
    #[serde(rename = "month")]
    Month,
    #[serde(rename = "all")]
    All,
}

/// A named range, or any of the last [`DAY_DAYS`] days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    Named(Range),
    /// Both included; `first` is not after `last`.
    Days {
        first: Day,
        last: Day,
    },
}

/// Length of a point of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Hour,
    Day,
    Month,
}

/// The points of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last points including the current one, as far as they are kept.
    Last(u32),
    /// The points of these days, both included; for months, the months of these days.
    Days { first: Day, last: Day },
}

impl FromStr for Range {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Ok(match name {
            "today" => Self::Today,
            "7days" => Self::Days7,
            "30days" => Self::Days30,
            "month" => Self::Month,
            "all" => Self::All,
            _ => return Err(()),
        })
    }
}

impl From<Range> for Span {
    fn from(range: Range) -> Self {
        Self::Named(range)
    }
}

/// The days from `last` down to `first`, at most [`DAY_DAYS`].
fn back(first: Day, last: Day) -> impl Iterator<Item = Day> {
    let days = (0..DAY_DAYS).map(move |back| last.before(back));
    days.take_while(move |day| *day >= first)
}

/// The number of days, both included.
fn length(first: Day, last: Day) -> u32 {
    back(first, last).count() as u32
}

impl Ledger {
    /// The first and last day of a span; `None` for [`Range::All`].
    pub fn days_of(&self, span: impl Into<Span>, now: Millis) -> Option<(Day, Day)> {
        let today = self.calendar.day(now);
        Some(match span.into() {
            Span::Days { first, last } => (first, last),
            Span::Named(Range::Today) => (today, today),
            Span::Named(Range::Days7) => (today.before(6), today),
            Span::Named(Range::Days30) => (today.before(29), today),
            Span::Named(Range::Month) => (today.month().first_day(), today),
            Span::Named(Range::All) => return None,
        })
    }

    /// The preceding days of the same length, or the preceding calendar month. `None` if they are no longer kept,
    /// and for [`Range::All`].
    pub fn days_before(&self, span: Span, now: Millis) -> Option<(Day, Day)> {
        let (first, last) = self.days_of(span, now)?;
        let before = first.before(1);
        let from = match span {
            Span::Named(Range::Month) => before.month().first_day(),
            _ => first.before(length(first, last)),
        };
        (from >= self.first_day_kept(now)).then_some((from, before))
    }

    /// The first day that still has its own sums.
    pub fn first_day_kept(&self, now: Millis) -> Day {
        self.calendar.day(now).before(DAY_DAYS - 1)
    }

    /// The fewest buckets that cover a span, newest first.
    pub(super) fn buckets(&self, span: impl Into<Span>, now: Millis) -> Vec<Bucket> {
        match span.into() {
            Span::Named(Range::Month) => vec![Bucket::Month(self.calendar.day(now).month())],
            Span::Named(Range::All) => vec![Bucket::All],
            span => self.by_day(span, now),
        }
    }

    /// The days of a span, newest first, for data summed by day only. [`Range::All`] covers the kept days.
    pub(super) fn by_day(&self, span: impl Into<Span>, now: Millis) -> Vec<Bucket> {
        let kept = || (self.first_day_kept(now), self.calendar.day(now));
        let (first, last) = self.days_of(span, now).unwrap_or_else(kept);
        back(first, last).map(Bucket::Day).collect()
    }

    /// The buckets of a series, oldest first.
    pub(super) fn steps(&self, unit: Unit, window: Window, now: Millis) -> Vec<Bucket> {
        let today = self.calendar.day(now);
        let hours_until = |at: Millis, count: u32| {
            let hours = (0..count).map(move |back| at.saturating_sub(u64::from(back) * calendar::HOUR));
            hours.map(|at| Bucket::Hour(self.calendar.hour(at))).collect()
        };
        let months = |last: Day| {
            std::iter::successors(Some(last.month()), |month| {
                Some(month.first_day().before(1).month())
            })
        };
        let mut buckets: Vec<Bucket> = match (unit, window) {
            (Unit::Hour, Window::Last(count)) => hours_until(now, count.min(24 * HOUR_DAYS)),
            (Unit::Hour, Window::Days { first, last }) => {
                let end = self.calendar.start(last.after(1)).saturating_sub(1);
                hours_until(end, 24 * length(first, last).min(HOUR_DAYS))
            }
            (Unit::Day, Window::Last(count)) => (0..count.min(DAY_DAYS))
                .map(|back| Bucket::Day(today.before(back)))
                .collect(),
            (Unit::Day, Window::Days { first, last }) => back(first, last).map(Bucket::Day).collect(),
            (Unit::Month, Window::Last(count)) => months(today)
                .take(count.min(MONTH_MONTHS) as usize)
                .map(Bucket::Month)
                .collect(),
            (Unit::Month, Window::Days { first, last }) => months(last)
                .take(MONTH_MONTHS as usize)
                .take_while(|month| *month >= first.month())
                .map(Bucket::Month)
                .collect(),
        };
        buckets.reverse();
        buckets
    }
}
