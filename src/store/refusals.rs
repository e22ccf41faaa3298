//! Counts calls refused before a provider was called, by key and code, with the last one of each.
//!
//! The counts of a day are fields of one hash, which is kept for the operator's today and yesterday. There is a
//! row for each existing key and code, and one for each code of calls without a key of this relay, so strangers
//! cannot create rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::keys;
use crate::error::Code;
use crate::model::calendar::{self, Calendar, Day};
use crate::port::clock::Millis;
use crate::port::store::{Command, Guard, Reply, Store, StoreError};

/// Retention of counts in days, including today.
const KEPT_DAYS: u32 = 2;

/// Replaces the key's id for calls without a key.
const NO_KEY: &str = "-";

#[derive(Clone)]
pub struct RefusalLog {
    store: Arc<dyn Store>,
    calendar: Calendar,
}

/// The last refusal of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRefusal {
    pub at: Millis,
    /// The `x-request-id` sent to the client.
    pub request_id: String,
    /// The message sent to the client, shortened.
    pub message: String,
    /// The retry time sent to the client, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Millis>,
}

/// Refusals of one day that are added to the stored ones.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRefusals {
    pub count: u64,
    pub last: LastRefusal,
}

/// Day, key id (`None`: no key of this relay) and code.
pub type RefusalPlace = (Day, Option<String>, Code);

/// The number of a key's calls that were refused with a code.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusalRow {
    /// `None`: no key of this relay.
    pub key_id: Option<String>,
    pub code: String,
    pub today: u64,
    pub yesterday: u64,
    pub last: LastRefusal,
}

impl RefusalRow {
    /// When a client may try again; `None` for now or unknown.
    pub fn next_allowed_at(&self, now: Millis) -> Option<Millis> {
        self.last.retry_at.filter(|at| *at > now)
    }
}

impl RefusalLog {
    /// `utc_offset_minutes`: the operator's offset from UTC.
    pub fn new(store: Arc<dyn Store>, utc_offset_minutes: i32) -> Self {
        Self {
            store,
            calendar: Calendar::new(utc_offset_minutes),
        }
    }

    pub fn calendar(&self) -> Calendar {
        self.calendar
    }

    /// Adds a batch in one atomic step. `batch`: its id; a batch sent again within a day is counted once.
    pub async fn add(
        &self,
        batch: &str,
        refusals: &BTreeMap<RefusalPlace, NewRefusals>,
        now: Millis,
    ) -> Result<(), StoreError> {
        let marker = keys::refusals_batch(batch);
        let mut commands = vec![Command::Set {
            key: marker.clone(),
            value: Bytes::from_static(b"1"),
            expire_at: Some(now.saturating_add(calendar::DAY)),
        }];
        let mut days: BTreeMap<Day, Vec<(String, Bytes)>> = BTreeMap::new();
        for ((day, key_id, code), new) in refusals {
            let key = keys::refusals(*day);
            let row = row_name(key_id.as_deref(), code.name());
            let last = serde_json::to_vec(&new.last).map_err(|error| StoreError::Unreadable {
                key: key.clone(),
                reason: error.to_string(),
            })?;
            days.entry(*day)
                .or_default()
                .push((format!("{row}|last"), last.into()));
            commands.push(Command::HIncrBy {
                key,
                field: format!("{row}|count"),
                by: i64::try_from(new.count).unwrap_or(i64::MAX),
            });
        }
        for (day, entries) in days {
            let key = keys::refusals(day);
            commands.push(Command::HSet {
                key: key.clone(),
                entries,
            });
            commands.push(Command::PExpireAt {
                key,
                at: self.calendar.start(day.after(KEPT_DAYS)),
            });
        }
        let guard = Guard::Value {
            key: marker,
            is: None,
        };
        self.store.atomically(vec![guard], commands).await.map(|_| ())
    }

    /// All rows of today and yesterday, latest refusal first. One round trip.
    pub async fn rows(&self, now: Millis) -> Result<Vec<RefusalRow>, StoreError> {
        let asks = self.days(now).map(|day| Command::HGetAll {
            key: keys::refusals(day),
        });
        let replies = self.store.run(asks.to_vec()).await?;
        let days = replies.into_iter().map(|reply| match reply {
            Reply::Entries(entries) => entries,
            _ => Vec::new(),
        });
        Ok(rows(days))
    }

    /// The rows of one key. One round trip, however many keys there are.
    pub async fn rows_of(&self, key_id: &str, now: Millis) -> Result<Vec<RefusalRow>, StoreError> {
        let fields: Vec<String> = Code::ALL
            .into_iter()
            .map(|code| row_name(Some(key_id), code.name()))
            .flat_map(|row| [format!("{row}|count"), format!("{row}|last")])
            .collect();
        let asks = self.days(now).map(|day| Command::HMGet {
            key: keys::refusals(day),
            fields: fields.clone(),
        });
        let replies = self.store.run(asks.to_vec()).await?;
        let days = replies.into_iter().map(|reply| match reply {
            Reply::Values(values) => {
                let named = fields.iter().cloned().zip(values);
                named.filter_map(|(field, value)| Some((field, value?))).collect()
            }
            _ => Vec::new(),
        });
        Ok(rows(days))
    }

    fn days(&self, now: Millis) -> [Day; 2] {
        let today = self.calendar.day(now);
        [today, today.before(1)]
    }
}

fn row_name(key_id: Option<&str>, code: &str) -> String {
    format!("{}|{code}", key_id.unwrap_or(NO_KEY))
}

/// `days`: the fields of today, then of yesterday. Unreadable fields are skipped.
fn rows(days: impl Iterator<Item = Vec<(String, Bytes)>>) -> Vec<RefusalRow> {
    let mut rows: BTreeMap<(String, String), RefusalRow> = BTreeMap::new();
    for (ago, entries) in days.enumerate() {
        for (field, value) in entries {
            let mut parts = field.split('|');
            let (Some(key_id), Some(code), Some(figure), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let row = rows
                .entry((key_id.to_owned(), code.to_owned()))
                .or_insert_with(|| RefusalRow {
                    key_id: (key_id != NO_KEY).then(|| key_id.to_owned()),
                    code: code.to_owned(),
                    today: 0,
                    yesterday: 0,
                    last: LastRefusal::default(),
                });
            if figure == "count" {
                let count = std::str::from_utf8(&value)
                    .ok()
                    .and_then(|text| text.parse().ok());
                let place = if ago == 0 {
                    &mut row.today
                } else {
                    &mut row.yesterday
                };
                *place = count.unwrap_or(0);
            } else if let Ok(last) = serde_json::from_slice::<LastRefusal>(&value)
                && last.at >= row.last.at
            {
                row.last = last;
            }
        }
    }
    let mut rows: Vec<RefusalRow> = rows.into_values().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.last.at));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fake::FakeStore;
    use std::sync::atomic::Ordering;

    const NOW: Millis = 1_764_000_000_000;
    const DAY: Millis = 86_400_000;

    fn new(count: u64, at: Millis) -> NewRefusals {
        let last = LastRefusal {
            at,
            request_id: format!("req_{at}"),
            message: "no".to_owned(),
            retry_at: None,
        };
        NewRefusals { count, last }
    }

    fn log(store: &Arc<FakeStore>) -> RefusalLog {
        RefusalLog::new(store.clone(), 480)
    }

    #[tokio::test]
    async fn counts_of_two_days_become_one_row() {
        let store = Arc::new(FakeStore::default());
        let log = log(&store);
        let day = log.calendar().day(NOW);
        let key = Some("k1".to_owned());
        let batch = BTreeMap::from([
            ((day, key.clone(), Code::CostLimited), new(3, NOW)),
            ((day.before(1), key.clone(), Code::CostLimited), new(2, NOW - DAY)),
            (
                (day.before(2), key.clone(), Code::CostLimited),
                new(9, NOW - 2 * DAY),
            ),
            ((day, None, Code::UnknownKey), new(7, NOW + 5)),
        ]);
        log.add("b1", &batch, NOW).await.unwrap();
        let more = BTreeMap::from([((day, key.clone(), Code::CostLimited), new(1, NOW + 1))]);
        log.add("b2", &more, NOW).await.unwrap();

        let rows = log.rows(NOW).await.unwrap();
        let listed: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.key_id.as_deref(),
                    row.code.as_str(),
                    row.today,
                    row.yesterday,
                    row.last.at,
                )
            })
            .collect();
        assert_eq!(
            listed,
            [
                (None, "unknown_key", 7, 0, NOW + 5),
                (Some("k1"), "cost_limited", 4, 2, NOW + 1)
            ]
        );
        assert_eq!(log.rows_of("k1", NOW).await.unwrap(), rows[1..]);
        assert_eq!(log.rows_of("k2", NOW).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_batch_whose_answer_was_lost_counts_once() {
        let store = Arc::new(FakeStore::default());
        let log = log(&store);
        let batch = BTreeMap::from([((log.calendar().day(NOW), None, Code::MissingKey), new(3, NOW))]);
        store.lose_answer.store(true, Ordering::SeqCst);
        assert!(log.add("b", &batch, NOW).await.is_err());
        log.add("b", &batch, NOW).await.unwrap();
        assert_eq!(log.rows(NOW).await.unwrap()[0].today, 3);
    }
}
