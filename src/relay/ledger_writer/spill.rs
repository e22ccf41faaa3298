//! Records that the store did not take before the process ended, as one text of bounded size.
//!
//! The text is kept in room that was reserved while there was some ([`Room`]): a disk that is full still lets it be
//! overwritten. The next start writes the records to the ledger ([`restore`]). Records that the ledger has already
//! are left out there, so it does no harm that the last batch may have been written after all.

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use super::BATCH;
use crate::app::App;
use crate::model::money::MicroUsd;
use crate::model::usage::LedgerEvent;
use crate::port::gates::KeyHash;
use crate::port::store::{Command, StoreError};
use crate::state::outbox::SettledEvent;
use crate::store::keys::GATE_PREFIX;

/// No text is longer once it is unpacked, bytes.
const LONGEST: u64 = 512 << 20;

/// Where the text is kept.
pub trait Room {
    /// How long a text may be, bytes.
    fn size(&self) -> usize;

    /// Keeps this text in place of the one before, on disk when it returns.
    fn put(&mut self, text: &[u8]) -> std::io::Result<()>;

    /// The text; `None`: there is none, or it is damaged.
    fn text(&self) -> std::io::Result<Option<Vec<u8>>>;

    /// Forgets the text.
    fn clear(&mut self) -> std::io::Result<()>;
}

/// Counts of records that were saved and that were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub records: usize,
    pub cost: MicroUsd,
}

impl Tally {
    pub fn of<'a>(events: impl IntoIterator<Item = &'a LedgerEvent>) -> Self {
        events.into_iter().fold(Self::default(), |tally, event| Self {
            records: tally.records + 1,
            cost: tally.cost.saturating_add(event.cost),
        })
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Spilled {
    events: Vec<LedgerEvent>,
    /// The state of the gates that count these events: keys of the store and their values.
    gates: BTreeMap<String, String>,
}

/// Keeps as many of these records as there is room for, the oldest first, beside those that are kept already.
/// Returns those that did not fit.
pub fn put(room: &mut dyn Room, settled: Vec<SettledEvent>, gates: Vec<Command>) -> std::io::Result<Tally> {
    let before = room.text()?;
    let mut spilled = match &before {
        Some(text) => unpacked(text).unwrap_or_default(),
        None => Spilled::default(),
    };
    let known: HashSet<String> = spilled
        .events
        .iter()
        .map(|event| event.request_id.clone())
        .collect();
    let new = settled.into_iter().map(SettledEvent::into_event);
    spilled
        .events
        .extend(new.filter(|event| !known.contains(&event.request_id)));
    spilled.gates.extend(gates.into_iter().filter_map(row));
    let mut unkept = Vec::new();
    let mut text = packed(&spilled)?;
    if text.len() > room.size() {
        // How a call was served is worth less than that it was.
        spilled.events.iter_mut().for_each(|event| event.trace = None);
        text = packed(&spilled)?;
    }
    while text.len() > room.size() && !spilled.events.is_empty() {
        let fit = spilled.events.len() * room.size() / text.len();
        unkept.extend(spilled.events.split_off(fit.min(spilled.events.len() - 1)));
        text = packed(&spilled)?;
    }
    // Nothing is written over what is right already: the process may be killed at any moment.
    if before.as_ref() != Some(&text) {
        room.put(&text)?;
    }
    Ok(Tally::of(&unkept))
}

fn row(command: Command) -> Option<(String, String)> {
    match command {
        Command::Set { key, value, .. } => Some((key, String::from_utf8(value.to_vec()).ok()?)),
        _ => None,
    }
}

fn packed(spilled: &Spilled) -> std::io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut packer, spilled)?;
    packer.finish()
}

fn unpacked(text: &[u8]) -> serde_json::Result<Spilled> {
    let unpacked = GzDecoder::new(text).take(LONGEST);
    serde_json::from_reader(std::io::BufReader::new(unpacked))
}

/// The states of gates that an earlier run has kept, as text. They count events that may not be in the ledger yet,
/// so gates must go on from them and not from the store's rows.
pub fn gates(room: &dyn Room) -> Result<Vec<(KeyHash, String)>, RestoreError> {
    let Some(text) = room.text()? else {
        return Ok(Vec::new());
    };
    let spilled = unpacked(&text).map_err(|error| RestoreError::Damaged(error.to_string()))?;
    let rows = spilled.gates.into_iter();
    Ok(rows
        .filter_map(|(row, value)| Some((gate_of(&row)?, value)))
        .collect())
}

/// The key of a gate's row.
fn gate_of(row: &str) -> Option<KeyHash> {
    KeyHash::from_hex(row.strip_prefix(GATE_PREFIX)?)
}

/// Writes what an earlier run has kept to the ledger, and forgets it then. With it go the states of the gates that
/// count it: as they are now where this run has them in memory. On an error everything is still there.
pub async fn restore(app: &App, room: &mut dyn Room) -> Result<Tally, RestoreError> {
    let Some(text) = room.text()? else {
        return Ok(Tally::default());
    };
    let spilled = unpacked(&text).map_err(|error| RestoreError::Damaged(error.to_string()))?;
    let rows = spilled.gates.into_iter();
    let mut gates: Vec<Command> = rows
        .map(|(row, value)| {
            let now = gate_of(&row).and_then(|key| app.ports.gates.kept(&key));
            now.unwrap_or_else(|| Command::Set {
                key: row,
                value: value.into(),
                expire_at: None,
            })
        })
        .collect();
    for batch in spilled.events.chunks(BATCH) {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            continue;
        };
        // Not the id of a batch that may have been written with fewer events.
        let id = format!("spill:{}:{}:{}", first.request_id, last.request_id, batch.len());
        let and = std::mem::take(&mut gates);
        let now = app.ports.clock.now();
        app.ledger.append_unwritten(&id, batch, and, now).await?;
    }
    room.clear()?;
    Ok(Tally::of(&spilled.events))
}

/// Why kept records are not in the ledger yet.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the file cannot be read or written: {0}")]
    Room(#[from] std::io::Error),
    #[error("the file is damaged: {0}")]
    Damaged(String),
}
