//! The rows of machines in the store.

use bytes::Bytes;
use crs_durable::holder::{HeldMachine, Unsaved};
use crs_durable::rows::Row;

use crate::port::store::{Command, Reply, Store, StoreError};
use crate::store::keys;

/// A machine in the store, by the form in which it is stored.
pub(in super::super) enum StoredMachine<M> {
    Nothing,
    /// Rows that one process wrote.
    Rows(M),
    /// Rows that processes share.
    SharedRows(M),
    /// The one text that earlier versions wrote.
    Text(M),
}

pub(in super::super) async fn read<M: HeldMachine>(
    store: &dyn Store,
    name: &str,
) -> Result<StoredMachine<M>, StoreError> {
    let batch = vec![
        Command::HGetAll {
            key: keys::machine(name),
        },
        Command::Get { key: name.to_owned() },
    ];
    let mut replies = store.run(batch).await?.into_iter();
    if let Some(Reply::Entries(entries)) = replies.next()
        && !entries.is_empty()
    {
        let is_shared = entries.iter().any(|(name, _)| name == keys::MACHINE_VERSION);
        let row = |(name, text): (String, Bytes)| {
            Some((name.parse::<Row>().ok()?, String::from_utf8(text.to_vec()).ok()?))
        };
        let machine = M::from_rows(entries.into_iter().filter_map(row));
        return Ok(if is_shared {
            StoredMachine::SharedRows(machine)
        } else {
            StoredMachine::Rows(machine)
        });
    }
    let Some(Reply::Value(Some(text))) = replies.next() else {
        return Ok(StoredMachine::Nothing);
    };
    match serde_json::from_slice(&text) {
        Ok(machine) => Ok(StoredMachine::Text(machine)),
        // Its contents heal or are learned again, and the ledger has the sums.
        Err(error) => {
            tracing::warn!(machine = name, %error, "the saved state of a machine cannot be read and is dropped");
            Ok(StoredMachine::Nothing)
        }
    }
}

/// The commands that write these rows.
pub(super) fn commands(name: &str, unsaved: &Unsaved) -> Vec<Command> {
    let mut commands = Vec::new();
    if unsaved.anew {
        let forms = [keys::machine(name), keys::machine_versions(name), name.to_owned()];
        commands.extend(forms.map(|key| Command::Del { key }));
    }
    let gone: Vec<String> = unsaved
        .rows
        .iter()
        .filter(|(_, text)| text.is_none() && !unsaved.anew)
        .map(|(row, _)| row.to_string())
        .collect();
    if !gone.is_empty() {
        commands.push(Command::HDel {
            key: keys::machine(name),
            fields: gone,
        });
    }
    let entry = |(row, text): &(Row, Option<String>)| Some((row.to_string(), Bytes::from(text.clone()?)));
    let entries: Vec<_> = unsaved.rows.iter().filter_map(entry).collect();
    if !entries.is_empty() {
        commands.push(Command::HSet {
            key: keys::machine(name),
            entries,
        });
    }
    commands
}

/// Writes the rows of several machines.
pub(super) async fn write<'a>(
    store: &dyn Store,
    machines: impl Iterator<Item = (&'a str, &'a Unsaved)>,
) -> Result<(), StoreError> {
    let mut batch = Vec::new();
    let mut anew = Vec::new();
    for (name, unsaved) in machines {
        let commands = commands(name, unsaved);
        if unsaved.anew && !unsaved.rows.is_empty() {
            anew.push(commands);
        } else {
            batch.extend(commands);
        }
    }
    if !batch.is_empty() {
        store.run(batch).await?;
    }
    for commands in anew {
        // A reader must find one form or the other.
        store.atomically(Vec::new(), commands).await?;
    }
    Ok(())
}
