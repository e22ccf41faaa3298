//! Runs the commands of all callers that share one transaction.
//!
//! Touched values are held in memory and written when the group ends, so a counter incremented by a hundred
//! commands costs one row read and one row write. A command checks before it changes anything, so a failed
//! command has changed nothing. Only an atomic batch that fails midway spoils the group, which is then run again
//! without that batch.

mod entry;
mod row;

use std::collections::HashMap;

use redb::{ReadableTable, Table, WriteTransaction};

use super::Fault;
use super::layout::{ENDS, FIELDS, KEYS, RANKS, TRASH, end_row, numbered, range_of};
use super::view::{Budget, Page, View, size};
use crate::port::clock::Millis;
use crate::port::store::{Command, Guard, Reply};
use crate::store::vocabulary::{add, rank, score};
use entry::{Entry, Text};
use row::Value;

/// Keys with up to this many rows are removed at once. The rows of larger ones are removed step by step by the
/// sweep, so that nobody waits for it.
const REMOVED_AT_ONCE: u64 = 1_000;

/// Rows written between two yields to other threads.
const ROWS_AT_A_TIME: u32 = 32;

type Rows<'t> = Table<'t, &'static [u8], &'static [u8]>;

pub(super) struct Group<'a, 't> {
    now: Millis,
    entries: HashMap<&'a str, Entry<'a>>,
    tables: Tables<'t>,
}

pub(super) struct Tables<'t> {
    view: View<Rows<'t>>,
    ends: Rows<'t>,
    trash: Rows<'t>,
    /// The number for the next collection.
    next: u64,
    changed: bool,
    /// Rows written since the last yield.
    written: u32,
}

impl<'a, 't> Group<'a, 't> {
    /// `next`: the number for the next new collection.
    pub(super) fn begin(transaction: &'t WriteTransaction, now: Millis, next: u64) -> Result<Self, Fault> {
        let tables = Tables {
            view: View {
                keys: transaction.open_table(KEYS)?,
                fields: transaction.open_table(FIELDS)?,
                ranks: transaction.open_table(RANKS)?,
            },
            ends: transaction.open_table(ENDS)?,
            trash: transaction.open_table(TRASH)?,
            next,
            changed: false,
            written: 0,
        };
        Ok(Group {
            now,
            entries: HashMap::new(),
            tables,
        })
    }

    /// Writes the changes. Returns whether there were any, and the number for the next collection.
    pub(super) fn end(mut self) -> Result<(bool, u64), Fault> {
        let mut entries: Vec<_> = self.entries.into_iter().collect();
        // Sorted because neighbouring rows share a page, which is then changed once.
        entries.sort_unstable_by_key(|(key, entry)| (entry.number(), *key));
        for (_, entry) in &mut entries {
            entry.write_rows(&mut self.tables)?;
        }
        entries.sort_unstable_by_key(|(key, _)| *key);
        for (key, entry) in &mut entries {
            entry.write_header(key, &mut self.tables)?;
        }
        Ok((self.tables.changed, self.tables.next))
    }

    pub(super) fn holds(&mut self, guard: &'a Guard) -> Result<bool, Fault> {
        let (entry, tables) = self.open(guard.key())?;
        match guard {
            Guard::Value { is: None, .. } => Ok(!entry.exists()),
            Guard::Value { key, is: Some(is) } => {
                let wrong = || guard.wrong_type();
                match entry.text(wrong)? {
                    None => Ok(false),
                    Some(text) => Ok(*text.load(key, tables)? == Value::from(is.clone())),
                }
            }
            Guard::Field { field, is, .. } => match entry.collection::<Value>(|| guard.wrong_type())? {
                None => Ok(is.is_none()),
                Some(fields) => Ok(fields.get(field, tables)? == is.clone().map(Value::from)),
            },
        }
    }

    /// Makes sure that an expired key is treated as gone and removed when the group ends.
    pub(super) fn touch(&mut self, key: &'a str) -> Result<(), Fault> {
        self.open(key).map(drop)
    }

    /// Removes the row from the table of expiries, whatever the key itself says.
    pub(super) fn forget_end(&mut self, row: &[u8]) -> Result<(), Fault> {
        self.tables.changed = true;
        self.tables.ends.remove(row)?;
        Ok(())
    }

    /// Removes at most `limit` rows of deleted collections. Returns whether some are left.
    pub(super) fn empty_trash(&mut self, limit: usize) -> Result<bool, Fault> {
        let tables = &mut self.tables;
        let mut left = limit;
        while left > 0 {
            let first = match tables.trash.first()? {
                Some((row, _)) => row.value().to_vec(),
                None => return Ok(false),
            };
            let (number, _) = numbered(&first).ok_or_else(|| Fault::damaged("a row has no number"))?;
            let (start, end) = (number.to_be_bytes(), number.saturating_add(1).to_be_bytes());
            tables.changed = true;
            for rows in [&mut tables.view.fields, &mut tables.view.ranks] {
                let removed =
                    rows.extract_from_if::<&[u8], _>(start.as_slice()..end.as_slice(), |_, _| true)?;
                for row in removed.take(left) {
                    row?;
                    left -= 1;
                }
            }
            if left > 0 {
                tables.trash.remove(first.as_slice())?;
            }
        }
        Ok(true)
    }

    pub(super) fn apply(&mut self, command: &'a Command) -> Result<Reply, Fault> {
        command.check().map_err(Fault::Command)?;
        if command.is_idle() {
            return Ok(match command {
                Command::HMGet { .. } => Reply::Values(Vec::new()),
                _ => Reply::Int(0),
            });
        }
        if command.writes() {
            self.write(command)
        } else {
            self.read(command)
        }
    }

    fn open(&mut self, key: &'a str) -> Result<(&mut Entry<'a>, &mut Tables<'t>), Fault> {
        let Group { now, entries, tables } = self;
        let entry = match entries.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(Entry::of(tables.view.header(key)?, *now))
            }
        };
        Ok((entry, tables))
    }

    fn write(&mut self, command: &'a Command) -> Result<Reply, Fault> {
        let now = self.now;
        let (entry, tables) = self.open(command.key())?;
        let wrong = || command.wrong_type();
        let mut count = 0;
        match command {
            Command::Set { value, expire_at, .. } => {
                entry.remove();
                if expire_at.is_none_or(|end| end > now) {
                    entry.set(Text::new(Value::from(value.clone())), *expire_at);
                }
                return Ok(Reply::Ok);
            }
            Command::Del { .. } => {
                count = i64::from(entry.exists());
                entry.remove();
            }
            Command::PExpireAt { at, .. } => {
                if *at <= now {
                    entry.remove();
                } else {
                    entry.end_at(*at);
                }
                return Ok(Reply::Ok);
            }
            Command::IncrBy { key, by } => match entry.text(wrong)? {
                None => {
                    count = *by;
                    entry.set(Text::new(Value::Number(count)), None);
                }
                Some(text) => {
                    count = add(key, text.load(key, tables)?.number(), *by).map_err(Fault::Command)?;
                    *text = Text::new(Value::Number(count));
                }
            },
            Command::HSet { entries, .. } => {
                let fields = entry.collection_or_new::<Value>(command.key(), wrong, tables)?;
                for (field, value) in entries {
                    let was = fields.put(field, Some(Value::from(value.clone())), tables)?;
                    count += i64::from(was.is_none());
                }
            }
            Command::HDel { fields: names, .. } => {
                if let Some(fields) = entry.collection::<Value>(wrong)? {
                    for field in names {
                        count += i64::from(fields.put(field, None, tables)?.is_some());
                    }
                }
            }
            Command::HIncrBy { key, field, by } => {
                let fields = entry.collection_or_new::<Value>(command.key(), wrong, tables)?;
                let held = fields.get(field, tables)?.map_or(Some(0), |value| value.number());
                count = add(key, held, *by).map_err(Fault::Command)?;
                fields.put(field, Some(Value::Number(count)), tables)?;
            }
            Command::SAdd { members, .. } => {
                let held = entry.collection_or_new::<()>(command.key(), wrong, tables)?;
                for member in members {
                    count += i64::from(held.put(member, Some(()), tables)?.is_none());
                }
            }
            Command::SRem { members, .. } => {
                if let Some(held) = entry.collection::<()>(wrong)? {
                    for member in members {
                        count += i64::from(held.put(member, None, tables)?.is_some());
                    }
                }
            }
            Command::ZAdd { entries, .. } => {
                let scores = entry.collection_or_new::<u64>(command.key(), wrong, tables)?;
                for (score, member) in entries {
                    count += i64::from(scores.put(member, Some(rank(*score)), tables)?.is_none());
                }
            }
            Command::ZIncrBy { by, member, .. } => {
                let scores = entry.collection_or_new::<u64>(command.key(), wrong, tables)?;
                let sum = scores.get(member, tables)?.map_or(0.0, score) + by + 0.0;
                scores.put(member, Some(rank(sum)), tables)?;
                return Ok(Reply::Score(Some(sum)));
            }
            Command::ZRem { members, .. } => {
                if let Some(scores) = entry.collection::<u64>(wrong)? {
                    for member in members {
                        count += i64::from(scores.put(member, None, tables)?.is_some());
                    }
                }
            }
            Command::ZRemRangeByScore { min, max, .. } => {
                if let Some(scores) = entry.collection::<u64>(wrong)? {
                    let page = Page {
                        min: *min,
                        max: *max,
                        rev: false,
                        offset: 0,
                        limit: u64::MAX,
                    };
                    let number = scores.write(tables)?;
                    let page = tables.view.page(number, &page, &mut Budget(None))?;
                    count = size(page.len() as u64);
                    scores.remove(page.into_iter().map(|(member, _)| member), tables)?;
                }
            }
            _ => {}
        }
        entry.remove_if_empty();
        Ok(Reply::Int(count))
    }

    fn read(&mut self, command: &'a Command) -> Result<Reply, Fault> {
        let (entry, tables) = self.open(command.key())?;
        let wrong = || command.wrong_type();
        let mut budget = Budget(None);
        Ok(match command {
            Command::Get { key } => Reply::Value(match entry.text(wrong)? {
                None => None,
                Some(text) => Some(text.load(key, tables)?.bytes()),
            }),
            Command::HGet { field, .. } => Reply::Value(match entry.collection::<Value>(wrong)? {
                None => None,
                Some(fields) => fields.get(field, tables)?.map(|value| value.bytes()),
            }),
            Command::HMGet { fields: names, .. } => {
                Reply::Values(match entry.collection::<Value>(wrong)? {
                    None => vec![None; names.len()],
                    Some(fields) => {
                        let mut values = Vec::with_capacity(names.len());
                        for field in names {
                            values.push(fields.get(field, tables)?.map(|value| value.bytes()));
                        }
                        values
                    }
                })
            }
            Command::HGetAll { .. } => Reply::Entries(match entry.collection::<Value>(wrong)? {
                None => Vec::new(),
                Some(fields) => {
                    let number = fields.write(tables)?;
                    tables.view.entries(number, &mut budget)?
                }
            }),
            Command::HLen { .. } => Reply::Int(
                entry
                    .collection::<Value>(wrong)?
                    .map_or(0, |fields| size(fields.size())),
            ),
            Command::SMembers { .. } => Reply::Members(match entry.collection::<()>(wrong)? {
                None => Vec::new(),
                Some(held) => {
                    let number = held.write(tables)?;
                    tables.view.members(number, &mut budget)?
                }
            }),
            Command::ZScore { member, .. } => Reply::Score(match entry.collection::<u64>(wrong)? {
                None => None,
                Some(scores) => scores.get(member, tables)?.map(score),
            }),
            Command::ZCard { .. } => Reply::Int(
                entry
                    .collection::<u64>(wrong)?
                    .map_or(0, |scores| size(scores.size())),
            ),
            Command::ZRangeByScore {
                min,
                max,
                rev,
                offset,
                limit,
                ..
            } => Reply::Scored(match entry.collection::<u64>(wrong)? {
                None => Vec::new(),
                Some(scores) => {
                    let number = scores.write(tables)?;
                    let page = Page {
                        min: *min,
                        max: *max,
                        rev: *rev,
                        offset: *offset,
                        limit: *limit,
                    };
                    tables.view.page(number, &page, &mut budget)?
                }
            }),
            _ => Reply::Int(i64::from(entry.exists())),
        })
    }
}

impl Tables<'_> {
    /// The number for a new collection of this key.
    fn number(&mut self, key: &str) -> u64 {
        let number = range_of(key) | self.next;
        self.next = self.next.saturating_add(1);
        number
    }

    /// To be called for each written row. A large group takes milliseconds. Where threads share a core, calls in
    /// progress run first instead of waiting for its end.
    fn wrote(&mut self) {
        self.changed = true;
        self.written += 1;
        if self.written >= ROWS_AT_A_TIME {
            self.written = 0;
            std::thread::yield_now();
        }
    }

    /// Removes a collection of `rows` rows, or leaves it to the sweep.
    fn remove_rows(&mut self, number: u64, rows: u64) -> Result<(), Fault> {
        self.changed = true;
        if rows > REMOVED_AT_ONCE {
            self.trash
                .insert(number.to_be_bytes().as_slice(), [].as_slice())?;
            return Ok(());
        }
        let (start, end) = (number.to_be_bytes(), number.saturating_add(1).to_be_bytes());
        for table in [&mut self.view.fields, &mut self.view.ranks] {
            table.retain_in::<&[u8], _>(start.as_slice()..end.as_slice(), |_, _| false)?;
        }
        Ok(())
    }

    fn set_end(&mut self, key: &str, was: Option<Millis>, is: Option<Millis>) -> Result<(), Fault> {
        if was == is {
            return Ok(());
        }
        if let Some(end) = was {
            self.ends.remove(end_row(end, key).as_slice())?;
        }
        if let Some(end) = is {
            self.ends.insert(end_row(end, key).as_slice(), [].as_slice())?;
        }
        Ok(())
    }
}
