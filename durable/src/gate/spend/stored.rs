//! The persisted form of a key's usage.

use serde::Deserialize;

use super::{Period, Spend, Window};
use crate::Millis;
use crate::gate::money::{MoneyLimit, PerLimit};

/// Reads the state of every version. Versions without `sums` had four limits, kept each sum in a field of its own,
/// and knew the earlier spending of all four or of none.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct StoredSpend {
    known: PerLimit<bool>,
    window: Option<Window>,
    windows: u64,
    day: StoredPeriod,
    week: StoredPeriod,
    month: StoredPeriod,
    sums: Option<PerLimit<u64>>,

    seeded: bool,
    week_opus: u64,
    total: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StoredPeriod {
    round: u64,
    start: Millis,
    end: Millis,
    /// Of versions without `sums`.
    spent: u64,
}

impl From<StoredSpend> for Spend {
    fn from(stored: StoredSpend) -> Self {
        let period = |StoredPeriod {
                          round, start, end, ..
                      }| Period { round, start, end };
        let old = [
            (MoneyLimit::Day, stored.day.spent),
            (MoneyLimit::Week, stored.week.spent),
            (MoneyLimit::WeekOpus, stored.week_opus),
            (MoneyLimit::Total, stored.total),
        ];
        let (known, sums) = match stored.sums {
            Some(sums) => (stored.known, sums),
            None => (
                PerLimit::these(old.map(|(limit, _)| (limit, stored.seeded))),
                PerLimit::these(old),
            ),
        };
        Self {
            known,
            window: stored.window,
            windows: stored.windows,
            day: period(stored.day),
            week: period(stored.week),
            month: period(stored.month),
            sums,
        }
    }
}
