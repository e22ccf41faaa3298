//! Reads the whole file from one snapshot while others write.

use async_trait::async_trait;
use redb::{Range, ReadOnlyTable, ReadTransaction, ReadableTableMetadata as _};
use tokio::runtime::Handle;

use super::layout::{FIELDS, Header, KEYS, bytes, name, rank_of};
use super::{Embedded, Fault, away};
use crate::port::clock::Millis;
use crate::port::store::StoreError;
use crate::port::whole::{Content, PART_BYTES, PART_ELEMENTS, Part, Parts, Whole};
use crate::store::vocabulary::{Kind, score};

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Rows = Range<'static, &'static [u8], &'static [u8]>;

/// Number of parts read per step.
const PARTS: usize = 256;

struct Snapshot {
    keys: Rows,
    fields: Table,
    now: Millis,
    /// The collection being read.
    open: Option<Collection>,
    /// Held until the end, so that its pages are not reused.
    _transaction: ReadTransaction,
}

struct Collection {
    key: String,
    header: Header,
    rows: Rows,
    begins: bool,
}

/// `None` while a step runs on another thread, and permanently if that thread panicked.
struct EmbeddedParts(Option<Snapshot>);

#[async_trait]
impl Whole for Embedded {
    async fn parts<'a>(&'a self) -> Result<Box<dyn Parts + 'a>, StoreError> {
        let now = self.shared.clock.now();
        let begin = || -> Result<Snapshot, Fault> {
            let transaction = self.shared.snapshot()?;
            let keys = transaction.open_table(KEYS)?.range::<&[u8]>(..)?;
            let fields = transaction.open_table(FIELDS)?;
            Ok(Snapshot {
                keys,
                fields,
                now,
                open: None,
                _transaction: transaction,
            })
        };
        let snapshot = begin().map_err(Fault::error)?;
        Ok(Box::new(EmbeddedParts(Some(snapshot))))
    }

    async fn size(&self) -> Result<u64, StoreError> {
        let size = || -> Result<u64, Fault> { Ok(self.shared.snapshot()?.open_table(KEYS)?.len()?) };
        size().map_err(Fault::error)
    }
}

#[async_trait]
impl Parts for EmbeddedParts {
    async fn next(&mut self) -> Result<Option<Vec<Part>>, StoreError> {
        let Some(mut snapshot) = self.0.take() else {
            return Err(away("the reading of it broke off"));
        };
        let reading = Handle::current().spawn_blocking(move || {
            let parts = snapshot.next();
            (snapshot, parts)
        });
        let (snapshot, parts) = reading.await.map_err(|error| away(error.to_string()))?;
        self.0 = Some(snapshot);
        let parts = parts.map_err(Fault::error)?;
        Ok(Some(parts).filter(|parts| !parts.is_empty()))
    }
}

impl Snapshot {
    /// Empty at the end.
    fn next(&mut self) -> Result<Vec<Part>, Fault> {
        let mut parts = Vec::new();
        let mut size = 0;
        while parts.len() < PARTS && size < PART_BYTES {
            let part = match &mut self.open {
                Some(open) => match open.next()? {
                    Some(part) => part,
                    None => {
                        self.open = None;
                        continue;
                    }
                },
                None => match self.open()? {
                    NextKey::End => break,
                    NextKey::Nothing => continue,
                    NextKey::Text(part) => part,
                },
            };
            size += part.content.bytes();
            parts.push(part);
        }
        Ok(parts)
    }

    /// The next key with its text, or ready to read its elements.
    fn open(&mut self) -> Result<NextKey, Fault> {
        let Some(row) = self.keys.next() else {
            return Ok(NextKey::End);
        };
        let (key, row) = row?;
        let key = name(key.value(), 0)?;
        let (header, text) = Header::read(&key, row.value())?;
        if !header.lives(self.now) {
            return Ok(NextKey::Nothing);
        }
        if header.kind == Kind::Text {
            return Ok(NextKey::Text(Part {
                key,
                end: header.end,
                begins: true,
                content: Content::Text(bytes(text)),
            }));
        }
        let (start, end) = (
            header.number.to_be_bytes(),
            header.number.saturating_add(1).to_be_bytes(),
        );
        let rows = self.fields.range::<&[u8]>(start.as_slice()..end.as_slice())?;
        self.open = Some(Collection {
            key,
            header,
            rows,
            begins: true,
        });
        Ok(NextKey::Nothing)
    }
}

enum NextKey {
    End,
    Nothing,
    Text(Part),
}

impl Collection {
    fn next(&mut self) -> Result<Option<Part>, Fault> {
        let mut content = match self.header.kind {
            Kind::Hash => Content::Hash(Vec::new()),
            Kind::Sorted => Content::Sorted(Vec::new()),
            Kind::Set | Kind::Text => Content::Set(Vec::new()),
        };
        let (mut size, mut count) = (0, 0);
        while count < PART_ELEMENTS && size < PART_BYTES {
            let Some(row) = self.rows.next() else { break };
            let (row, value) = row?;
            let (element, value) = (name(row.value(), 8)?, value.value());
            size += element.len() + value.len();
            count += 1;
            match &mut content {
                Content::Hash(entries) => entries.push((element, bytes(value))),
                Content::Sorted(entries) => entries.push((score(rank_of(value)?), element)),
                Content::Set(members) => members.push(element),
                Content::Text(_) => {}
            }
        }
        if count == 0 {
            return Ok(None);
        }
        Ok(Some(Part {
            key: self.key.clone(),
            end: self.header.end,
            begins: std::mem::take(&mut self.begins),
            content,
        }))
    }
}
