//! A key's spending by the sums: its gate gets it when it begins, or has lost its state.

use crs_durable::gate::{Limits, SeedSpend};

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
        let week = self.week(limits.week_began(now), now);
        let days = self.days(limits.week_began(now), now);
        let cost = |bucket: Bucket| Command::HGet {
            key: keys::ledger_sums(bucket),
            field: bucket::field("cost", Scope::Key(key)),
        };
        let mut asks = vec![cost(Bucket::Day(self.calendar.day(now))), cost(Bucket::All)];
        asks.extend(week.iter().map(|bucket| cost(*bucket)));
        asks.extend(days.into_iter().map(|bucket| Command::ZRangeByScore {
            key: keys::ledger_rank(bucket, Kind::ModelsOf(key)),
            min: 0.0,
            max: f64::INFINITY,
            rev: true,
            offset: 0,
            limit: MODELS,
        }));
        let mut replies = self.store.run(asks).await?.into_iter();
        let (day, total) = (number(replies.next()), number(replies.next()));
        let week = (0..week.len()).map(|_| number(replies.next())).sum();
        let opus = replies.map(|reply| match reply {
            Reply::Scored(models) => models
                .iter()
                .filter(|(model, _)| is_opus(model))
                .map(|(_, cost)| *cost as u64)
                .sum(),
            _ => 0,
        });
        Ok(SeedSpend {
            day,
            week,
            week_opus: opus.sum(),
            total,
            as_of: now,
        })
    }

    /// The week's sums: hours of the day it began in, unless it began at midnight, and then whole days.
    fn week(&self, began: Millis, now: Millis) -> Vec<Bucket> {
        let first = self.calendar.day(began);
        if self.calendar.start(first) == began {
            return self.days(began, now);
        }
        let next = self.calendar.start(first.after(1)).min(now.saturating_add(1));
        let hours = (began..next).step_by(HOUR as usize);
        let mut week: Vec<Bucket> = hours.map(|at| Bucket::Hour(self.calendar.hour(at))).collect();
        if next <= now {
            week.extend(self.days(next, now));
        }
        week
    }

    /// The days from that moment's to this one's.
    fn days(&self, from: Millis, now: Millis) -> Vec<Bucket> {
        let (first, today) = (self.calendar.day(from), self.calendar.day(now));
        let days = (0..DAY_DAYS).map(|ago| today.before(ago));
        days.take_while(|day| *day >= first).map(Bucket::Day).collect()
    }
}

fn number(reply: Option<Reply>) -> u64 {
    match reply {
        Some(Reply::Value(Some(text))) => std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        _ => 0,
    }
}
