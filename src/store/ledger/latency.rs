//! Reads durations and failures of calls: a few fields per day.

use std::collections::HashMap;

use super::Ledger;
use super::bucket::{Bucket, DETAILED, Scope, failure_metric, field};
use super::durations::{self, Times};
use super::read::numbers;
use super::span::Span;
use crate::port::clock::Millis;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

/// Maximum number of error codes, above the real number.
const CODES: u64 = 200;

/// Number of calls that ended with an error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// Our stable code, or the provider's.
    pub error: String,
    pub count: u64,
}

/// A value of one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfDay<T> {
    /// `2026-01-31`.
    pub label: String,
    pub value: T,
}

impl Ledger {
    /// Durations of a scope's calls; the scope is the total, a key, an account or a model. Only the total is kept
    /// for months and all time. For the others [`Range::All`](super::Range::All) covers the kept days.
    pub async fn times(
        &self,
        scope: Scope<'_>,
        span: impl Into<Span>,
        now: Millis,
    ) -> Result<Times, StoreError> {
        let span = span.into();
        let buckets = match scope {
            Scope::Total => self.buckets(span, now),
            _ => self.by_day(span, now),
        };
        let mut sum = Times::default();
        for times in self.times_of(scope, &buckets).await? {
            sum += times;
        }
        Ok(sum)
    }

    /// Like [`times`](Self::times), day by day, oldest first.
    pub async fn times_by_day(
        &self,
        scope: Scope<'_>,
        span: impl Into<Span>,
        now: Millis,
    ) -> Result<Vec<OfDay<Times>>, StoreError> {
        let buckets = self.oldest_first(span, now);
        let times = self.times_of(scope, &buckets).await?;
        Ok(of_days(&buckets, times))
    }

    async fn times_of(&self, scope: Scope<'_>, buckets: &[Bucket]) -> Result<Vec<Times>, StoreError> {
        let fields: Vec<String> = durations::metrics().map(|metric| field(&metric, scope)).collect();
        let asks = buckets.iter().map(|bucket| Command::HMGet {
            key: keys::ledger_sums(bucket),
            fields: fields.clone(),
        });
        let replies = self.store.run(asks.collect()).await?;
        Ok(replies
            .into_iter()
            .map(|reply| Times::read(numbers(reply)))
            .collect())
    }

    /// Error codes of a scope's calls, most frequent first. Scopes and ranges as in [`times`](Self::times).
    pub async fn failures(
        &self,
        scope: Scope<'_>,
        span: impl Into<Span>,
        now: Millis,
    ) -> Result<Vec<Failures>, StoreError> {
        let span = span.into();
        let buckets = match scope {
            Scope::Total => self.buckets(span, now),
            _ => self.by_day(span, now),
        };
        let counts = self.failures_of(scope, &buckets).await?;
        Ok(most_frequent(counts.into_iter().flatten()))
    }

    /// Like [`failures`](Self::failures), day by day, oldest first.
    pub async fn failures_by_day(
        &self,
        scope: Scope<'_>,
        span: impl Into<Span>,
        now: Millis,
    ) -> Result<Vec<OfDay<Vec<Failures>>>, StoreError> {
        let buckets = self.oldest_first(span, now);
        let counts = self.failures_of(scope, &buckets).await?;
        Ok(of_days(&buckets, counts.into_iter().map(most_frequent)))
    }

    /// Failures by code for each bucket. The codes are known from the total; a scope is asked for each of them.
    async fn failures_of(
        &self,
        scope: Scope<'_>,
        buckets: &[Bucket],
    ) -> Result<Vec<Vec<(String, u64)>>, StoreError> {
        let asks = buckets.iter().map(|bucket| Command::ZRangeByScore {
            key: keys::ledger_failures(bucket),
            min: f64::NEG_INFINITY,
            max: f64::INFINITY,
            rev: true,
            offset: 0,
            limit: CODES,
        });
        let all = self
            .store
            .run(asks.collect())
            .await?
            .into_iter()
            .map(|reply| match reply {
                Reply::Scored(codes) => codes
                    .into_iter()
                    .map(|(code, count)| (code, count as u64))
                    .collect(),
                _ => Vec::new(),
            });
        let mut all: Vec<Vec<(String, u64)>> = all.collect();
        if scope == Scope::Total {
            return Ok(all);
        }
        let with_codes = buckets.iter().zip(&all).filter(|(_, codes)| !codes.is_empty());
        let asks = with_codes.map(|(bucket, codes)| Command::HMGet {
            key: keys::ledger_sums(bucket),
            fields: codes
                .iter()
                .map(|(code, _)| field(&failure_metric(code), scope))
                .collect(),
        });
        let asks: Vec<Command> = asks.collect();
        if asks.is_empty() {
            return Ok(all);
        }
        let replies = self.store.run(asks).await?;
        for (codes, reply) in all.iter_mut().filter(|codes| !codes.is_empty()).zip(replies) {
            for ((_, count), own) in codes.iter_mut().zip(numbers(reply)) {
                *count = own;
            }
            codes.retain(|(_, count)| *count > 0);
        }
        Ok(all)
    }

    /// Whether all calls of these days have all sums of this version. Older versions did not write the sums of
    /// key and account pairs, failures by key, account and model, and durations by model.
    pub async fn is_complete(&self, span: impl Into<Span>, now: Millis) -> Result<bool, StoreError> {
        let asks = self.by_day(span, now).into_iter().map(|bucket| Command::HMGet {
            key: keys::ledger_sums(bucket),
            fields: ["requests", DETAILED]
                .map(|metric| field(metric, Scope::Total))
                .into(),
        });
        let replies = self.store.run(asks.collect()).await?;
        Ok(replies.into_iter().all(|reply| match numbers(reply).as_slice() {
            [requests, detailed] => requests == detailed,
            _ => false,
        }))
    }

    fn oldest_first(&self, span: impl Into<Span>, now: Millis) -> Vec<Bucket> {
        let mut buckets = self.by_day(span, now);
        buckets.reverse();
        buckets
    }
}

fn of_days<T>(buckets: &[Bucket], values: impl IntoIterator<Item = T>) -> Vec<OfDay<T>> {
    let days = buckets.iter().zip(values).map(|(bucket, value)| OfDay {
        label: bucket.label(),
        value,
    });
    days.collect()
}

fn most_frequent(counts: impl IntoIterator<Item = (String, u64)>) -> Vec<Failures> {
    let mut sums: HashMap<String, u64> = HashMap::new();
    for (error, count) in counts {
        *sums.entry(error).or_default() += count;
    }
    let failures = sums.into_iter().map(|(error, count)| Failures { error, count });
    let mut failures: Vec<Failures> = failures.collect();
    failures.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.error.cmp(&b.error)));
    failures
}
