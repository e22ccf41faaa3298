//! The usage of calls: one event per call that reached a provider, and sums of them.
//!
//! A batch of events is one atomic step of the store, and it counts once however often it is sent: its
//! marker is written with it. What a batch adds to the sums is added up in memory first, so that many
//! events of few keys and models make few commands. Nothing here ever walks the store's keys: who spent
//! in a time is listed in rankings, and sums of a time are fields of one hash.
//!
//! | what | of | by | kept |
//! | --- | --- | --- | --- |
//! | events | each call | day | `requestLogDays` |
//! | sums | all, key, account, model | hour | [`HOUR_DAYS`] |
//! | sums, model of a key, account of a key | the same | day | [`DAY_DAYS`] |
//! | sums | the same | month | [`MONTH_MONTHS`] |
//! | sums, and model of a key | the same | all time | for good |
//! | times ([`Times`](spread::Times)) of all; of keys, accounts and models by day | each call | hour, day, month, all | as their sums |
//! | failures by code, of all; of keys, accounts and models by day | failed calls | day, month, all | as their sums |
//! | rankings by cost | keys, accounts, models, models of a key, keys of an account, accounts of a key | as their sums, from days on | as their sums |
//!
//! Sums that earlier versions did not keep are counted by a figure of their own (`detailed`), so that a day of which
//! they are missing reads as incomplete and not as wrong.
//!
//! Days are the operator's ([`Calendar`]).

mod append;
mod bucket;
mod imported;
mod known;
mod latency;
mod models_of;
mod read;
mod requests;
mod series;
mod span;
mod spend;
mod spread;
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
pub use self::imported::{IMPORTED, ImportedSum};
pub use self::latency::Failures;
pub use self::read::Ranked;
pub use self::requests::{Cursor, Filter};
pub use self::series::Group;
pub use self::span::{Range, Span, Unit, Window};
pub use self::spread::{Percentiles, WIDEST};
pub use self::verify::Difference;

/// Days that sums by hour are kept.
pub const HOUR_DAYS: u32 = 8;
/// Days that sums by day are kept.
pub const DAY_DAYS: u32 = 100;
/// Months that sums by month are kept.
pub const MONTH_MONTHS: u32 = 36;
/// Days that events are kept, unless the operator sets it.
pub const REQUEST_LOG_DAYS: u32 = 30;

#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn Store>,
    calendar: Calendar,
    request_log_days: u32,
}

impl Ledger {
    /// `utc_offset_minutes`: what the operator's clocks are ahead of UTC.
    pub fn new(store: Arc<dyn Store>, utc_offset_minutes: i32) -> Self {
        Self {
            store,
            calendar: Calendar::new(utc_offset_minutes),
            request_log_days: REQUEST_LOG_DAYS,
        }
    }

    /// Keeps events this long from now on, at least a day and at most as long as sums by day.
    pub fn with_request_log_days(self, days: u32) -> Self {
        Self {
            request_log_days: days.clamp(1, DAY_DAYS),
            ..self
        }
    }

    /// Removes the records of single calls that are older than `requestLogDays`. They end by themselves, but
    /// those that were written while it was longer end later than it says now. One command a day that may
    /// still be there; run it once a day.
    pub async fn forget(&self, now: Millis) -> Result<(), StoreError> {
        let today = self.calendar.day(now);
        let days = (self.request_log_days + 1..=DAY_DAYS + 1).map(|ago| today.before(ago));
        let old = days.flat_map(|day| [keys::ledger_requests(day), keys::ledger_requests_index(day)]);
        let batch: Vec<Command> = old.map(|key| Command::Del { key }).collect();
        self.store.run(batch).await.map(|_| ())
    }

    /// Days that events are kept.
    pub fn request_log_days(&self) -> u32 {
        self.request_log_days
    }

    pub fn calendar(&self) -> Calendar {
        self.calendar
    }
}
