//! Checking the sums against the events they are of.

use std::collections::BTreeMap;

use super::Ledger;
use super::append::Rollup;
use super::bucket::{Bucket, METRICS, field, figures};
use crate::model::calendar::Day;
use crate::model::usage::LedgerEvent;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

/// A sum that is not the sum of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `<metric>:<scope>`, such as `cost:key:<id>`.
    pub field: String,
    pub stored: u64,
    pub events: u64,
}

impl Ledger {
    /// Compares a day's sums with the sum of its events; empty: they agree. The day must be over and its
    /// events still be kept. Events are read in chunks; what is held is a sum for each key, account and
    /// model.
    pub async fn verify(&self, day: Day) -> Result<Vec<Difference>, StoreError> {
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        let calendar = self.calendar;
        self.events_of(day, |event: LedgerEvent| {
            let events = [&event];
            let sums = Rollup::of(&events, calendar).sums;
            for ((_, scope), totals) in sums
                .into_iter()
                .filter(|((bucket, _), _)| *bucket == Bucket::Day(day))
            {
                for (metric, figure) in METRICS
                    .into_iter()
                    .zip(figures(&totals))
                    .filter(|(_, figure)| *figure > 0)
                {
                    *expected.entry(field(metric, scope)).or_default() += figure;
                }
            }
        })
        .await?;
        let ask = Command::HGetAll {
            key: keys::ledger_sums(Bucket::Day(day)),
        };
        let stored: BTreeMap<String, u64> = match self.store.run(vec![ask]).await?.pop() {
            Some(Reply::Entries(entries)) => entries
                .into_iter()
                .map(|(field, text)| {
                    let figure = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                    (field, figure.unwrap_or_default())
                })
                .collect(),
            _ => BTreeMap::new(),
        };
        let fields: std::collections::BTreeSet<&String> = expected.keys().chain(stored.keys()).collect();
        let figure = |of: &BTreeMap<String, u64>, field: &String| of.get(field).copied().unwrap_or_default();
        Ok(fields
            .into_iter()
            .map(|field| Difference {
                field: field.clone(),
                stored: figure(&stored, field),
                events: figure(&expected, field),
            })
            .filter(|difference| difference.stored != difference.events)
            .collect())
    }
}
