//! Reading how long calls took and what went wrong: a few fields for each day asked.

use std::collections::HashMap;

use super::bucket::{Bucket, Scope, field};
use super::read::Range;
use super::spread::{self, Times};
use super::{DAY_DAYS, Ledger};
use crate::port::clock::Millis;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

/// More error codes than there are.
const CODES: u64 = 200;

/// How often calls ended with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// The stable code, or the provider's word for it.
    pub error: String,
    pub count: u64,
}

impl Ledger {
    /// How long the calls of a scope took; of all, a key or an account. Of one key or account it is kept by
    /// day only: [`Range::All`] is the last [`DAY_DAYS`] days then.
    pub async fn times(&self, scope: Scope<'_>, range: Range, now: Millis) -> Result<Times, StoreError> {
        let buckets = match (scope, range) {
            (Scope::Total, _) => self.buckets(range, now),
            (_, Range::Month) => self.days_of_month(now),
            (_, Range::All) => {
                let today = self.calendar.day(now);
                (0..DAY_DAYS)
                    .map(|back| Bucket::Day(today.before(back)))
                    .collect()
            }
            _ => self.buckets(range, now),
        };
        let fields: Vec<String> = spread::metrics().map(|metric| field(&metric, scope)).collect();
        let asks = buckets.into_iter().map(|bucket| Command::HMGet {
            key: keys::ledger_sums(bucket),
            fields: fields.clone(),
        });
        let mut times = Times::default();
        for reply in self.store.run(asks.collect()).await? {
            times += Times::read(super::read::numbers(reply));
        }
        Ok(times)
    }

    /// What calls failed with, the most frequent first.
    pub async fn failures(&self, range: Range, now: Millis) -> Result<Vec<Failures>, StoreError> {
        let asks = self
            .buckets(range, now)
            .into_iter()
            .map(|bucket| Command::ZRangeByScore {
                key: keys::ledger_failures(bucket),
                min: f64::NEG_INFINITY,
                max: f64::INFINITY,
                rev: true,
                offset: 0,
                limit: CODES,
            });
        let mut counts: HashMap<String, u64> = HashMap::new();
        for reply in self.store.run(asks.collect()).await? {
            let Reply::Scored(members) = reply else { continue };
            for (error, count) in members {
                *counts.entry(error).or_default() += count as u64;
            }
        }
        let failures = counts.into_iter().map(|(error, count)| Failures { error, count });
        let mut failures: Vec<Failures> = failures.collect();
        failures.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.error.cmp(&b.error)));
        Ok(failures)
    }
}
