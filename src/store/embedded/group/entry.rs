//! A key within a group of commands: its state in the tables and its new state.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;

use super::Tables;
use super::row::{Row, Value};
use crate::port::clock::Millis;
use crate::port::store::StoreError;
use crate::store::embedded::Fault;
use crate::store::embedded::layout::{Header, field_row, is_appended, rank_row};
use crate::store::vocabulary::Kind;

pub(super) struct Entry<'a> {
    /// The value in the tables, even if it has expired.
    stored: Option<Header>,
    live: Option<Live<'a>>,
    /// Deleted collections of this key: number and row count.
    gone: Vec<(u64, u64)>,
}

struct Live<'a> {
    end: Option<Millis>,
    body: Body<'a>,
}

pub(super) enum Body<'a> {
    Text(Text),
    Hash(Collection<'a, Value>),
    Set(Collection<'a, ()>),
    Sorted(Collection<'a, u64>),
}

pub(super) struct Text {
    /// `None` if it is unchanged and not read yet.
    value: Option<Value>,
    changed: bool,
}

pub(super) struct Collection<'a, V> {
    number: u64,
    size: u64,
    /// Number of its rows in the tables.
    rows: u64,
    /// The last row's name, once known: no row after it exists.
    last: Option<String>,
    slots: HashMap<&'a str, Slot<V>>,
}

/// A field or member.
struct Slot<V> {
    /// The value in the tables.
    was: Option<V>,
    is: Option<V>,
}

impl<'a> Entry<'a> {
    pub(super) fn of(stored: Option<Header>, now: Millis) -> Entry<'a> {
        let mut entry = Entry {
            stored,
            live: None,
            gone: Vec::new(),
        };
        if let Some(header) = stored {
            entry.live = Some(Live {
                end: header.end,
                body: Body::of(&header),
            });
            if !header.lives(now) {
                entry.remove();
            }
        }
        entry
    }

    pub(super) fn exists(&self) -> bool {
        self.live.is_some()
    }

    /// Number of its collection, or 0.
    pub(super) fn number(&self) -> u64 {
        self.live
            .as_ref()
            .and_then(|live| live.body.place())
            .map_or(0, |(number, _, _)| number)
    }

    pub(super) fn remove(&mut self) {
        let place = self.live.take().and_then(|live| live.body.place());
        if let Some((number, _, rows @ 1..)) = place {
            self.gone.push((number, rows));
        }
    }

    /// Removes a key whose last field or member was removed.
    pub(super) fn remove_if_empty(&mut self) {
        let place = self.live.as_ref().and_then(|live| live.body.place());
        if matches!(place, Some((_, 0, _))) {
            self.remove();
        }
    }

    /// Sets a text at a key that does not exist.
    pub(super) fn set(&mut self, text: Text, end: Option<Millis>) {
        self.live = Some(Live {
            end,
            body: Body::Text(text),
        });
    }

    pub(super) fn end_at(&mut self, end: Millis) {
        if let Some(live) = &mut self.live {
            live.end = Some(end);
        }
    }

    pub(super) fn text(&mut self, wrong: impl Fn() -> StoreError) -> Result<Option<&mut Text>, Fault> {
        match &mut self.live {
            None => Ok(None),
            Some(Live {
                body: Body::Text(text),
                ..
            }) => Ok(Some(text)),
            Some(_) => Err(Fault::Command(wrong())),
        }
    }

    pub(super) fn collection<V: Member>(
        &mut self,
        wrong: impl Fn() -> StoreError,
    ) -> Result<Option<&mut Collection<'a, V>>, Fault> {
        match &mut self.live {
            None => Ok(None),
            Some(live) => match V::of(&mut live.body) {
                Some(collection) => Ok(Some(collection)),
                None => Err(Fault::Command(wrong())),
            },
        }
    }

    pub(super) fn collection_or_new<V: Member>(
        &mut self,
        key: &str,
        wrong: impl Fn() -> StoreError,
        tables: &mut Tables<'_>,
    ) -> Result<&mut Collection<'a, V>, Fault> {
        let live = self.live.get_or_insert_with(|| Live {
            end: None,
            body: V::body(Collection {
                number: tables.number(key),
                size: 0,
                rows: 0,
                last: None,
                slots: HashMap::new(),
            }),
        });
        V::of(&mut live.body).ok_or_else(|| Fault::Command(wrong()))
    }

    pub(super) fn write_rows(&mut self, tables: &mut Tables<'_>) -> Result<(), Fault> {
        for (number, rows) in self.gone.drain(..) {
            tables.remove_rows(number, rows)?;
        }
        match self.live.as_mut().map(|live| &mut live.body) {
            None | Some(Body::Text(_)) => {}
            Some(Body::Hash(fields)) => drop(fields.write(tables)?),
            Some(Body::Set(members)) => drop(members.write(tables)?),
            Some(Body::Sorted(scores)) => drop(scores.write(tables)?),
        }
        Ok(())
    }

    pub(super) fn write_header(&mut self, key: &str, tables: &mut Tables<'_>) -> Result<(), Fault> {
        let header = self.live.as_ref().map(Live::header);
        let changed = match self.live.as_mut().map(|live| &mut live.body) {
            Some(Body::Text(text)) => text.changed,
            _ => false,
        };
        if header == self.stored && !changed {
            return Ok(());
        }
        tables.changed = true;
        tables.set_end(
            key,
            self.stored.and_then(|header| header.end),
            header.and_then(|header| header.end),
        )?;
        let (Some(header), Some(live)) = (header, &mut self.live) else {
            tables.view.keys.remove(key.as_bytes())?;
            return Ok(());
        };
        let row = match &mut live.body {
            Body::Text(text) => header.row(&text.load(key, tables)?.bytes()),
            _ => header.row(&[]),
        };
        tables.view.keys.insert(key.as_bytes(), row.as_slice())?;
        Ok(())
    }
}

impl Live<'_> {
    fn header(&self) -> Header {
        let (number, size, _) = self.body.place().unwrap_or_default();
        Header {
            kind: self.body.kind(),
            end: self.end,
            number,
            size,
        }
    }
}

impl Body<'_> {
    fn of(header: &Header) -> Self {
        let (number, size) = (header.number, header.size);
        match header.kind {
            Kind::Text => Body::Text(Text {
                value: None,
                changed: false,
            }),
            Kind::Hash => Body::Hash(Collection::stored(number, size)),
            Kind::Set => Body::Set(Collection::stored(number, size)),
            Kind::Sorted => Body::Sorted(Collection::stored(number, size)),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Body::Text(_) => Kind::Text,
            Body::Hash(_) => Kind::Hash,
            Body::Set(_) => Kind::Set,
            Body::Sorted(_) => Kind::Sorted,
        }
    }

    /// A collection's number, its size, and its row count in the tables.
    fn place(&self) -> Option<(u64, u64, u64)> {
        match self {
            Body::Text(_) => None,
            Body::Hash(fields) => Some((fields.number, fields.size, fields.rows)),
            Body::Set(members) => Some((members.number, members.size, members.rows)),
            Body::Sorted(scores) => Some((scores.number, scores.size, scores.rows)),
        }
    }
}

impl Text {
    pub(super) fn new(value: Value) -> Text {
        Text {
            value: Some(value),
            changed: true,
        }
    }

    /// Reads the text if necessary. `key`: where it is in the tables.
    pub(super) fn load(&mut self, key: &str, tables: &Tables<'_>) -> Result<&Value, Fault> {
        let value = match self.value.take() {
            Some(value) => value,
            None => Value::from(tables.view.text(key)?),
        };
        Ok(self.value.insert(value))
    }
}

/// The row content of one kind of collection.
pub(super) trait Member: Row {
    fn of<'e, 'a>(body: &'e mut Body<'a>) -> Option<&'e mut Collection<'a, Self>>;
    fn body(collection: Collection<'_, Self>) -> Body<'_>;
}

impl Member for Value {
    fn of<'e, 'a>(body: &'e mut Body<'a>) -> Option<&'e mut Collection<'a, Self>> {
        match body {
            Body::Hash(fields) => Some(fields),
            _ => None,
        }
    }

    fn body(collection: Collection<'_, Self>) -> Body<'_> {
        Body::Hash(collection)
    }
}

impl Member for () {
    fn of<'e, 'a>(body: &'e mut Body<'a>) -> Option<&'e mut Collection<'a, Self>> {
        match body {
            Body::Set(members) => Some(members),
            _ => None,
        }
    }

    fn body(collection: Collection<'_, Self>) -> Body<'_> {
        Body::Set(collection)
    }
}

impl Member for u64 {
    fn of<'e, 'a>(body: &'e mut Body<'a>) -> Option<&'e mut Collection<'a, Self>> {
        match body {
            Body::Sorted(scores) => Some(scores),
            _ => None,
        }
    }

    fn body(collection: Collection<'_, Self>) -> Body<'_> {
        Body::Sorted(collection)
    }
}

impl<'a, V: Row> Collection<'a, V> {
    fn stored(number: u64, size: u64) -> Self {
        Collection {
            number,
            size,
            rows: size,
            last: None,
            slots: HashMap::new(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn get(&mut self, name: &'a str, tables: &Tables<'_>) -> Result<Option<V>, Fault> {
        Ok(self.slot(name, tables)?.is.clone())
    }

    /// Returns the previous value.
    pub(super) fn put(
        &mut self,
        name: &'a str,
        value: Option<V>,
        tables: &Tables<'_>,
    ) -> Result<Option<V>, Fault> {
        let is = value.is_some();
        let was = std::mem::replace(&mut self.slot(name, tables)?.is, value);
        match (was.is_some(), is) {
            (false, true) => self.size += 1,
            (true, false) => self.size -= 1,
            _ => {}
        }
        Ok(was)
    }

    fn slot(&mut self, name: &'a str, tables: &Tables<'_>) -> Result<&mut Slot<V>, Fault> {
        let Self {
            number,
            rows,
            last,
            slots,
            ..
        } = self;
        match slots.entry(name) {
            Place::Occupied(slot) => Ok(slot.into_mut()),
            Place::Vacant(place) => {
                let was = if *rows > 0 && may_have(*number, last, name, tables)? {
                    tables.view.field(*number, name, V::read)?.transpose()?
                } else {
                    None
                };
                Ok(place.insert(Slot { is: was.clone(), was }))
            }
        }
    }

    /// Removes members by rows, bypassing the slots; all slots must have been written.
    pub(super) fn remove(
        &mut self,
        names: impl Iterator<Item = String>,
        tables: &mut Tables<'_>,
    ) -> Result<(), Fault> {
        for name in names {
            self.slots.remove(name.as_str());
            if let Some(was) = tables.view.field(self.number, &name, V::read)?.transpose()? {
                self.write_row(&name, Some(&was), None, tables)?;
                self.size -= 1;
                self.rows -= 1;
            }
        }
        Ok(())
    }

    /// Writes the changed rows. Returns the collection's number, to read them.
    pub(super) fn write(&mut self, tables: &mut Tables<'_>) -> Result<u64, Fault> {
        let mut changed: Vec<_> = self
            .slots
            .iter_mut()
            .filter(|(_, slot)| slot.was != slot.is)
            .map(|(name, slot)| (*name, slot))
            .collect();
        changed.sort_unstable_by_key(|(name, _)| *name);
        for (name, slot) in changed {
            write_row(self.number, name, slot.was.as_ref(), slot.is.as_ref(), tables)?;
            slot.was.clone_from(&slot.is);
        }
        self.rows = self.size;
        // The written row may come after it.
        self.last = None;
        Ok(self.number)
    }

    fn write_row(
        &self,
        name: &str,
        was: Option<&V>,
        is: Option<&V>,
        tables: &mut Tables<'_>,
    ) -> Result<(), Fault> {
        write_row(self.number, name, was, is, tables)
    }
}

/// Whether the collection may have a row of this name. In a log nearly every name is new and comes after all others.
fn may_have(number: u64, last: &mut Option<String>, name: &str, tables: &Tables<'_>) -> Result<bool, Fault> {
    if !is_appended(number) {
        return Ok(true);
    }
    if last.is_none() {
        *last = tables.view.last(number)?;
    }
    Ok(last.as_deref().is_none_or(|last| name <= last))
}

fn write_row<V: Row>(
    number: u64,
    name: &str,
    was: Option<&V>,
    is: Option<&V>,
    tables: &mut Tables<'_>,
) -> Result<(), Fault> {
    tables.wrote();
    let row = field_row(number, name);
    let view = &mut tables.view;
    match is {
        Some(is) => drop(view.fields.insert(row.as_slice(), is.row().as_ref())?),
        None => drop(view.fields.remove(row.as_slice())?),
    }
    if V::RANKED {
        if let Some(was) = was {
            view.ranks.remove(rank_row(number, was.rank(), name).as_slice())?;
        }
        if let Some(is) = is {
            view.ranks
                .insert(rank_row(number, is.rank(), name).as_slice(), [].as_slice())?;
        }
    }
    Ok(())
}
