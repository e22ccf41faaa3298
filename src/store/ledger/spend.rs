//! A key's spending from the sums, for a gate that starts or has lost its state.

use crs_durable::gate::money::Row;
use crs_durable::gate::{Limits, PerLimit, SeedSpend, Span};

use super::bucket::{self, Bucket, Kind, Scope};
use super::{DAY_DAYS, Ledger};
use crate::model::calendar::HOUR;
use crate::model::name::is_opus;
use crate::port::clock::Millis;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

/// Maximum number of models read per key and day.
const MODELS: u64 = 200;

impl Ledger {
    /// One round trip. The cost of Opus models is known by day only: the day on which the week began counts
    /// fully, so the limit may be reached early but never late.
    pub async fn spent(&self, key: &str, limits: &Limits, now: Millis) -> Result<SeedSpend, StoreError> {
        let mut commands = Vec::new();
        let counts = PerLimit::of(|limit| {
            let began = limits.span(limit, now).map(|(began, _)| began);
            let before = commands.len();
            commands.extend(self.spend_commands(key, limit.row(), began, now));
            commands.len() - before
        });
        let mut replies = self.store.run(commands).await?.into_iter();
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

    /// The commands that read how much of a limit was spent. `began`: the start of its period; `None`: all time.
    fn spend_commands(&self, key: &str, row: &Row, began: Option<Millis>, now: Millis) -> Vec<Command> {
        let buckets = match (row.span, began) {
            (_, None) => vec![Bucket::All],
            (_, Some(began)) if row.opus_only => self.days(began, now),
            (Span::Month, Some(_)) => vec![Bucket::Month(self.calendar.month(now))],
            (_, Some(began)) => self.since(began, now),
        };
        let commands = buckets.into_iter().map(|bucket| {
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
        commands.collect()
    }

    /// The buckets since then: the hours of the first day, unless it began at midnight, then whole days.
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

    /// The days from one time to the other.
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
