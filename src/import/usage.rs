//! Converts CRS's counters to sums of the ledger, and its records to calls.
//!
//! CRS keeps the cost of a key by hour, day, month and in total, which its limits count; these are copied. For
//! models it keeps tokens, and costs only in later versions; for accounts only tokens. Missing costs are computed
//! with the price table and marked as estimated; those of a key's models are scaled to the key's spending.

use std::collections::BTreeMap;

use super::source::{Counts, RawUsage, UsageRow};
use crate::model::account::Platform;
use crate::model::money::MicroUsd;
use crate::model::price::{PriceBook, Terms};
use crate::model::usage::{LedgerEvent, Quality, Tokens, Totals};
use crate::store::imports::digest;
use crate::store::ledger::{Bucket, IMPORTED, ImportedSum, Scope};

/// One key's usage in one period.
#[derive(Clone, Debug, Default)]
struct Span {
    counts: Counts,
    cost: Option<MicroUsd>,
    /// By model: counts, and the cost if CRS kept it.
    models: BTreeMap<String, (Counts, Option<MicroUsd>)>,
}

/// A sum, owned.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    pub bucket: Bucket,
    pub of: Of,
    pub totals: Totals,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    Total,
    Key(String),
    Account(String),
    Model(String),
    KeyModel(String, String),
}

impl Sum {
    pub fn as_imported(&self) -> ImportedSum<'_> {
        ImportedSum {
            bucket: self.bucket,
            scope: match &self.of {
                Of::Total => Scope::Total,
                Of::Key(id) => Scope::Key(id),
                Of::Account(id) => Scope::Account(id),
                Of::Model(name) => Scope::Model(name),
                Of::KeyModel(id, name) => Scope::KeyModel(id, name),
            },
            totals: self.totals,
        }
    }
}

/// The sums of all keys, by time and by model.
#[derive(Debug, Default)]
pub struct Everything(BTreeMap<(Bucket, Option<String>), Totals>);

impl Everything {
    pub fn sums(&self) -> impl Iterator<Item = Sum> {
        self.0.iter().map(|((bucket, model), totals)| Sum {
            bucket: *bucket,
            of: model.clone().map_or(Of::Total, Of::Model),
            totals: *totals,
        })
    }

    fn add(&mut self, bucket: Bucket, model: Option<&str>, totals: Totals) {
        *self.0.entry((bucket, model.map(str::to_owned))).or_default() += totals;
    }
}

/// The sums of a key; they are also added to `all`.
pub fn of_key(id: &str, rows: &[UsageRow], prices: &PriceBook, all: &mut Everything) -> Vec<Sum> {
    let mut spans = spans(rows);
    all_time_models(&mut spans);
    let mut sums = Vec::new();
    for (bucket, span) in &spans {
        let models = model_totals(*bucket, span, prices);
        let by_models = models.iter().map(|(_, totals)| totals.cost.0).sum();
        let mut totals = Totals {
            requests: span.counts.requests,
            tokens: span.counts.tokens,
            cost: span.cost.unwrap_or(MicroUsd(by_models)),
            ..Totals::default()
        };
        if span.cost.is_none() && by_models > 0 && models.iter().any(|(_, totals)| totals.estimated > 0) {
            totals.estimated = totals.requests;
        }
        if totals != Totals::default() {
            all.add(*bucket, None, totals);
            sums.push(Sum {
                bucket: *bucket,
                of: Of::Key(id.to_owned()),
                totals,
            });
        }
        for (model, totals) in models {
            all.add(*bucket, Some(model), totals);
            // The ledger has no sums of a key's models by hour and month.
            if matches!(bucket, Bucket::Day(_) | Bucket::All) {
                sums.push(Sum {
                    bucket: *bucket,
                    of: Of::KeyModel(id.to_owned(), model.to_owned()),
                    totals,
                });
            }
        }
    }
    sums
}

/// The sums of an account. CRS keeps no cost of accounts but computes it for each view.
pub fn of_account(usage: &RawUsage, prices: &PriceBook) -> Vec<Sum> {
    let mut spans = spans(&usage.usage);
    all_time_models(&mut spans);
    let sums = spans.iter().filter_map(|(bucket, span)| {
        let cost = model_totals(*bucket, span, prices)
            .iter()
            .map(|(_, totals)| totals.cost.0)
            .sum();
        let totals = Totals {
            requests: span.counts.requests,
            tokens: span.counts.tokens,
            estimated: span.counts.requests,
            cost: MicroUsd(cost),
            ..Totals::default()
        };
        (!span.counts.is_empty()).then(|| Sum {
            bucket: *bucket,
            of: Of::Account(usage.id.clone()),
            totals,
        })
    });
    sums.collect()
}

/// An account may have two counters for one period: with and without the prefix of its kind.
fn spans(rows: &[UsageRow]) -> BTreeMap<Bucket, Span> {
    let mut spans: BTreeMap<Bucket, Span> = BTreeMap::new();
    for row in rows {
        let span = spans.entry(row.bucket).or_default();
        match &row.model {
            None => {
                span.counts += row.counts.unwrap_or_default();
                span.cost = match (span.cost, row.cost) {
                    (Some(one), Some(other)) => Some(one.saturating_add(other)),
                    (one, other) => one.or(other),
                };
            }
            Some(model) => {
                let (counts, cost) = span
                    .models
                    .entry(model.clone())
                    .or_insert((Counts::default(), row.cost));
                *counts += row.counts.unwrap_or_default();
                *cost = cost.and(row.cost);
            }
        }
    }
    spans
}

/// For versions without all-time counters of models: sums the remaining months, which may be incomplete.
fn all_time_models(spans: &mut BTreeMap<Bucket, Span>) {
    if spans
        .get(&Bucket::All)
        .is_some_and(|span| !span.models.is_empty())
    {
        return;
    }
    let mut models: BTreeMap<String, (Counts, Option<MicroUsd>)> = BTreeMap::new();
    for (bucket, span) in spans.iter() {
        if !matches!(bucket, Bucket::Month(_)) {
            continue;
        }
        for (model, (counts, cost)) in &span.models {
            let (sum, known) = models
                .entry(model.clone())
                .or_insert((Counts::default(), Some(MicroUsd::ZERO)));
            *sum += *counts;
            *known = known.zip(*cost).map(|(known, cost)| known.saturating_add(cost));
        }
    }
    if !models.is_empty() {
        spans.entry(Bucket::All).or_default().models = models;
    }
}

/// Usage by model. Costs missing in CRS are computed with the price table and scaled to the key's spending; for
/// all time, whose models may be incomplete, only if they exceed it.
fn model_totals<'a>(bucket: Bucket, span: &'a Span, prices: &PriceBook) -> Vec<(&'a str, Totals)> {
    let mut totals: Vec<(&str, Totals)> = span
        .models
        .iter()
        .map(|(model, (counts, cost))| {
            let totals = Totals {
                requests: counts.requests,
                tokens: counts.tokens,
                estimated: if cost.is_none() { counts.requests } else { 0 },
                cost: cost.unwrap_or_else(|| price(prices, model, &counts.tokens)),
                ..Totals::default()
            };
            (model.as_str(), totals)
        })
        .collect();
    let Some(exact) = span.cost else {
        return totals;
    };
    let guessed = |model: &str| span.models.get(model).is_some_and(|(_, cost)| cost.is_none());
    let known: u64 = totals
        .iter()
        .filter(|(model, _)| !guessed(model))
        .map(|(_, totals)| totals.cost.0)
        .sum();
    let estimated: u64 = totals
        .iter()
        .filter(|(model, _)| guessed(model))
        .map(|(_, totals)| totals.cost.0)
        .sum();
    let left = exact.0.saturating_sub(known);
    if estimated == 0 || (bucket == Bucket::All && estimated <= left) {
        return totals;
    }
    // Distributes whole micro-USD exactly: each share is the amount due so far minus the amount given.
    let (mut seen, mut given) = (0_u128, 0_u64);
    for (_, totals) in totals.iter_mut().filter(|(model, _)| guessed(model)) {
        seen += u128::from(totals.cost.0);
        let due = u64::try_from(u128::from(left) * seen / u128::from(estimated)).unwrap_or(u64::MAX);
        totals.cost = MicroUsd(due - given);
        given = due;
    }
    totals
}

/// Prices each token at its base price, because a sum does not contain prompt lengths.
fn price(prices: &PriceBook, model: &str, tokens: &Tokens) -> MicroUsd {
    let terms = Terms {
        longest_prompt: Some(0),
        ..Terms::default()
    };
    prices.price(model, Platform::Claude).cost(tokens, &terms)
}

/// A call recorded by CRS; `None` if the text is invalid.
pub fn call(
    text: &str,
    key_id: &str,
    key_name: &str,
    names: &BTreeMap<String, (Platform, String)>,
) -> Option<LedgerEvent> {
    let record: serde_json::Value = serde_json::from_str(text).ok()?;
    let text_of = |name: &str| {
        record
            .get(name)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
    };
    let number = |name: &str| {
        record
            .get(name)
            .and_then(|value| value.as_u64().or_else(|| Some(value.as_f64()?.max(0.0) as u64)))
    };
    let at = super::fields::moment(text_of("timestamp"))?;
    let account = text_of("accountId");
    let account = account
        .strip_prefix("responses:")
        .or_else(|| account.strip_prefix("api:"))
        .unwrap_or(account);
    let kind = text_of("accountType");
    let model = text_of("model");
    let known = names.get(account);
    let platform = match (known, kind) {
        (Some((platform, _)), _) => *platform,
        (None, kind) if kind.starts_with("openai") || kind.starts_with("azure") => Platform::OpenAi,
        (None, kind) if kind.starts_with("gemini") => Platform::Gemini,
        (None, _) if model.starts_with("gpt") => Platform::OpenAi,
        (None, _) if model.starts_with("gemini") => Platform::Gemini,
        (None, _) => Platform::Claude,
    };
    let written = number("cacheCreateTokens").unwrap_or_default();
    let hour = number("ephemeral1hTokens").unwrap_or_default().min(written);
    let cost = record
        .get("cost")
        .and_then(serde_json::Value::as_f64)
        .unwrap_or_default();
    let status = number("statusCode")
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or(200);
    Some(LedgerEvent {
        // Deterministic, so that repeated runs import the same call once.
        request_id: format!("crs-{}-{}", digest(key_id.as_bytes()), digest(text.as_bytes())),
        at,
        key_id: key_id.to_owned(),
        key_name: key_name.to_owned(),
        account_id: account.to_owned(),
        account_name: known.map(|(_, name)| name.clone()).unwrap_or_default(),
        platform,
        endpoint: match text_of("endpoint") {
            "" => "messages".to_owned(),
            endpoint => endpoint.chars().take(100).collect(),
        },
        model: model.chars().take(200).collect(),
        stream: record
            .get("stream")
            .and_then(serde_json::Value::as_bool)
            .unwrap_or_default(),
        status,
        error: None,
        detail: None,
        tokens: Tokens {
            input: number("inputTokens").unwrap_or_default(),
            output: number("outputTokens").unwrap_or_default(),
            cache_write_5m: written - hour,
            cache_write_1h: hour,
            cache_read: number("cacheReadTokens").unwrap_or_default(),
        },
        cost: MicroUsd((cost.max(0.0) * 1e6).round() as u64),
        charges: Vec::new(),
        price_version: IMPORTED.to_owned(),
        quality: Quality::Exact,
        first_byte_ms: None,
        duration_ms: number("durationMs").unwrap_or_default(),
        attempts: 1,
        client: String::new(),
        session: None,
        trace: None,
    })
}

#[cfg(test)]
mod tests;
