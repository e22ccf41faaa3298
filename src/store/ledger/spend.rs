//! A key's spending by the sums: its gate gets it when it begins, or has lost its state.

use crs_durable::gate::money::Row;
use crs_durable::gate::{Limits, PerLimit, SeedSpend, Span};

use super::bucket::{self, Bucket, Kind, Scope};
use super::{DAY_DAYS, Ledger};
use crate::model::calendar::HOUR;
use crate::model::name::is_opus;
use crate::port::clock::Millis;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

/// More models than a key uses in a day.
const MODELS: u64 = 200;

impl Ledger {
    /// One round trip. What models of the Opus class cost is known by the day only: of the day in which the
    /// week began all of it counts, so that the limit may be reached early, and never late.
    pub async fn spent(&self, key: &str, limits: &Limits, now: Millis) -> Result<SeedSpend, StoreError> {
        let mut asks = Vec::new();
        let counts = PerLimit::of(|limit| {
            let began = limits.span(limit, now).map(|(began, _)| began);
            let before = asks.len();
            asks.extend(self.asks(key, limit.row(), began, now));
            asks.len() - before
        });
        let mut replies = self.store.run(asks).await?.into_iter();
        let spent = counts.map(|limit, count| {
            let replies = replies.by_ref().take(*count);
            if limit.row().opus_only {
                replies.map(of_opus).fold(0, u64::saturating_add)
            } else {
                replies.map(number).fold(0, u64::saturating_add)
            }
        });
        Ok(SeedSpend { spent, as_of: now })
    }

    /// What says how much of a limit was spent. `began`: its span; `None`: it is of all time.
    fn asks(&self, key: &str, row: &Row, began: Option<Millis>, now: Millis) -> Vec<Command> {
        let buckets = match (row.span, began) {
            (_, None) => vec![Bucket::All],
            (_, Some(began)) if row.opus_only => self.days(began, now),
            (Span::Month, Some(_)) => vec![Bucket::Month(self.calendar.month(now))],
            (_, Some(began)) => self.since(began, now),
        };
        let asks = buckets.into_iter().map(|bucket| {
            if row.opus_only {
                Command::ZRangeByScore {
                    key: keys::ledger_rank(bucket, Kind::ModelsOf(key)),
                    min: 0.0,
                    max: f64::INFINITY,
                    rev: true,
                    offset: 0,
                    limit: MODELS,
                }
            } else {
                Command::HGet {
                    key: keys::ledger_sums(bucket),
                    field: bucket::field("cost", Scope::Key(key)),
                }
            }
        });
        asks.collect()
    }

    /// The sums since then: hours of the day it was in, unless it was midnight, and then whole days.
    fn since(&self, began: Millis, now: Millis) -> Vec<Bucket> {
        let first = self.calendar.day(began);
        if self.calendar.start(first) == began {
            return self.days(began, now);
        }
        let next = self.calendar.start(first.after(1)).min(now.saturating_add(1));
        let hours = (began..next).step_by(HOUR as usize);
        let mut since: Vec<Bucket> = hours.map(|at| Bucket::Hour(self.calendar.hour(at))).collect();
        if next <= now {
            since.extend(self.days(next, now));
        }
        since
    }

    /// The days from that moment's to this one's.
    fn days(&self, from: Millis, now: Millis) -> Vec<Bucket> {
        let (first, today) = (self.calendar.day(from), self.calendar.day(now));
        let days = (0..DAY_DAYS).map(|ago| today.before(ago));
        days.take_while(|day| *day >= first).map(Bucket::Day).collect()
    }
}

fn number(reply: Reply) -> u64 {
    match reply {
        Reply::Value(Some(text)) => std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        _ => 0,
    }
}

fn of_opus(reply: Reply) -> u64 {
    match reply {
        Reply::Scored(models) => models
            .iter()
            .filter(|(model, _)| is_opus(model))
            .map(|(_, cost)| *cost as u64)
            .fold(0, u64::saturating_add),
        _ => 0,
    }
}
