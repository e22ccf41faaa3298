//! Reads sums of a period in two round trips, whatever its length.

use std::collections::HashMap;

use super::Ledger;
use super::bucket::{Bucket, Kind, METRICS, Scope, field, totals};
use super::span::{Range, Span};
use crate::model::usage::Totals;
use crate::port::clock::Millis;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

/// Number of members read from each day's ranking. If more keys were used on a day, a ranking over several days
/// may miss some that are small on every day.
pub(super) const RANKED: u64 = 500;

/// The usage of a period, with its rankings.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub totals: Totals,
    /// Most expensive first.
    pub keys: Vec<Ranked>,
    pub accounts: Vec<Ranked>,
    pub models: Vec<Ranked>,
}

/// A key or account by its id, or a model by its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    pub id: String,
    pub totals: Totals,
}

impl Ledger {
    /// The sums of a period, with at most `top` members of each ranking.
    pub async fn summary(
        &self,
        span: impl Into<Span>,
        top: usize,
        now: Millis,
    ) -> Result<Summary, StoreError> {
        let buckets = self.buckets(span, now);
        let kinds = [Kind::Keys, Kind::Accounts, Kind::Models];
        let names = self.dearest(&kinds, &buckets, top).await?;
        let scopes = std::iter::once(Scope::Total).chain(
            kinds
                .iter()
                .zip(&names)
                .flat_map(|(kind, names)| names.iter().map(|name| kind.scope(name))),
        );
        let scopes: Vec<Scope<'_>> = scopes.collect();
        let mut sums = self.sums(&scopes, &buckets).await?.into_iter();
        let totals = sums.next().unwrap_or_default();
        let [keys, accounts, models] = names.map(|names| ranked(names, &mut sums));
        Ok(Summary {
            totals,
            keys,
            accounts,
            models,
        })
    }

    /// The members of one ranking with their sums, most expensive first. The models of a key are not summed by
    /// month, so [`Range::Month`] reads the month's days. The keys of an account and the accounts of a key are
    /// summed by day only, so [`Range::All`] covers the kept days.
    pub async fn ranking(
        &self,
        kind: Kind<'_>,
        span: impl Into<Span>,
        top: usize,
        now: Millis,
    ) -> Result<Vec<Ranked>, StoreError> {
        let span = span.into();
        let by_day =
            kind.by_day_only() || matches!((kind, span), (Kind::ModelsOf(_), Span::Named(Range::Month)));
        let buckets = if by_day {
            self.by_day(span, now)
        } else {
            self.buckets(span, now)
        };
        let [names] = self.dearest(&[kind], &buckets, top).await?;
        let scopes: Vec<Scope<'_>> = names.iter().map(|name| kind.scope(name)).collect();
        let mut sums = self.sums(&scopes, &buckets).await?.into_iter();
        Ok(ranked(names.clone(), &mut sums))
    }

    /// The sum of each scope over a period, in the same order.
    pub async fn totals(
        &self,
        scopes: &[Scope<'_>],
        span: impl Into<Span>,
        now: Millis,
    ) -> Result<Vec<Totals>, StoreError> {
        self.sums(scopes, &self.buckets(span, now)).await
    }

    /// The last use of each of these keys or accounts, in the same order. It is set by the batch written last:
    /// after batches out of order it may be slightly too early until the next call. `kind`: [`Kind::Keys`] or
    /// [`Kind::Accounts`]; empty for others.
    pub async fn last_used(&self, kind: Kind<'_>, ids: &[&str]) -> Result<Vec<Option<Millis>>, StoreError> {
        let key = keys::ledger_last_used(&kind.to_string());
        let asks = ids.iter().map(|id| Command::ZScore {
            key: key.clone(),
            member: (*id).to_owned(),
        });
        let replies = self.store.run(asks.collect()).await?;
        Ok(replies
            .into_iter()
            .map(|reply| match reply {
                Reply::Score(Some(at)) => Some(at as Millis),
                _ => None,
            })
            .collect())
    }

    /// The `top` most expensive members of each ranking over all `buckets`.
    pub(super) async fn dearest<const N: usize>(
        &self,
        kinds: &[Kind<'_>; N],
        buckets: &[Bucket],
        top: usize,
    ) -> Result<[Vec<String>; N], StoreError> {
        let limit = if buckets.len() == 1 {
            top as u64
        } else {
            RANKED.max(top as u64)
        };
        let asks = kinds.iter().flat_map(|kind| {
            buckets.iter().map(move |bucket| Command::ZRangeByScore {
                key: keys::ledger_rank(bucket, kind),
                min: f64::NEG_INFINITY,
                max: f64::INFINITY,
                rev: true,
                offset: 0,
                limit,
            })
        });
        let replies = self.store.run(asks.collect()).await?;
        let rankings: Vec<Vec<(String, f64)>> = replies.into_iter().map(members).collect();
        let mut of_kinds = rankings.chunks(buckets.len().max(1));
        Ok(kinds.map(|_| {
            let rankings = of_kinds.next().unwrap_or_default();
            let names = dearest_of(rankings, top).into_iter();
            names.map(str::to_owned).collect()
        }))
    }

    /// The sum of each scope over `buckets`: one command for each bucket.
    pub(super) async fn sums(
        &self,
        scopes: &[Scope<'_>],
        buckets: &[Bucket],
    ) -> Result<Vec<Totals>, StoreError> {
        let mut sums = vec![Totals::default(); scopes.len()];
        if scopes.is_empty() {
            return Ok(sums);
        }
        let asks = buckets.iter().map(|bucket| figures_of(*bucket, scopes)).collect();
        for reply in self.store.run(asks).await? {
            for (sum, part) in sums.iter_mut().zip(read(reply)) {
                *sum += part;
            }
        }
        Ok(sums)
    }
}

/// The members of one ranking with their costs.
pub(super) fn members(reply: Reply) -> Vec<(String, f64)> {
    match reply {
        Reply::Scored(members) => members,
        _ => Vec::new(),
    }
}

/// The `top` most expensive members over all of these rankings.
pub(super) fn dearest_of(rankings: &[Vec<(String, f64)>], top: usize) -> Vec<&str> {
    let mut costs: HashMap<&str, f64> = HashMap::new();
    for (member, cost) in rankings.iter().flatten() {
        *costs.entry(member).or_default() += cost;
    }
    let mut ranking: Vec<(&str, f64)> = costs.into_iter().collect();
    ranking.sort_by(|(a, cost_a), (b, cost_b)| cost_b.total_cmp(cost_a).then_with(|| a.cmp(b)));
    ranking.truncate(top);
    ranking.into_iter().map(|(member, _)| member).collect()
}

fn ranked(names: Vec<String>, sums: &mut impl Iterator<Item = Totals>) -> Vec<Ranked> {
    names
        .into_iter()
        .zip(sums)
        .map(|(id, totals)| Ranked { id, totals })
        .collect()
}

pub(super) fn figures_of(bucket: Bucket, scopes: &[Scope<'_>]) -> Command {
    let fields = scopes
        .iter()
        .flat_map(|scope| METRICS.map(|metric| field(metric, *scope)));
    Command::HMGet {
        key: keys::ledger_sums(bucket),
        fields: fields.collect(),
    }
}

/// The sums in an answer to [`figures_of`]. Missing or invalid figures count as 0.
pub(super) fn read(reply: Reply) -> impl Iterator<Item = Totals> {
    let figures = numbers(reply);
    let count = figures.len() / METRICS.len();
    let mut figures = figures.into_iter();
    (0..count).map(move |_| totals(figures.by_ref().take(METRICS.len())))
}

/// The figures in an answer, in the same order. Missing or invalid figures count as 0.
pub(super) fn numbers(reply: Reply) -> Vec<u64> {
    let Reply::Values(values) = reply else {
        return Vec::new();
    };
    let number = |value: bytes::Bytes| std::str::from_utf8(&value).ok()?.parse().ok();
    values
        .into_iter()
        .map(|value| value.and_then(number).unwrap_or_default())
        .collect()
}
