//! Writes a batch of events in one atomic step of the store.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use super::bucket::{self, Bucket, DETAILED, METRICS, Scope, figures};
use super::durations::Times;
use super::{Ledger, REQUEST_LOG_DAYS, record};
use crate::model::calendar::{self, Calendar, Day, Hour};
use crate::model::usage::{LedgerEvent, Tokens, Totals};
use crate::port::clock::Millis;
use crate::port::store::{Applied, Command, Guard, Reply, StoreError};
use crate::store::keys;

/// Retention of a batch's marker. A lost answer is retried within seconds.
const MARKER_DAYS: u64 = 2;

/// A batch with an event older than this may be older than its marker, so each of its events is looked up as
/// well.
const LATE: u64 = (MARKER_DAYS - 1) * calendar::DAY;

/// The model under which unserved calls are counted. Its name is only the client's, and clients could invent any
/// number of names.
pub const UNSERVED: &str = "(unserved)";

/// Maximum length of a model's name in the store, bytes.
const NAME_BYTES: usize = 200;

/// Maximum length of an error code in the store, bytes. Ours are shorter, and so are providers' real codes.
const CODE_BYTES: usize = 48;

/// Limit for sums, far below the range of a 64-bit counter.
const MOST: u64 = 1 << 53;

/// The result of writing a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    Written,
    /// The batch had been written before; nothing was changed.
    Repeated,
}

impl Ledger {
    /// Like [`append_new`](Self::append_new), but does not look up events in the log.
    #[cfg(test)]
    pub async fn append(
        &self,
        batch: &str,
        events: &[LedgerEvent],
        now: Millis,
    ) -> Result<AppendOutcome, StoreError> {
        self.append_new(batch, events, false, now).await
    }

    /// Writes a batch. `batch`: its id, which must always come with the same events. `look`: skip events that are
    /// already in the log. `now` determines the marker's expiry. A batch sent again days later is still counted
    /// once, because its events are then looked up one by one.
    pub async fn append_new(
        &self,
        batch: &str,
        events: &[LedgerEvent],
        look: bool,
        now: Millis,
    ) -> Result<AppendOutcome, StoreError> {
        self.write(batch, events.iter().collect(), Vec::new(), look, now)
            .await
    }

    /// Like [`append_new`](Self::append_new), with further commands in the same step.
    pub async fn append_with(
        &self,
        batch: &str,
        events: &[&LedgerEvent],
        and: Vec<Command>,
        now: Millis,
    ) -> Result<AppendOutcome, StoreError> {
        self.write(batch, events.to_vec(), and, false, now).await
    }

    /// Like [`append_with`](Self::append_with), but skips events that are already in the log.
    pub async fn append_unwritten(
        &self,
        batch: &str,
        events: &[&LedgerEvent],
        and: Vec<Command>,
        now: Millis,
    ) -> Result<AppendOutcome, StoreError> {
        self.write(batch, events.to_vec(), and, true, now).await
    }

    async fn write(
        &self,
        batch: &str,
        mut events: Vec<&LedgerEvent>,
        and: Vec<Command>,
        look: bool,
        now: Millis,
    ) -> Result<AppendOutcome, StoreError> {
        let mut seen = HashSet::new();
        events.retain(|event| seen.insert(event.request_id.as_str()));
        let look = look || events.iter().any(|event| event.at.saturating_add(LATE) < now);
        loop {
            if events.is_empty() {
                return Ok(AppendOutcome::Repeated);
            }
            let mut guards = vec![Guard::Value {
                key: keys::ledger_batch(batch),
                is: None,
            }];
            if look {
                guards.extend(events.iter().map(|event| Guard::Field {
                    key: keys::ledger_requests(self.calendar.day(event.at)),
                    field: event.request_id.clone(),
                    is: None,
                }));
            }
            let mut commands = self.commands(batch, &events, now)?;
            commands.extend(and.iter().cloned());
            match self.store.atomically(guards, commands).await? {
                Applied::Yes => return Ok(AppendOutcome::Written),
                Applied::No { guard: 0 } => return Ok(AppendOutcome::Repeated),
                // Few batches have an event that is in the log already, so only these ask which ones.
                Applied::No { .. } => events = self.unwritten(events).await?,
            }
        }
    }

    async fn unwritten<'a>(&self, events: Vec<&'a LedgerEvent>) -> Result<Vec<&'a LedgerEvent>, StoreError> {
        let asks = events
            .iter()
            .map(|event| Command::HGet {
                key: keys::ledger_requests(self.calendar.day(event.at)),
                field: event.request_id.clone(),
            })
            .collect();
        let replies = self.store.run(asks).await?;
        let fresh = events
            .into_iter()
            .zip(replies)
            .filter(|(_, reply)| *reply == Reply::Value(None));
        Ok(fresh.map(|(event, _)| event).collect())
    }

    pub(super) fn commands(
        &self,
        batch: &str,
        events: &[&LedgerEvent],
        now: Millis,
    ) -> Result<Vec<Command>, StoreError> {
        let mut commands = vec![Command::Set {
            key: keys::ledger_batch(batch),
            value: Bytes::from_static(b"1"),
            expire_at: Some(now.saturating_add(MARKER_DAYS * calendar::DAY)),
        }];
        self.log(events, &mut commands)?;
        Rollup::of(events, self.calendar).write(self.calendar, &mut commands);
        Ok(commands)
    }

    /// Adds the events to the log, by day.
    pub(super) fn log(&self, events: &[&LedgerEvent], commands: &mut Vec<Command>) -> Result<(), StoreError> {
        type Records = (Vec<(String, Bytes)>, Vec<(f64, String)>);
        let mut days: BTreeMap<Day, Records> = BTreeMap::new();
        for event in events {
            let day = self.calendar.day(event.at);
            let record = record::write(event).map_err(|error| StoreError::Unreadable {
                key: keys::ledger_requests(day),
                reason: error.to_string(),
            })?;
            let (records, index) = days.entry(day).or_default();
            records.push((event.request_id.clone(), record.into()));
            index.push((event.at as f64, event.request_id.clone()));
        }
        for (day, (records, index)) in days {
            let at = self.calendar.start(day.after(self.request_log_days + 1));
            let (log, times) = (keys::ledger_requests(day), keys::ledger_requests_index(day));
            commands.push(Command::HSet {
                key: log.clone(),
                entries: records,
            });
            commands.push(Command::ZAdd {
                key: times.clone(),
                entries: index,
            });
            commands.push(Command::PExpireAt { key: log, at });
            commands.push(Command::PExpireAt { key: times, at });
        }
        Ok(())
    }
}

/// The increments that a batch adds to the sums and rankings.
#[derive(Debug, Default)]
pub(super) struct Rollup<'a> {
    pub(super) sums: BTreeMap<(Bucket, Scope<'a>), Totals>,
    /// For all calls in every bucket, for keys, accounts and models by day only, because a spread has many
    /// fields.
    pub(super) times: BTreeMap<(Bucket, Scope<'a>), Times>,
    /// By error code, from days on; for keys, accounts and models by day only.
    pub(super) failures: BTreeMap<(Bucket, Scope<'a>, String), u64>,
    /// The last use of each key.
    keys: BTreeMap<&'a str, Millis>,
    accounts: BTreeMap<&'a str, Millis>,
}

impl<'a> Rollup<'a> {
    pub(super) fn of(events: &[&'a LedgerEvent], calendar: Calendar) -> Self {
        // Most events of a batch agree in all of these, so their many sums are computed once.
        let mut alike: HashMap<(Hour, &str, &str, &str), (Totals, Times)> = HashMap::new();
        let mut rollup = Self::default();
        for event in events {
            let hour = calendar.hour(event.at);
            let (key, account, model) = (event.key_id.as_str(), event.account_id.as_str(), model(event));
            let (totals, times) = alike.entry((hour, key, account, model)).or_default();
            *totals += bucket::of_event(event);
            *times += Times::of(event);
            if let Some(code) = code(event) {
                let of = [Scope::Key(key), Scope::Account(account), Scope::Model(model)];
                rollup.failed(hour, of, &code);
            }
            for (used, id) in [
                (&mut rollup.keys, &event.key_id),
                (&mut rollup.accounts, &event.account_id),
            ] {
                let last = used.entry(id).or_default();
                *last = event.at.max(*last);
            }
        }
        for ((hour, key, account, model), (totals, times)) in alike {
            let day = hour.day();
            for bucket in [
                Bucket::Hour(hour),
                Bucket::Day(day),
                Bucket::Month(day.month()),
                Bucket::All,
            ] {
                for scope in [
                    Scope::Total,
                    Scope::Key(key),
                    Scope::Account(account),
                    Scope::Model(model),
                ] {
                    *rollup.sums.entry((bucket, scope)).or_default() += totals;
                }
                if matches!(bucket, Bucket::Day(_) | Bucket::All) {
                    *rollup
                        .sums
                        .entry((bucket, Scope::KeyModel(key, model)))
                        .or_default() += totals;
                }
            }
            *rollup
                .sums
                .entry((Bucket::Day(day), Scope::KeyAccount(key, account)))
                .or_default() += totals;
            let day = Bucket::Day(day);
            for of in [
                (Bucket::Hour(hour), Scope::Total),
                (day, Scope::Total),
                (day, Scope::Key(key)),
                (day, Scope::Account(account)),
                (day, Scope::Model(model)),
                (Bucket::Month(hour.day().month()), Scope::Total),
                (Bucket::All, Scope::Total),
            ] {
                *rollup.times.entry(of).or_default() += times;
            }
        }
        rollup
    }

    fn failed(&mut self, hour: Hour, of: [Scope<'a>; 3], code: &str) {
        let day = Bucket::Day(hour.day());
        let all = [day, Bucket::Month(hour.day().month()), Bucket::All].map(|bucket| (bucket, Scope::Total));
        for (bucket, scope) in all.into_iter().chain(of.map(|scope| (day, scope))) {
            *self.failures.entry((bucket, scope, code.to_owned())).or_default() += 1;
        }
    }

    fn write(self, calendar: Calendar, commands: &mut Vec<Command>) {
        let mut ends = BTreeSet::new();
        for ((bucket, scope), times) in &self.times {
            let counted = times.figures().filter(|(_, count)| *count > 0);
            commands.extend(counted.map(|(metric, count)| Command::HIncrBy {
                key: keys::ledger_sums(bucket),
                field: bucket::field(&metric, *scope),
                by: count.min(MOST) as i64,
            }));
        }
        for ((bucket, scope, code), count) in self.failures {
            // The codes of other scopes are looked up among those of the total.
            if scope != Scope::Total {
                commands.push(Command::HIncrBy {
                    key: keys::ledger_sums(bucket),
                    field: bucket::field(&bucket::failure_metric(&code), scope),
                    by: count.min(MOST) as i64,
                });
                continue;
            }
            let key = keys::ledger_failures(bucket);
            ends.extend(bucket.expire_at(calendar).map(|at| (key.clone(), at)));
            commands.push(Command::ZIncrBy {
                key,
                by: count as f64,
                member: code,
            });
        }
        for ((bucket, scope), totals) in self.sums {
            let key = keys::ledger_sums(bucket);
            for (metric, figure) in METRICS.into_iter().zip(figures(&totals)) {
                if figure > 0 {
                    let by = figure.min(MOST) as i64;
                    commands.push(Command::HIncrBy {
                        key: key.clone(),
                        field: bucket::field(metric, scope),
                        by,
                    });
                }
            }
            if let (Bucket::Day(_), Scope::Total) = (bucket, scope) {
                commands.push(Command::HIncrBy {
                    key: key.clone(),
                    field: bucket::field(DETAILED, scope),
                    by: totals.requests.min(MOST) as i64,
                });
            }
            let expire_at = bucket.expire_at(calendar);
            ends.extend(expire_at.map(|at| (key, at)));
            if matches!(bucket, Bucket::Hour(_)) {
                continue;
            }
            for (kind, member) in scope.rankings() {
                let key = keys::ledger_rank(bucket, kind);
                ends.extend(expire_at.map(|at| (key.clone(), at)));
                // Adding zero still creates the entry; calls without cost must be listed, too.
                commands.push(Command::ZIncrBy {
                    key,
                    by: totals.cost.0.min(MOST) as f64,
                    member: member.to_owned(),
                });
            }
        }
        commands.extend(ends.into_iter().map(|(key, at)| Command::PExpireAt { key, at }));
        for (kind, used) in [("keys", self.keys), ("accounts", self.accounts)] {
            let entries = used
                .into_iter()
                .map(|(id, at)| (at as f64, id.to_owned()))
                .collect();
            commands.push(Command::ZAdd {
                key: keys::ledger_last_used(kind),
                entries,
            });
        }
    }
}

/// The model name that a call is counted under.
fn model(event: &LedgerEvent) -> &str {
    if event.tokens == Tokens::default() && event.status >= 400 {
        return UNSERVED;
    }
    let mut end = NAME_BYTES.min(event.model.len());
    while !event.model.is_char_boundary(end) {
        end -= 1;
    }
    event.model.get(..end).unwrap_or_default()
}

/// The error code that a failed call is counted under. A provider's code is used if it looks like one.
fn code(event: &LedgerEvent) -> Option<Cow<'_, str>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match event.error.as_deref() {
        Some(code) if !code.is_empty() && code.len() <= CODE_BYTES && code.chars().all(plain) => {
            Some(Cow::Borrowed(code))
        }
        Some(_) => Some(Cow::Borrowed("other")),
        None if event.status >= 400 => Some(Cow::Owned(format!("status_{}", event.status))),
        None => None,
    }
}

const _: () = assert!(MARKER_DAYS < REQUEST_LOG_DAYS as u64);
