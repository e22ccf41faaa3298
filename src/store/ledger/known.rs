//! Reads figures of all keys or accounts at once, for lists that are sorted or filtered by them.
//!
//! One command per ranking, however many members it has, instead of one per member.

use std::collections::HashMap;

use super::{Kind, Ledger, Range, Span};
use crate::model::money::MicroUsd;
use crate::port::clock::Millis;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

/// Maximum number of members read from one ranking.
const MOST: u64 = 20_000;

impl Ledger {
    /// The cost of each member in each of these periods; one round trip. A missing member had no cost.
    pub async fn costs(
        &self,
        kind: Kind<'_>,
        spans: &[Span],
        now: Millis,
    ) -> Result<Vec<HashMap<String, MicroUsd>>, StoreError> {
        let buckets: Vec<_> = spans.iter().map(|span| self.buckets(*span, now)).collect();
        let asks = buckets
            .iter()
            .flatten()
            .map(|bucket| all_of(keys::ledger_rank(bucket, kind)))
            .collect();
        let mut replies = self.store.run(asks).await?.into_iter();
        let sums = buckets.iter().map(|buckets| {
            let mut costs: HashMap<String, MicroUsd> = HashMap::new();
            for (member, cost) in replies.by_ref().take(buckets.len()).flat_map(scored) {
                let sum = costs.entry(member).or_default();
                *sum = sum.saturating_add(MicroUsd(cost as u64));
            }
            costs
        });
        Ok(sums.collect())
    }

    /// The cost of each of these today and in total, in the same order; two commands each.
    pub async fn costs_of(
        &self,
        kind: Kind<'_>,
        ids: &[&str],
        now: Millis,
    ) -> Result<Vec<(MicroUsd, MicroUsd)>, StoreError> {
        let ranks = [Range::Today, Range::All].map(|range| {
            let bucket = self.buckets(range, now).into_iter().next();
            bucket.map(|bucket| keys::ledger_rank(bucket, kind))
        });
        let asks = ids.iter().flat_map(|id| {
            ranks.iter().flatten().map(|key| Command::ZScore {
                key: key.clone(),
                member: (*id).to_owned(),
            })
        });
        let mut replies = self.store.run(asks.collect()).await?.into_iter();
        let mut cost = || match replies.next() {
            Some(Reply::Score(Some(cost))) => MicroUsd(cost as u64),
            _ => MicroUsd::ZERO,
        };
        Ok(ids.iter().map(|_| (cost(), cost())).collect())
    }

    /// The last use of each key or account. Missing ones were never used.
    pub async fn last_uses(&self, kind: Kind<'_>) -> Result<HashMap<String, Millis>, StoreError> {
        let ask = all_of(keys::ledger_last_used(&kind.to_string()));
        let replies = self.store.run(vec![ask]).await?;
        let uses = replies.into_iter().flat_map(scored);
        Ok(uses.map(|(member, at)| (member, at as Millis)).collect())
    }
}

fn all_of(key: String) -> Command {
    Command::ZRangeByScore {
        key,
        min: f64::NEG_INFINITY,
        max: f64::INFINITY,
        rev: true,
        offset: 0,
        limit: MOST,
    }
}

fn scored(reply: Reply) -> Vec<(String, f64)> {
    match reply {
        Reply::Scored(members) => members,
        _ => Vec::new(),
    }
}
