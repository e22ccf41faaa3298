//! From the store to a file or a client, piece by piece.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::backup::load::next;
use crate::backup::{Head, Pack, PackError, Passphrase, Summary};
use crate::model::time::iso;
use crate::port::backups::BackupError;
use crate::port::clock::Clock;
use crate::port::random::{Random, record_id};
use crate::port::store::{Command, Reply, Store, StoreError};
use crate::port::whole::Whole;
use crate::store::hold::Hold;
use crate::store::{keys, schema};

/// Keys of the store that are not data.
pub(super) const APART: [&str; 2] = [keys::HOLD, keys::SCHEMA];

/// The destination of a backup.
pub(super) enum Sink {
    File(std::fs::File),
    Client(mpsc::Sender<Result<Bytes, BackupError>>),
}

impl Sink {
    async fn put(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self {
            Self::File(file) => {
                let mut file = file.try_clone().map_err(super::folder::unwritten)?;
                let written = off_loop(move || file.write_all(&bytes)).await?;
                written.map_err(super::folder::unwritten)
            }
            Self::Client(client) => client
                .send(Ok(bytes))
                .await
                .map_err(|_| BackupError::Failed("its client left".to_owned())),
        }
    }
}

/// Reads the whole store. Other writers of a shared store wait meanwhile: see `store::hold`.
pub(super) async fn make(
    store: &dyn Whole,
    clock: &dyn Clock,
    random: &Arc<dyn Random>,
    passphrase: Option<Passphrase>,
    sink: &mut Sink,
) -> Result<Summary, BackupError> {
    let version = schema::read(store)
        .await?
        .map_or(schema::NEWEST, |(schema, _)| schema.version);
    let head = Head::new(version, iso(clock.now()), store.kind(), fingerprint(store).await?);
    let source = random.clone();
    let begun = off_loop(move || Pack::begin(head, passphrase.as_ref(), &*source)).await?;
    let mut pack = begun.map_err(unpacked)?;
    let mut hold = held(store, clock, &**random).await?;
    let read = async {
        let mut parts = store.parts().await?;
        while let Some(some) = next(&mut *parts, &APART).await? {
            let added = off_loop(move || {
                some.iter().try_for_each(|part| pack.add(part))?;
                let bytes = pack.take();
                Ok((pack, bytes))
            });
            let bytes;
            (pack, bytes) = added.await?.map_err(unpacked)?;
            sink.put(bytes).await?;
            keep(store, clock, &mut hold).await?;
        }
        Ok::<_, BackupError>((pack, parts.left_out()))
    };
    let read = read.await;
    // Also after a failure: other writers must not wait longer than necessary.
    let kept = release(store, hold).await;
    let (pack, left_out) = read?;
    kept?;
    let (rest, summary) = off_loop(move || pack.end(left_out)).await?.map_err(unpacked)?;
    sink.put(rest).await?;
    Ok(summary)
}

/// Makes the other writers of a shared store wait.
pub(super) async fn held(
    store: &dyn Store,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<Option<Hold>, BackupError> {
    if !store.shared() {
        return Ok(None);
    }
    let now = clock.now();
    let hold = Hold::raise(store, &record_id(now, random), now).await?;
    hold.map(Some).ok_or(BackupError::Busy)
}

pub(super) async fn keep(
    store: &dyn Store,
    clock: &dyn Clock,
    hold: &mut Option<Hold>,
) -> Result<(), BackupError> {
    let Some(hold) = hold else { return Ok(()) };
    if hold.keep(store, clock.now()).await? {
        Ok(())
    } else {
        Err(changed())
    }
}

/// Fails if the hold had already ended.
pub(super) async fn release(store: &dyn Store, hold: Option<Hold>) -> Result<(), BackupError> {
    let Some(hold) = hold else { return Ok(()) };
    if hold.release(store).await? {
        Ok(())
    } else {
        Err(changed())
    }
}

fn changed() -> BackupError {
    BackupError::Failed(
        "the store was away for so long that others changed it before all of it was read: try again"
            .to_owned(),
    )
}

/// The fingerprint of the `ENCRYPTION_KEY` that the data was written with.
pub(super) async fn fingerprint(store: &dyn Store) -> Result<Option<String>, StoreError> {
    let get = Command::Get {
        key: keys::FINGERPRINT.to_owned(),
    };
    Ok(match store.run(vec![get]).await?.pop() {
        Some(Reply::Value(Some(text))) => Some(String::from_utf8_lossy(&text).into_owned()),
        _ => None,
    })
}

fn unpacked(error: PackError) -> BackupError {
    BackupError::Failed(error.to_string())
}

/// Runs a job of some milliseconds where it delays no stream.
pub(super) async fn off_loop<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(job)
        .await
        .map_err(|error| BackupError::Failed(error.to_string()))
}
