//! Adds sums imported from another relay to this one's.
//!
//! For each bucket the imported amounts are stored by scope. A run adds only the difference to those, in the same
//! atomic step: it can be interrupted and repeated, and this relay's own counts stay.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Ledger;
use super::bucket::{Bucket, METRICS, Scope, field, figures};
use crate::model::usage::{LedgerEvent, Totals};
use crate::port::clock::Millis;
use crate::port::store::{Applied, Command, Guard, Reply, StoreError};
use crate::store::keys;

/// The price version of calls recorded by another relay. They are listed but not summed here.
pub const IMPORTED: &str = "imported";

/// Number of sums per atomic step.
const AT_ONCE: usize = 150;

/// Number of concurrent steps. The embedded store commits them together, and a remote store costs one wait.
const STEPS: usize = 16;

/// Maximum number of tries for a step while others import the same sums.
const ROUNDS: usize = 20;

/// A sum recorded by another relay.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedSum<'a> {
    pub bucket: Bucket,
    pub scope: Scope<'a>,
    pub totals: Totals,
}

/// Number of new or changed sums, and of unchanged ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportedCount {
    pub written: u64,
    pub unchanged: u64,
}

type Figures = [u64; METRICS.len()];

impl Ledger {
    /// Adds the difference between these sums and the amounts imported before. Sums beyond their retention are
    /// skipped.
    pub async fn import(&self, sums: &[ImportedSum<'_>], now: Millis) -> Result<ImportedCount, StoreError> {
        let kept = |sum: &&ImportedSum<'_>| sum.bucket.expire_at(self.calendar).is_none_or(|end| end > now);
        let sums: Vec<&ImportedSum<'_>> = sums.iter().filter(kept).collect();
        let steps = sums.chunks(AT_ONCE).map(|chunk| self.import_step(chunk));
        let written: u64 = stream::iter(steps)
            .buffer_unordered(STEPS)
            .try_fold(0, async |sum, written| Ok(sum + written))
            .await?;
        Ok(ImportedCount {
            written,
            unchanged: sums.len() as u64 - written,
        })
    }

    /// The number of these sums that are missing here or lower.
    pub async fn imported_differences(
        &self,
        sums: &[ImportedSum<'_>],
        now: Millis,
    ) -> Result<u64, StoreError> {
        let kept = |sum: &&ImportedSum<'_>| sum.bucket.expire_at(self.calendar).is_none_or(|end| end > now);
        let sums: Vec<&ImportedSum<'_>> = sums.iter().filter(kept).collect();
        let steps = sums.chunks(AT_ONCE).map(|chunk| self.step_differences(chunk));
        stream::iter(steps)
            .buffer_unordered(STEPS)
            .try_fold(0, async |sum, different| Ok(sum + different))
            .await
    }

    async fn step_differences(&self, sums: &[&ImportedSum<'_>]) -> Result<u64, StoreError> {
        let before = self.imported(sums).await?;
        let here = self.here(sums).await?;
        let compared = sums.iter().zip(before).zip(here);
        let different = compared.filter(|((sum, before), here)| {
            let wanted = figures(&sum.totals);
            // This relay's own counts come on top.
            let less = here.iter().zip(wanted).any(|(here, wanted)| *here < wanted);
            less || read(before.as_deref()) != wanted
        });
        Ok(different.count() as u64)
    }

    async fn import_step(&self, sums: &[&ImportedSum<'_>]) -> Result<u64, StoreError> {
        for _ in 0..ROUNDS {
            let before = self.imported(sums).await?;
            let (mut guards, mut batch) = (Vec::new(), Vec::new());
            let mut ends: BTreeSet<(String, Millis)> = BTreeSet::new();
            let mut shadows: BTreeMap<String, Vec<(String, Bytes)>> = BTreeMap::new();
            for (sum, before) in sums.iter().zip(before) {
                let (was, is) = (read(before.as_deref()), figures(&sum.totals));
                if before.is_some() && was == is {
                    continue;
                }
                let shadow = keys::imported_sums(sum.bucket);
                guards.push(Guard::Field {
                    key: shadow.clone(),
                    field: sum.scope.to_string(),
                    is: before,
                });
                self.add(sum, was, is, &mut batch, &mut ends);
                if let Some(end) = sum.bucket.expire_at(self.calendar) {
                    ends.insert((shadow.clone(), end));
                }
                shadows
                    .entry(shadow)
                    .or_default()
                    .push((sum.scope.to_string(), Bytes::from(written(is))));
            }
            let changed = guards.len() as u64;
            if changed == 0 {
                return Ok(0);
            }
            batch.extend(
                shadows
                    .into_iter()
                    .map(|(key, entries)| Command::HSet { key, entries }),
            );
            batch.extend(ends.into_iter().map(|(key, at)| Command::PExpireAt { key, at }));
            if self.store.atomically(guards, batch).await? == Applied::Yes {
                return Ok(changed);
            }
        }
        Err(StoreError::Unreadable {
            key: keys::imported_sums("*"),
            reason: "too many others import the same sums at the same time".to_owned(),
        })
    }

    fn add(
        &self,
        sum: &ImportedSum<'_>,
        was: Figures,
        is: Figures,
        batch: &mut Vec<Command>,
        ends: &mut BTreeSet<(String, Millis)>,
    ) {
        let key = keys::ledger_sums(sum.bucket);
        let end = sum.bucket.expire_at(self.calendar);
        let difference = |was: u64, is: u64| is.cast_signed().saturating_sub(was.cast_signed());
        for ((metric, was), is) in METRICS.into_iter().zip(was).zip(is) {
            if was != is {
                batch.push(Command::HIncrBy {
                    key: key.clone(),
                    field: field(metric, sum.scope),
                    by: difference(was, is),
                });
            }
        }
        ends.extend(end.map(|at| (key, at)));
        if matches!(sum.bucket, Bucket::Hour(_)) {
            return;
        }
        let [.., cost_was] = was;
        let cost = difference(cost_was, sum.totals.cost.0);
        for (kind, member) in sum.scope.rankings() {
            let key = keys::ledger_rank(sum.bucket, kind);
            ends.extend(end.map(|at| (key.clone(), at)));
            batch.push(Command::ZIncrBy {
                key,
                by: cost as f64,
                member: member.to_owned(),
            });
        }
    }

    /// The imported amount of each sum.
    async fn imported(&self, sums: &[&ImportedSum<'_>]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let asks = sums.iter().map(|sum| Command::HGet {
            key: keys::imported_sums(sum.bucket),
            field: sum.scope.to_string(),
        });
        let replies = self.store.run(asks.collect()).await?;
        Ok(replies
            .into_iter()
            .map(|reply| match reply {
                Reply::Value(text) => text,
                _ => None,
            })
            .collect())
    }

    async fn here(&self, sums: &[&ImportedSum<'_>]) -> Result<Vec<Figures>, StoreError> {
        let asks = sums.iter().map(|sum| Command::HMGet {
            key: keys::ledger_sums(sum.bucket),
            fields: METRICS.iter().map(|metric| field(metric, sum.scope)).collect(),
        });
        let replies = self.store.run(asks.collect()).await?;
        Ok(replies
            .into_iter()
            .map(|reply| {
                let mut all = Figures::default();
                if let Reply::Values(values) = reply {
                    for (figure, text) in all.iter_mut().zip(values) {
                        let text = text.as_deref().and_then(|text| std::str::from_utf8(text).ok());
                        *figure = text.and_then(|text| text.parse().ok()).unwrap_or_default();
                    }
                }
                all
            })
            .collect())
    }

    /// The amounts imported into a bucket, by field.
    pub(super) async fn imported_into(&self, bucket: Bucket) -> Result<BTreeMap<String, u64>, StoreError> {
        let ask = Command::HGetAll {
            key: keys::imported_sums(bucket),
        };
        let mut all = BTreeMap::new();
        if let Some(Reply::Entries(entries)) = self.store.run(vec![ask]).await?.pop() {
            for (scope, text) in entries {
                for (metric, figure) in METRICS.into_iter().zip(read(Some(&text))) {
                    all.insert(format!("{metric}:{scope}"), figure);
                }
            }
        }
        Ok(all)
    }

    /// Adds calls recorded by another relay to the log without counting them. Calls beyond their retention at
    /// `now` are skipped.
    pub async fn import_calls(&self, events: &[LedgerEvent], now: Millis) -> Result<u64, StoreError> {
        let kept = |event: &&LedgerEvent| {
            let day = self.calendar.day(event.at);
            self.calendar.start(day.after(self.request_log_days + 1)) > now
        };
        let events: Vec<&LedgerEvent> = events.iter().filter(kept).collect();
        for chunk in events.chunks(AT_ONCE) {
            let mut commands = Vec::new();
            self.log(chunk, &mut commands)?;
            self.store.atomically(Vec::new(), commands).await?;
        }
        Ok(events.len() as u64)
    }
}

/// The figures, separated by commas.
fn written(figures: Figures) -> String {
    figures.map(|figure| figure.to_string()).join(",")
}

fn read(text: Option<&[u8]>) -> Figures {
    let mut figures = Figures::default();
    if let Some(text) = text.and_then(|text| std::str::from_utf8(text).ok()) {
        for (figure, part) in figures.iter_mut().zip(text.split(',')) {
            *figure = part.parse().unwrap_or_default();
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crs_durable::gate::MoneyLimit;

    use super::*;
    use crate::model::calendar::Day;
    use crate::model::money::MicroUsd;
    use crate::store::fake::FakeStore;
    use crate::store::ledger::{Kind, Range};

    /// 2026-01-31, noon in UTC.
    const NOW: Millis = 1_769_860_800_000;

    fn sum(bucket: Bucket, scope: Scope<'_>, requests: u64, cost: u64) -> ImportedSum<'_> {
        let totals = Totals {
            requests,
            cost: MicroUsd(cost),
            ..Totals::default()
        };
        ImportedSum {
            bucket,
            scope,
            totals,
        }
    }

    #[tokio::test]
    async fn sums_are_added_once_and_brought_up_to_date() {
        let store = Arc::new(FakeStore::default());
        let ledger = Ledger::new(store.clone(), 0);
        let today = Bucket::Day(Day::parse("2026-01-31").unwrap());
        let old = Bucket::Day(Day::parse("2020-01-31").unwrap());
        let sums = |cost| {
            vec![
                sum(today, Scope::Key("k"), 3, cost),
                sum(today, Scope::Total, 3, cost),
                sum(Bucket::All, Scope::Key("k"), 9, 5 * cost),
                sum(old, Scope::Key("k"), 1, 1),
            ]
        };
        let written = ledger.import(&sums(100), NOW).await.unwrap();
        assert_eq!(
            written,
            ImportedCount {
                written: 3,
                unchanged: 0
            }
        );
        let again = ledger.import(&sums(100), NOW).await.unwrap();
        assert_eq!(
            again,
            ImportedCount {
                written: 0,
                unchanged: 3
            }
        );
        assert_eq!(ledger.imported_differences(&sums(100), NOW).await.unwrap(), 0);
        // What this relay counts comes on top, and a change at the source is added to it.
        let own = Command::HIncrBy {
            key: keys::ledger_sums(today),
            field: field("cost", Scope::Key("k")),
            by: 7,
        };
        ledger.store.run(vec![own]).await.unwrap();
        assert_eq!(ledger.imported_differences(&sums(120), NOW).await.unwrap(), 3);
        ledger.import(&sums(120), NOW).await.unwrap();
        assert_eq!(ledger.imported_differences(&sums(120), NOW).await.unwrap(), 0);
        let ranked = ledger.ranking(Kind::Keys, Range::Today, 5, NOW).await.unwrap();
        assert_eq!(ranked[0].totals.cost, MicroUsd(127));
        let spent = ledger
            .spent("k", &crs_durable::gate::Limits::default(), NOW)
            .await
            .unwrap();
        let spent = spent.spent;
        assert_eq!((spent[MoneyLimit::Day], spent[MoneyLimit::Total]), (127, 600));
        // Sums without calls are no difference: their calls were another relay's.
        let verified = ledger.verify(Day::parse("2026-01-31").unwrap()).await.unwrap();
        assert_eq!(verified.differences.len(), 1, "{verified:?}");
        assert_eq!(verified.differences[0].stored, 7, "only what was counted here");
    }
}
