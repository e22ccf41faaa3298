//! Compares the sums with the events they were made from.

use std::collections::{BTreeMap, BTreeSet};

use super::Ledger;
use super::append::Rollup;
use super::bucket::{Bucket, DETAILED, METRICS, Scope, failure_metric, field, figures, is_detail};
use super::imported::IMPORTED;
use crate::model::calendar::Day;
use crate::model::usage::LedgerEvent;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

/// Number of events summed at once.
const AT_ONCE: usize = 1_000;

/// A sum that differs from the sum of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `<metric>:<scope>`, such as `cost:key:<id>`, or `failures:<error code>`.
    pub field: String,
    /// The stored sum; micro-USD for a `cost`.
    pub stored: u64,
    /// The sum of the events.
    pub events: u64,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Number of events of the day.
    pub events: u64,
    /// Empty if sums and events agree.
    pub differences: Vec<Difference>,
    /// `false` if some calls of the day were written by a version without all of today's sums; those sums are not
    /// compared.
    pub complete: bool,
}

impl Ledger {
    /// Compares a day's sums with the sum of its events, which must still exist. Events are read in chunks; only
    /// one sum per key, account and model is held in memory.
    ///
    /// Calls may be written meanwhile. Sums only grow, and a call is written in one step with its share of them,
    /// so the sum of the events lies between the sums read before and after.
    pub async fn verify(&self, day: Day) -> Result<VerifyReport, StoreError> {
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        let calendar = self.calendar;
        let before = self.stored(day).await?;
        let mut events = 0;
        let mut some: Vec<LedgerEvent> = Vec::new();
        let mut sum = |some: &mut Vec<LedgerEvent>| {
            events += some.len() as u64;
            let rollup = Rollup::of(&some.iter().collect::<Vec<_>>(), calendar);
            for (field, figure) in of_day(&rollup, day) {
                let sum = expected.entry(field).or_default();
                *sum = sum.saturating_add(figure);
            }
            some.clear();
        };
        self.events_of(day, |event| {
            // Its sums were imported, too.
            if event.price_version == IMPORTED {
                return;
            }
            some.push(event);
            if some.len() >= AT_ONCE {
                sum(&mut some);
            }
        })
        .await?;
        sum(&mut some);
        let after = self.stored(day).await?;
        let figure = |of: &BTreeMap<String, u64>, field: &String| of.get(field).copied().unwrap_or_default();
        let detailed = field(DETAILED, Scope::Total);
        let complete = (figure(&before, &detailed)..=figure(&after, &detailed)).contains(&events);
        let fields = expected.keys().chain(before.keys()).chain(after.keys());
        let fields: BTreeSet<&String> = fields.filter(|field| complete || !is_detail(field)).collect();
        let differences = fields.into_iter().filter_map(|field| {
            let events = figure(&expected, field);
            let (least, most) = (figure(&before, field), figure(&after, field));
            (!(least..=most).contains(&events)).then(|| Difference {
                field: field.clone(),
                stored: if events < least { least } else { most },
                events,
            })
        });
        Ok(VerifyReport {
            events,
            differences: differences.collect(),
            complete,
        })
    }

    /// A day's stored sums.
    async fn stored(&self, day: Day) -> Result<BTreeMap<String, u64>, StoreError> {
        let bucket = Bucket::Day(day);
        let asks = vec![
            Command::HGetAll {
                key: keys::ledger_sums(bucket),
            },
            Command::ZRangeByScore {
                key: keys::ledger_failures(bucket),
                min: f64::NEG_INFINITY,
                max: f64::INFINITY,
                rev: true,
                offset: 0,
                limit: u64::from(u32::MAX),
            },
        ];
        let imported = self.imported_into(bucket).await?;
        let mut stored = BTreeMap::new();
        for reply in self.store.run(asks).await? {
            match reply {
                Reply::Entries(entries) => stored.extend(entries.into_iter().map(|(field, text)| {
                    let figure = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                    let figure: u64 = figure.unwrap_or_default();
                    let imported = imported.get(&field).copied().unwrap_or_default();
                    (field, figure.saturating_sub(imported))
                })),
                Reply::Scored(members) => stored.extend(
                    members
                        .into_iter()
                        .map(|(error, count)| (failures(&error), count as u64)),
                ),
                _ => {}
            }
        }
        Ok(stored)
    }
}

/// The increments that a rollup adds to the sums of a day.
fn of_day(rollup: &Rollup<'_>, day: Day) -> impl Iterator<Item = (String, u64)> {
    let of_day = move |bucket: &Bucket| *bucket == Bucket::Day(day);
    let sums = rollup.sums.iter().filter(move |((bucket, _), _)| of_day(bucket));
    let sums = sums.flat_map(|((_, scope), totals)| {
        let detailed = (*scope == Scope::Total).then_some((DETAILED, totals.requests));
        let figures = METRICS.into_iter().zip(figures(totals)).chain(detailed);
        figures.map(|(metric, figure)| (field(metric, *scope), figure))
    });
    let times = rollup.times.iter().filter(move |((bucket, _), _)| of_day(bucket));
    let times = times.flat_map(|((_, scope), times)| {
        let figures = times.figures();
        figures.map(|(metric, figure)| (field(&metric, *scope), figure))
    });
    let failed = rollup
        .failures
        .iter()
        .filter(move |((bucket, ..), _)| of_day(bucket));
    let failed = failed.map(|((_, scope, error), count)| match scope {
        Scope::Total => (failures(error), *count),
        scope => (field(&failure_metric(error), *scope), *count),
    });
    sums.chain(times).chain(failed).filter(|(_, figure)| *figure > 0)
}

fn failures(error: &str) -> String {
    format!("failures:{error}")
}
