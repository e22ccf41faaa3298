//! The usage of calls: one event per call that reached a provider, and sums of the events.
//!
//! A batch of events is one atomic step of the store and is counted once however often it is sent, because its
//! marker is written with it. The increments of a batch are added up in memory first, so that many events of few
//! keys and models need few commands. Nothing here scans the store's keys: rankings list who spent in a period,
//! and the sums of a period are fields of one hash.
//!
//! | data | scope | period | retention |
//! | --- | --- | --- | --- |
//! | events | each call | day | `requestLogDays` |
//! | sums | all, key, account, model | hour | [`HOUR_DAYS`] |
//! | sums, model of a key, account of a key | the same | day | [`DAY_DAYS`] |
//! | sums | the same | month | [`MONTH_MONTHS`] |
//! | sums, and model of a key | the same | all time | unlimited |
//! | durations ([`Times`](durations::Times)) of all; of keys, accounts and models by day | each call | hour, day, month, all | like the sums |
//! | failures by code, of all; of keys, accounts and models by day | failed calls | day, month, all | like the sums |
//! | rankings by cost | keys, accounts, models, models of a key, keys of an account, accounts of a key | like the sums, from days on | like the sums |
//!
//! The figure `detailed` counts the calls whose data includes the sums added by later versions, so that a day
//! without them is reported as incomplete and not as wrong.
//!
//! Days are in the operator's time zone ([`Calendar`]).

mod append;
mod bucket;
mod durations;
mod imported;
mod known;
mod latency;
mod models_of;
mod of_gate;
mod read;
mod record;
mod requests;
mod series;
mod span;
mod spend;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use crate::model::calendar::Calendar;
use crate::port::clock::Millis;
use crate::port::store::{Command, Store, StoreError};
use crate::store::keys;

pub use self::append::UNSERVED;
pub use self::bucket::{Bucket, Kind, Scope};
pub use self::durations::{Percentiles, WIDEST};
pub use self::imported::{IMPORTED, ImportedSum};
pub use self::latency::Failures;
pub use self::read::Ranked;
pub use self::requests::{Cursor, Filter};
pub use self::series::Group;
pub use self::span::{Range, Span, Unit, Window};
pub use self::verify::Difference;

/// Retention of sums by hour, days.
pub const HOUR_DAYS: u32 = 8;
/// Retention of sums by day, days.
pub const DAY_DAYS: u32 = 100;
/// Retention of sums by month, months.
pub const MONTH_MONTHS: u32 = 36;
/// Retention of events unless the operator sets it, days.
pub const REQUEST_LOG_DAYS: u32 = 30;

#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn Store>,
    calendar: Calendar,
    request_log_days: u32,
}

impl Ledger {
    /// `utc_offset_minutes`: the operator's offset from UTC.
    pub fn new(store: Arc<dyn Store>, utc_offset_minutes: i32) -> Self {
        Self {
            store,
            calendar: Calendar::new(utc_offset_minutes),
            request_log_days: REQUEST_LOG_DAYS,
        }
    }

    /// Sets the retention of events, at least one day and at most that of sums by day.
    pub fn with_request_log_days(self, days: u32) -> Self {
        Self {
            request_log_days: days.clamp(1, DAY_DAYS),
            ..self
        }
    }

    /// Deletes call records older than `requestLogDays`. They expire by themselves, but those written under a
    /// longer setting expire too late. Costs one command per possible day; run it once a day.
    pub async fn forget(&self, now: Millis) -> Result<(), StoreError> {
        let today = self.calendar.day(now);
        let days = (self.request_log_days + 1..=DAY_DAYS + 1).map(|ago| today.before(ago));
        let old = days.flat_map(|day| [keys::ledger_requests(day), keys::ledger_requests_index(day)]);
        let batch: Vec<Command> = old.map(|key| Command::Del { key }).collect();
        self.store.run(batch).await.map(|_| ())
    }

    /// Retention of events, days.
    pub fn request_log_days(&self) -> u32 {
        self.request_log_days
    }

    pub fn calendar(&self) -> Calendar {
        self.calendar
    }
}
