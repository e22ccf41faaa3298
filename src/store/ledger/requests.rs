//! Reads the request log: newest first, filtered, in pages.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Ledger, record};
use crate::model::account::Platform;
use crate::model::calendar::Day;
use crate::model::money::MicroUsd;
use crate::model::usage::LedgerEvent;
use crate::port::clock::Millis;
use crate::port::store::{Command, Reply, StoreError};
use crate::store::keys;

/// Number of events read at once.
const CHUNK: u64 = 200;

/// Maximum number of events examined per page. With a filter that matches little, a page may be short and have a
/// cursor.
pub(super) const EXAMINED: usize = 5_000;

/// Selects events; empty matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub key_id: Option<String>,
    pub account_id: Option<String>,
    pub model: Option<String>,
    pub status: Option<u16>,
    /// Only calls whose answer was an error or broke off.
    pub errors_only: bool,
    /// The exact error code.
    pub error: Option<String>,
    pub platform: Option<Platform>,
    /// Minimum duration, milliseconds.
    pub slower_than: Option<u64>,
    /// Minimum cost.
    pub dearer_than: Option<MicroUsd>,
    /// The conversation's identifier in the log.
    pub session: Option<String>,
    /// Inclusive.
    pub from: Option<Millis>,
    /// Exclusive.
    pub to: Option<Millis>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Newest first.
    pub items: Vec<LedgerEvent>,
    /// The start of the next page; `None` if there is none.
    pub next: Option<Cursor>,
}

/// A position in the log: after the event with this time and id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    at: Millis,
    id: String,
}

impl Cursor {
    /// Parses the output of `Display`.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, id) = text.split_once('.')?;
        Some(Self {
            at: at.parse().ok()?,
            id: id.to_owned(),
        })
    }

    /// Whether `(at, id)` comes after this position in the log's order.
    fn is_before(&self, at: Millis, id: &str) -> bool {
        (at, id) < (self.at, self.id.as_str())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at, self.id)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("must be a `nextCursor` given before"))
    }
}

impl Filter {
    fn admits(&self, event: &LedgerEvent) -> bool {
        let is = |asked: &Option<String>, value: &str| asked.as_ref().is_none_or(|asked| asked == value);
        is(&self.key_id, &event.key_id)
            && is(&self.account_id, &event.account_id)
            && is(&self.model, &event.model)
            && self.status.is_none_or(|status| status == event.status)
            && (self.error.is_none() || self.error == event.error)
            && (self.session.is_none() || self.session == event.session)
            && self.platform.is_none_or(|platform| platform == event.platform)
            && self.slower_than.is_none_or(|ms| event.duration_ms >= ms)
            && self.dearer_than.is_none_or(|cost| event.cost >= cost)
            && (!self.errors_only || event.status >= 400 || event.error.is_some())
    }
}

impl Ledger {
    /// One page of at most `limit` events.
    pub async fn requests(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
        now: Millis,
    ) -> Result<Page, StoreError> {
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        let newest = match (filter.to, after) {
            (Some(0), _) => return Ok(page),
            (Some(to), Some(cursor)) => cursor.at.min(to - 1),
            (Some(to), None) => to - 1,
            (None, Some(cursor)) => cursor.at,
            // The hosts' clocks differ slightly.
            (None, None) => now.saturating_add(crate::model::calendar::HOUR),
        };
        let oldest = filter.from.unwrap_or_default().max(self.first_kept(now));
        let mut examined = 0;
        let mut place = after.cloned();
        for day in self.days_with_events(oldest, newest).await? {
            let mut walk = DayWalk {
                day,
                oldest,
                newest,
                skip: 0,
            };
            loop {
                let chunk = self.chunk(&walk).await?;
                let last = (chunk.len() as u64) < CHUNK;
                let mut fresh: Vec<(Millis, String)> = chunk
                    .into_iter()
                    .map(|(id, at)| (at as Millis, id))
                    .filter(|(at, id)| place.as_ref().is_none_or(|place| place.is_before(*at, id)))
                    .collect();
                // A full page ends within a chunk, so read no more records than needed.
                fresh.truncate(EXAMINED.saturating_sub(examined).max(1));
                match fresh.last() {
                    Some((at, _)) => {
                        walk.newest = *at;
                        walk.skip = 0;
                    }
                    // All entries of this chunk have the same time and were seen: skip them.
                    None => walk.skip += CHUNK,
                }
                for (at, id, event) in self.records(day, fresh).await? {
                    examined += 1;
                    if let Some(event) = event.filter(|event| filter.admits(event)) {
                        page.items.push(event);
                    }
                    let here = Cursor { at, id };
                    if page.items.len() >= limit || examined >= EXAMINED {
                        page.next = Some(here);
                        return Ok(page);
                    }
                    place = Some(here);
                }
                if last {
                    break;
                }
            }
        }
        Ok(page)
    }

    /// The start of the retention. Older events are not shown even if they still exist.
    fn first_kept(&self, now: Millis) -> Millis {
        let today = self.calendar.day(now);
        self.calendar.start(today.before(self.request_log_days))
    }

    /// One event by the id of its call, which contains the call's time.
    pub async fn request(&self, id: &str, now: Millis) -> Result<Option<LedgerEvent>, StoreError> {
        let Some(at) = moment(id) else { return Ok(None) };
        let day = self.calendar.day(at);
        // Also the days before and after: the time zone may have changed, and a call near midnight may be logged
        // under the other day.
        let days = [day, day.after(1), day.before(1)];
        let asks = days
            .iter()
            .map(|day| Command::HGet {
                key: keys::ledger_requests(*day),
                field: id.to_owned(),
            })
            .collect();
        let replies = self.store.run(asks).await?;
        for (day, reply) in days.iter().zip(replies) {
            if let Reply::Value(Some(record)) = reply {
                let kept = |event: &LedgerEvent| event.at >= self.first_kept(now);
                return Ok(event(*day, id, &record).filter(kept));
            }
        }
        Ok(None)
    }

    /// The days from `newest` down to `oldest` that have a log. Their names depend on the time zone at the time
    /// of logging, so one more day is read on either side.
    async fn days_with_events(&self, oldest: Millis, newest: Millis) -> Result<Vec<Day>, StoreError> {
        let (first, last) = (
            self.calendar.day(oldest).before(1),
            self.calendar.day(newest).after(1),
        );
        let days: Vec<Day> = std::iter::successors(Some(last), |day| (*day > first).then(|| day.before(1)))
            .take(500)
            .collect();
        let asks = days
            .iter()
            .map(|day| Command::ZCard {
                key: keys::ledger_requests_index(*day),
            })
            .collect();
        let counts = self.store.run(asks).await?;
        let logged = days
            .into_iter()
            .zip(counts)
            .filter(|(_, count)| *count != Reply::Int(0));
        Ok(logged.map(|(day, _)| day).collect())
    }

    async fn chunk(&self, walk: &DayWalk) -> Result<Vec<(String, f64)>, StoreError> {
        let ask = Command::ZRangeByScore {
            key: keys::ledger_requests_index(walk.day),
            min: walk.oldest as f64,
            max: walk.newest as f64,
            rev: true,
            offset: walk.skip,
            limit: CHUNK,
        };
        match self.store.run(vec![ask]).await?.pop() {
            Some(Reply::Scored(entries)) => Ok(entries),
            _ => Ok(Vec::new()),
        }
    }

    /// The events with these ids. Unreadable ones are skipped and logged.
    async fn records(
        &self,
        day: Day,
        ids: Vec<(Millis, String)>,
    ) -> Result<Vec<(Millis, String, Option<LedgerEvent>)>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let fields = ids.iter().map(|(_, id)| id.clone()).collect();
        let ask = Command::HMGet {
            key: keys::ledger_requests(day),
            fields,
        };
        let records = match self.store.run(vec![ask]).await?.pop() {
            Some(Reply::Values(records)) if records.len() == ids.len() => records,
            // Continuing would read the same ids forever.
            _ => {
                let reason = "not one answer for each field asked".to_owned();
                return Err(StoreError::Unreadable {
                    key: keys::ledger_requests(day),
                    reason,
                });
            }
        };
        let read = |((at, id), record): ((Millis, String), Option<bytes::Bytes>)| {
            let event = record.and_then(|record| event(day, &id, &record));
            (at, id, event)
        };
        Ok(ids.into_iter().zip(records).map(read).collect())
    }

    /// All events of a day for [`Ledger::verify`], oldest last.
    pub(super) async fn events_of(
        &self,
        day: Day,
        mut each: impl FnMut(LedgerEvent) + Send,
    ) -> Result<(), StoreError> {
        let mut walk = DayWalk {
            day,
            oldest: 0,
            newest: Millis::MAX,
            skip: 0,
        };
        loop {
            let chunk = self.chunk(&walk).await?;
            let count = chunk.len() as u64;
            let ids: Vec<(Millis, String)> = chunk.into_iter().map(|(id, at)| (at as Millis, id)).collect();
            // Continues from the last time and not by offset, because a day may have a million events.
            if let Some(last) = ids.last().map(|(at, _)| *at) {
                let of_it = ids.iter().filter(|(at, _)| *at == last).count() as u64;
                let seen = if walk.newest == last { walk.skip } else { 0 };
                walk.skip = seen + of_it;
                walk.newest = last;
            }
            self.records(day, ids)
                .await?
                .into_iter()
                .filter_map(|(_, _, event)| event)
                .for_each(&mut each);
            if count < CHUNK {
                return Ok(());
            }
        }
    }
}

struct DayWalk {
    day: Day,
    oldest: Millis,
    newest: Millis,
    /// Number of newest entries to skip.
    skip: u64,
}

fn event(day: Day, id: &str, record: &[u8]) -> Option<LedgerEvent> {
    record::read(id, record)
        .inspect_err(|error| tracing::warn!(%error, %day, "left out a ledger event that cannot be read"))
        .ok()
}

/// The time of a call from its id: `req_` and 32 hex digits, of which the first 48 bits are milliseconds.
fn moment(id: &str) -> Option<Millis> {
    let digits = id.strip_prefix("req_").filter(|digits| digits.len() == 32)?;
    let bits = u128::from_str_radix(digits, 16).ok()?;
    Millis::try_from(bits >> 80).ok()
}
