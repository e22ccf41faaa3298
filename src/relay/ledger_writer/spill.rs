//! Saves records that the store did not accept before the process ended, as one text of limited size.
//!
//! The text is written into space that was reserved earlier ([`Room`]), so it can be overwritten even if the disk
//! is full. The next start writes the records to the ledger ([`restore`]). Records already in the ledger are
//! skipped, so it is harmless if the last batch was written after all.

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;

use bytes::Bytes;
use crs_durable::gate::Gate;
use crs_durable::rows::{Row, RowMachine as _};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::model::money::MicroUsd;
use crate::model::usage::LedgerEvent;
use crate::port::gates::KeyHash;
use crate::port::store::{Command, Guard, StoreError};
use crate::state::outbox::{BATCH, SettledEvent};
use crate::store::keys;

/// Limit for the unpacked text, bytes.
const LONGEST: u64 = 512 << 20;

/// The reserved space.
pub trait Room {
    /// The maximum length of the text, bytes.
    fn size(&self) -> usize;

    /// Replaces the text. It is on disk when this returns.
    fn put(&mut self, text: &[u8]) -> std::io::Result<()>;

    /// The text; `None` if there is none or it is damaged.
    fn text(&self) -> std::io::Result<Option<Vec<u8>>>;

    /// Deletes the text.
    fn clear(&mut self) -> std::io::Result<()>;
}

/// Counts of saved and unsaved records.
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
    /// State of the gates that count these events: store keys, and the rows there.
    #[serde(default)]
    machines: BTreeMap<String, BTreeMap<String, String>>,
    /// The same as an earlier version wrote it: `gate:` and the hash of the key, and the gate as one text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    gates: BTreeMap<String, String>,
}

impl Spilled {
    /// The gates, by their keys. They continue from here: the store's rows are older.
    fn gates(&self) -> impl Iterator<Item = (KeyHash, Gate)> {
        let earlier = self.gates.iter().filter_map(|(key, text)| {
            let key = KeyHash::from_hex(key.strip_prefix("gate:")?)?;
            match serde_json::from_str(text) {
                Ok(gate) => Some((key, gate)),
                Err(error) => {
                    tracing::warn!(%error, "the state of a gate that an earlier run kept cannot be read and is dropped");
                    None
                }
            }
        });
        let machines = self.machines.iter().filter_map(|(key, rows)| {
            let key = keys::gate_of_machine(key).and_then(KeyHash::from_hex)?;
            let row = |(name, text): (&String, &String)| Some((name.parse().ok()?, text.clone()));
            Some((key, Gate::from_rows(rows.iter().filter_map(row))))
        });
        earlier.chain(machines)
    }
}

/// Saves as many of these records as fit, oldest first, in addition to those saved before. Returns the counts.
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
    spilled.machines.extend(gates.into_iter().filter_map(rows));
    let mut unkept = Vec::new();
    let mut text = packed(&spilled)?;
    if text.len() > room.size() {
        // Drop the traces first: the events matter more.
        spilled.events.iter_mut().for_each(|event| event.trace = None);
        text = packed(&spilled)?;
    }
    while text.len() > room.size() && !spilled.events.is_empty() {
        let fit = spilled.events.len() * room.size() / text.len();
        unkept.extend(spilled.events.split_off(fit.min(spilled.events.len() - 1)));
        text = packed(&spilled)?;
    }
    // An unchanged text is not rewritten, because the process may be killed at any moment.
    if before.as_ref() != Some(&text) {
        room.put(&text)?;
    }
    Ok(Tally::of(&unkept))
}

fn rows(command: Command) -> Option<(String, BTreeMap<String, String>)> {
    let Command::HSet { key, entries } = command else {
        return None;
    };
    let row = |(name, text): (String, Bytes)| Some((name, String::from_utf8(text.to_vec()).ok()?));
    Some((key, entries.into_iter().filter_map(row).collect()))
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

/// The gate states saved by an earlier run. They count events that may be missing in the ledger, so gates must continue
/// from them and not from the store's rows.
pub fn gates(room: &dyn Room) -> Result<Vec<(KeyHash, Gate)>, RestoreError> {
    let Some(text) = room.text()? else {
        return Ok(Vec::new());
    };
    let spilled = unpacked(&text).map_err(|error| RestoreError::Damaged(error.to_string()))?;
    Ok(spilled.gates().collect())
}

/// Writes a gate for processes that share it, unless they already do: then only its events are still to be counted.
async fn write_for_sharing(app: &App, key: &KeyHash, gate: Gate) -> Result<(), StoreError> {
    let gate = gate.resumed();
    let machine = keys::machine(&format!("gate:{}", key.hex()));
    let lasting = gate.rows().into_iter().filter(|row| !row.is_of_call());
    let entry = |row: Row| Some((row.to_string(), Bytes::from(gate.row(row)?)));
    let unless_shared = Guard::Field {
        key: machine.clone(),
        field: keys::MACHINE_VERSION.to_owned(),
        is: None,
    };
    let write = Command::HSet {
        key: machine,
        entries: lasting.filter_map(entry).collect(),
    };
    app.ports
        .store
        .atomically(vec![unless_shared], vec![write])
        .await?;
    Ok(())
}

/// Writes the records of an earlier run to the ledger, then deletes them. Also writes the gate states that count
/// them: the current ones for gates in memory. After an error everything is still there.
pub async fn restore(app: &App, room: &mut dyn Room) -> Result<Tally, RestoreError> {
    let Some(text) = room.text()? else {
        return Ok(Tally::default());
    };
    let spilled = unpacked(&text).map_err(|error| RestoreError::Damaged(error.to_string()))?;
    let mut gates = Vec::new();
    for (key, gate) in spilled.gates() {
        if app.ports.gates.in_process() {
            gates.extend(app.ports.gates.kept(&key));
        } else {
            write_for_sharing(app, &key, gate).await?;
        }
    }
    for batch in spilled.events.chunks(BATCH) {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            continue;
        };
        // A new id: a batch of the old id may have been written with fewer events.
        let id = format!("spill:{}:{}:{}", first.request_id, last.request_id, batch.len());
        let and = std::mem::take(&mut gates);
        let now = app.ports.clock.now();
        let batch: Vec<&LedgerEvent> = batch.iter().collect();
        app.ledger.append_unwritten(&id, &batch, and, now).await?;
    }
    room.clear()?;
    Ok(Tally::of(&spilled.events))
}

/// Why saved records are not in the ledger yet.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the file cannot be read or written: {0}")]
    Room(#[from] std::io::Error),
    #[error("the file is damaged: {0}")]
    Damaged(String),
}
