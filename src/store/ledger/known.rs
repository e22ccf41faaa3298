//! Reads the figures of every key or account at once: for lists that are sorted or filtered by it.
//!
//! One command for each ranking, however many members it has; a list that asked member by member would send
//! thousands.

use std::collections::HashMap;

use super::{Kind, Ledger, Range, Span};
use crate::model::money::MicroUsd;
use crate::port::clock::Millis;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

/// Most members that are read of one ranking.
const MOST: u64 = 20_000;

impl Ledger {
    /// The cost of each member over each of these times, in one round trip. A member that is missing cost nothing.
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

    /// The cost of each of these today and in all, in the order asked: two commands for each.
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

    /// When each key or account was last used. Who is missing was not.
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
