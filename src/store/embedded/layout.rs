//! The tables of the file.
//!
//! | table | row | content |
//! | --- | --- | --- |
//! | `keys` | key | type, expiry, then the text; or the collection's number and size |
//! | `fields` | number, field or member | a field's value; nothing (sets); the rank (sorted sets) |
//! | `ranks` | number, rank, member | nothing: a sorted set, lowest score first |
//! | `ends` | expiry, key | nothing: expiring keys, soonest first |
//! | `trash` | number | nothing: deleted collections whose rows must still be removed |
//! | `about` | `layout` | version of the layout |
//!
//! Every collection has its own number, and numbers grow: rows stay short whatever the key's name, new
//! collections are appended, and a key that is deleted or changes its type leaves its rows behind under a number
//! that is never used again. Numbers are stored big-endian, so that rows sort by them.
//!
//! The log of calls and its index only grow at their ends. Their numbers are higher than all others, so that this is
//! also the end of their tables: there redb fills its pages, while it leaves pages in the middle half empty.

use bytes::Bytes;
use redb::{ReadableTable, TableDefinition};

use super::Fault;
use crate::port::clock::Millis;
use crate::store::keys::{INDEX, LEDGER_REQUESTS};
use crate::store::vocabulary::{Kind, unreadable};

pub(super) type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

pub(super) const KEYS: Rows = TableDefinition::new("keys");
pub(super) const FIELDS: Rows = TableDefinition::new("fields");
pub(super) const RANKS: Rows = TableDefinition::new("ranks");
pub(super) const ENDS: Rows = TableDefinition::new("ends");
pub(super) const TRASH: Rows = TableDefinition::new("trash");
pub(super) const ABOUT: Rows = TableDefinition::new("about");

pub(super) const LAYOUT: &[u8] = b"layout";
pub(super) const LAYOUT_NOW: &[u8] = b"1";

/// Numbers of logs and their indexes start here. Numbers below belong to all other collections.
const LOGS: u64 = 1 << 63;
const INDEXES: u64 = 1 << 62;

/// The first number of the collection's range.
pub(super) fn range_of(key: &str) -> u64 {
    match key.strip_prefix(LEDGER_REQUESTS) {
        Some(rest) if rest.ends_with(INDEX) => INDEXES,
        Some(_) => LOGS,
        None => 0,
    }
}

/// Whether names are nearly always added to the collection in ascending order.
pub(super) fn is_appended(number: u64) -> bool {
    number >= INDEXES
}

/// The first number after all numbers with rows in this table.
pub(super) fn next_number(
    fields: &impl ReadableTable<&'static [u8], &'static [u8]>,
) -> Result<u64, redb::StorageError> {
    let mut next = 1;
    for (start, end) in [(0, INDEXES), (INDEXES, LOGS), (LOGS, u64::MAX)] {
        let (start, end) = (start.to_be_bytes(), end.to_be_bytes());
        let mut rows = fields.range::<&[u8]>(start.as_slice()..end.as_slice())?;
        if let Some(row) = rows.next_back() {
            let number = numbered(row?.0.value()).map_or(0, |(number, _)| number);
            next = next.max((number & (INDEXES - 1)).saturating_add(1));
        }
    }
    Ok(next)
}

/// The row of a key in `keys`, without a string's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) end: Option<Millis>,
    /// Both 0 for a text.
    pub(super) number: u64,
    pub(super) size: u64,
}

impl Header {
    pub(super) fn lives(&self, now: Millis) -> bool {
        self.end.is_none_or(|end| end > now)
    }

    pub(super) fn row(&self, text: &[u8]) -> Vec<u8> {
        let mut row = Vec::with_capacity(25 + text.len());
        row.push(match self.kind {
            Kind::Text => b't',
            Kind::Hash => b'h',
            Kind::Set => b's',
            Kind::Sorted => b'z',
        });
        // 0 marks the absence of an expiry: a key that expires at 0 is never written.
        row.extend(self.end.unwrap_or(0).to_be_bytes());
        if self.kind == Kind::Text {
            row.extend(text);
        } else {
            row.extend(self.number.to_be_bytes());
            row.extend(self.size.to_be_bytes());
        }
        row
    }

    /// The header of the row and the text after it.
    pub(super) fn read<'r>(key: &str, row: &'r [u8]) -> Result<(Header, &'r [u8]), Fault> {
        parse(row).ok_or_else(|| Fault::Command(unreadable(key, "its row in the data file is damaged")))
    }
}

fn parse(row: &[u8]) -> Option<(Header, &[u8])> {
    let (kind, row) = row.split_first()?;
    let (end, row) = row.split_first_chunk()?;
    let end = match u64::from_be_bytes(*end) {
        0 => None,
        end => Some(end),
    };
    let kind = match kind {
        b't' => {
            return Some((
                Header {
                    kind: Kind::Text,
                    end,
                    number: 0,
                    size: 0,
                },
                row,
            ));
        }
        b'h' => Kind::Hash,
        b's' => Kind::Set,
        b'z' => Kind::Sorted,
        _ => return None,
    };
    let (number, row) = row.split_first_chunk()?;
    let (size, text) = row.split_first_chunk()?;
    let (number, size) = (u64::from_be_bytes(*number), u64::from_be_bytes(*size));
    Some((
        Header {
            kind,
            end,
            number,
            size,
        },
        text,
    ))
}

/// The row of a field or member.
pub(super) fn field_row(number: u64, name: &str) -> Vec<u8> {
    let mut row = Vec::with_capacity(8 + name.len());
    row.extend(number.to_be_bytes());
    row.extend(name.as_bytes());
    row
}

pub(super) fn rank_row(number: u64, rank: u64, member: &str) -> Vec<u8> {
    let mut row = rank_start(number, rank).to_vec();
    row.extend(member.as_bytes());
    row
}

/// The first possible row of members with that rank.
pub(super) fn rank_start(number: u64, rank: u64) -> [u8; 16] {
    (u128::from(number) << 64 | u128::from(rank)).to_be_bytes()
}

pub(super) fn end_row(end: Millis, key: &str) -> Vec<u8> {
    let mut row = Vec::with_capacity(8 + key.len());
    row.extend(end.to_be_bytes());
    row.extend(key.as_bytes());
    row
}

/// A row's leading number and the rest.
pub(super) fn numbered(row: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = row.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

/// The rest of a row after `skip` bytes, which is a name.
pub(super) fn name(row: &[u8], skip: usize) -> Result<String, Fault> {
    let name = row.get(skip..).and_then(|name| std::str::from_utf8(name).ok());
    name.map(str::to_owned)
        .ok_or_else(|| Fault::damaged("a name is not UTF-8"))
}

pub(super) fn rank_of(row: &[u8]) -> Result<u64, Fault> {
    let rank = row.try_into().map_err(|_| Fault::damaged("a row has no rank"))?;
    Ok(u64::from_be_bytes(rank))
}

pub(super) fn bytes(row: &[u8]) -> Bytes {
    Bytes::copy_from_slice(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_back() {
        let text = Header {
            kind: Kind::Text,
            end: None,
            number: 0,
            size: 0,
        };
        assert_eq!(parse(&text.row(b"\0text")), Some((text, &b"\0text"[..])));
        for kind in [Kind::Hash, Kind::Set, Kind::Sorted] {
            let header = Header {
                kind,
                end: Some(u64::MAX),
                number: 7,
                size: u64::MAX - 1,
            };
            assert_eq!(parse(&header.row(b"")), Some((header, &b""[..])));
        }
    }

    #[test]
    fn a_damaged_header_names_the_key() {
        for row in [
            &b""[..],
            b"t",
            b"t1234567",
            b"x12345678",
            b"h12345678",
            b"h1234567812345678",
        ] {
            match Header::read("k", row) {
                Err(Fault::Command(error)) => assert!(error.to_string().contains("the key k "), "{error}"),
                _ => panic!("{row:?}"),
            }
        }
    }
}
