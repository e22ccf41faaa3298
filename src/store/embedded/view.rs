//! Reads the tables, in a snapshot or in the open write transaction.

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable};

use super::Fault;
use super::layout::{self, FIELDS, Header, KEYS, RANKS, bytes, field_row, name, rank_of, rank_start};
use crate::port::clock::Millis;
use crate::port::store::{Command, Reply};
use crate::store::vocabulary::{Kind, rank, score};
use bytes::Bytes;

pub(super) struct View<T> {
    pub(super) keys: T,
    pub(super) fields: T,
    pub(super) ranks: T,
}

/// Number of rows that may still be read; `None`: unlimited.
pub(super) struct Budget(pub(super) Option<u32>);

impl Budget {
    fn spend(&mut self) -> Result<(), Fault> {
        match &mut self.0 {
            None => Ok(()),
            Some(0) => Err(Fault::Long),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

/// A page of a sorted set.
pub(super) struct Page {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) rev: bool,
    pub(super) offset: u64,
    pub(super) limit: u64,
}

impl View<ReadOnlyTable<&'static [u8], &'static [u8]>> {
    pub(super) fn of(snapshot: &ReadTransaction) -> Result<Self, Fault> {
        Ok(View {
            keys: snapshot.open_table(KEYS)?,
            fields: snapshot.open_table(FIELDS)?,
            ranks: snapshot.open_table(RANKS)?,
        })
    }

    /// Answers a read command.
    pub(super) fn read(&self, now: Millis, command: &Command, budget: &mut Budget) -> Result<Reply, Fault> {
        command.check().map_err(Fault::Command)?;
        if command.is_idle() {
            // Of the reading commands, only this one can name no fields.
            return Ok(Reply::Values(Vec::new()));
        }
        budget.spend()?;
        let key = command.key();
        let record = self.keys.get(key.as_bytes())?;
        let found = match &record {
            Some(row) => Some(Header::read(key, row.value())?).filter(|(header, _)| header.lives(now)),
            None => None,
        };
        if let (Some(kind), Some((header, _))) = (command.kind(), &found)
            && kind != header.kind
        {
            return Err(Fault::Command(command.wrong_type()));
        }
        // Numbers begin at 1, so there is nothing at 0.
        let number = found.as_ref().map_or(0, |(header, _)| header.number);
        Ok(match command {
            Command::Exists { .. } => Reply::Int(found.is_some().into()),
            Command::Get { .. } => Reply::Value(found.map(|(_, text)| bytes(text))),
            Command::HGet { field, .. } => Reply::Value(self.field(number, field, bytes)?),
            Command::HMGet { fields, .. } => {
                let mut values = Vec::with_capacity(fields.len());
                for field in fields {
                    budget.spend()?;
                    values.push(self.field(number, field, bytes)?);
                }
                Reply::Values(values)
            }
            Command::HGetAll { .. } => Reply::Entries(self.entries(number, budget)?),
            Command::SMembers { .. } => Reply::Members(self.members(number, budget)?),
            Command::ZScore { member, .. } => {
                let rank = self.field(number, member, rank_of)?.transpose()?;
                Reply::Score(rank.map(score))
            }
            Command::ZRangeByScore {
                min,
                max,
                rev,
                offset,
                limit,
                ..
            } => {
                let page = Page {
                    min: *min,
                    max: *max,
                    rev: *rev,
                    offset: *offset,
                    limit: *limit,
                };
                Reply::Scored(self.page(number, &page, budget)?)
            }
            _ => Reply::Int(size(found.as_ref().map_or(0, |(header, _)| header.size))),
        })
    }
}

pub(super) fn size(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

impl<T: ReadableTable<&'static [u8], &'static [u8]>> View<T> {
    pub(super) fn field<V>(&self, number: u64, name: &str, read: fn(&[u8]) -> V) -> Result<Option<V>, Fault> {
        let row = self.fields.get(field_row(number, name).as_slice())?;
        Ok(row.map(|row| read(row.value())))
    }

    /// The last field or member of a collection.
    pub(super) fn last(&self, number: u64) -> Result<Option<String>, Fault> {
        let (start, end) = (number.to_be_bytes(), number.saturating_add(1).to_be_bytes());
        let mut rows = self.fields.range::<&[u8]>(start.as_slice()..end.as_slice())?;
        match rows.next_back() {
            Some(row) => Ok(Some(name(row?.0.value(), 8)?)),
            None => Ok(None),
        }
    }

    pub(super) fn entries(&self, number: u64, budget: &mut Budget) -> Result<Vec<(String, Bytes)>, Fault> {
        self.scan(number, budget, |row, value| Ok((name(row, 8)?, bytes(value))))
    }

    pub(super) fn members(&self, number: u64, budget: &mut Budget) -> Result<Vec<String>, Fault> {
        self.scan(number, budget, |row, _| name(row, 8))
    }

    fn scan<V>(
        &self,
        number: u64,
        budget: &mut Budget,
        read: fn(&[u8], &[u8]) -> Result<V, Fault>,
    ) -> Result<Vec<V>, Fault> {
        let (start, end) = (number.to_be_bytes(), number.saturating_add(1).to_be_bytes());
        let mut values = Vec::new();
        for row in self.fields.range::<&[u8]>(start.as_slice()..end.as_slice())? {
            budget.spend()?;
            let (row, value) = row?;
            values.push(read(row.value(), value.value())?);
        }
        Ok(values)
    }

    pub(super) fn page(
        &self,
        number: u64,
        page: &Page,
        budget: &mut Budget,
    ) -> Result<Vec<(String, f64)>, Fault> {
        // An inverted range panics or fails in the range calls below.
        if page.min > page.max || page.limit == 0 {
            return Ok(Vec::new());
        }
        let start = rank_start(number, rank(page.min));
        // No score has the highest rank.
        let end = rank_start(number, rank(page.max).saturating_add(1));
        let mut rows = self.ranks.range::<&[u8]>(start.as_slice()..end.as_slice())?;
        let mut skip = page.offset;
        let mut found = Vec::new();
        loop {
            let row = if page.rev { rows.next_back() } else { rows.next() };
            let Some(row) = row else { return Ok(found) };
            budget.spend()?;
            let (row, _) = row?;
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let row = row.value();
            let (_, rest) = layout::numbered(row).ok_or_else(|| Fault::damaged("a row has no rank"))?;
            let (rank, _) = layout::numbered(rest).ok_or_else(|| Fault::damaged("a row has no rank"))?;
            found.push((name(row, 16)?, score(rank)));
            if u64::try_from(found.len()).unwrap_or(u64::MAX) >= page.limit {
                return Ok(found);
            }
        }
    }

    pub(super) fn header(&self, key: &str) -> Result<Option<Header>, Fault> {
        match self.keys.get(key.as_bytes())? {
            Some(row) => Ok(Some(Header::read(key, row.value())?.0)),
            None => Ok(None),
        }
    }

    /// The text at the key, which must be one.
    pub(super) fn text(&self, key: &str) -> Result<Bytes, Fault> {
        match self.keys.get(key.as_bytes())? {
            Some(row) => match Header::read(key, row.value())? {
                (Header { kind: Kind::Text, .. }, text) => Ok(bytes(text)),
                _ => Err(Fault::damaged("a key has no text")),
            },
            None => Err(Fault::damaged("a text is missing")),
        }
    }
}
