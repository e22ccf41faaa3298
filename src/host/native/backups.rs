//! Backups on this machine: streamed to a client, or kept in a folder, by hand and by a schedule.

mod folder;
mod make;
mod transfer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use self::folder::Folder;
use self::make::{Sink, make};
use crate::backup::Passphrase;
use crate::model::backup::{BackupReason, Schedule};
use crate::model::secret::Secret;
use crate::port::backups::{BackupError, Backups, BackupsState, FileStream};
use crate::port::clock::{Clock, Millis};
use crate::port::random::Random;
use crate::port::store::{Command, Reply, StoreError};
use crate::port::whole::Whole;
use crate::store::keys;

pub use transfer::{TransferSummary, move_to, restore, verify};

/// Interval of checks whether a backup is due.
const LOOK: Duration = Duration::from_secs(30);

/// Buffered pieces of a file for a client that reads slowly.
const WAITING: usize = 4;

/// Size of one read from a file, in bytes.
const READ: usize = 256 << 10;

#[derive(Clone)]
pub(super) struct NativeBackups(Arc<Inner>);

struct Inner {
    store: Arc<dyn Whole>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    folder: Folder,
    passphrase: Option<Passphrase>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    running_since: Option<Millis>,
    failure: Option<(Millis, String)>,
}

/// Marks a running backup; the mark ends when this is dropped.
struct Running(Arc<Inner>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.progress().running_since = None;
    }
}

impl NativeBackups {
    pub(super) fn new(
        store: Arc<dyn Whole>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        folder: PathBuf,
        passphrase: Option<&Secret>,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            clock,
            random,
            folder: Folder::at(folder),
            passphrase: passphrase.map(|text| Passphrase::existing(text.reveal())),
            progress: Mutex::default(),
        }))
    }

    /// Makes a backup in the folder and waits for it.
    pub(super) async fn make(&self, why: BackupReason) -> Result<String, BackupError> {
        let running = self.0.begin()?;
        let made = self.0.make(why).await;
        drop(running);
        made
    }

    /// Makes scheduled backups; does not end.
    pub(super) async fn keep_schedule(self) {
        if self.0.store.shared() {
            return std::future::pending().await;
        }
        self.0.folder.tidy();
        loop {
            self.0.clock.sleep(LOOK).await;
            if let Err(error) = self.look().await {
                tracing::error!(%error, "the backup of the schedule failed; it is tried again");
            }
        }
    }

    async fn look(&self) -> Result<(), BackupError> {
        let schedule = self.0.schedule().await?;
        let newest = self.0.folder.newest(BackupReason::Schedule);
        let failed = self.0.progress().failure.as_ref().map(|(at, _)| *at);
        if !schedule.is_due(newest, failed, self.0.clock.now()) {
            return Ok(());
        }
        match self.make(BackupReason::Schedule).await {
            // The running backup is not a scheduled one.
            Err(BackupError::Busy) => return Ok(()),
            made => drop(made?),
        }
        for name in schedule.rotated(&self.0.folder.files()?) {
            self.0.folder.remove(&name)?;
        }
        Ok(())
    }
}

impl Inner {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>) -> Result<Running, BackupError> {
        let mut progress = self.progress();
        if progress.running_since.is_some() {
            return Err(BackupError::Busy);
        }
        progress.running_since = Some(self.clock.now());
        Ok(Running(self.clone()))
    }

    async fn make(self: &Arc<Self>, why: BackupReason) -> Result<String, BackupError> {
        let made = self.make_file(why).await;
        let failure = made
            .as_ref()
            .err()
            .map(|error| (self.clock.now(), error.to_string()));
        match &failure {
            Some((_, error)) => tracing::error!(%error, why = why.name(), "a backup failed"),
            None => tracing::info!(why = why.name(), "a backup was made"),
        }
        self.progress().failure = failure;
        made
    }

    async fn make_file(self: &Arc<Self>, why: BackupReason) -> Result<String, BackupError> {
        let new = self.folder.begin(self.clock.now(), why)?;
        let mut sink = Sink::File(new.file()?);
        make(
            &*self.store,
            &*self.clock,
            &self.random,
            self.passphrase.clone(),
            &mut sink,
        )
        .await?;
        new.keep()
    }

    async fn schedule(&self) -> Result<Schedule, StoreError> {
        let get = Command::Get {
            key: keys::BACKUP_SCHEDULE.to_owned(),
        };
        let schedule = match self.store.run(vec![get]).await?.pop() {
            Some(Reply::Value(Some(text))) => serde_json::from_slice(&text).ok(),
            _ => None,
        };
        Ok(schedule.unwrap_or_default())
    }
}

#[async_trait]
impl Backups for NativeBackups {
    async fn export(&self, passphrase: Option<Secret>) -> Result<FileStream, BackupError> {
        let passphrase = match passphrase {
            None => self.0.passphrase.clone(),
            Some(text) => Some(Passphrase::new(text.reveal()).map_err(BackupError::Refused)?),
        };
        if self.0.store.shared() {
            // Writers wait while the store is read: at the speed of the disk, not of a slow client.
            let draft = self.0.folder.nameless()?;
            let mut sink = Sink::File(draft.try_clone().map_err(folder::unwritten)?);
            make(
                &*self.0.store,
                &*self.0.clock,
                &self.0.random,
                passphrase,
                &mut sink,
            )
            .await?;
            return Ok(folder::stream(draft, READ)?.1);
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let inner = self.0.clone();
        spawn(async move {
            let mut sink = Sink::Client(sender.clone());
            let made = make(&*inner.store, &*inner.clock, &inner.random, passphrase, &mut sink).await;
            if let Err(error) = made {
                tracing::warn!(%error, "a backup broke off");
                let _ = sender.send(Err(error)).await;
            }
        });
        let next = |mut receiver: mpsc::Receiver<Result<Bytes, BackupError>>| async move {
            let piece = receiver.recv().await?;
            Some((piece, receiver))
        };
        Ok(Box::pin(stream::unfold(receiver, next)))
    }

    async fn state(&self) -> Result<BackupsState, BackupError> {
        let schedule = self.0.schedule().await?;
        let newest = self.0.folder.newest(BackupReason::Schedule);
        let progress = self.0.progress();
        Ok(BackupsState {
            files: self.0.folder.files()?,
            folder: self.0.folder.shown(),
            schedule,
            can_schedule: !self.0.store.shared(),
            sealed: self.0.passphrase.is_some(),
            running_since: progress.running_since,
            failure: progress.failure.clone(),
            overdue: schedule.is_overdue(newest, self.0.clock.now()),
        })
    }

    fn begin(&self) -> Result<(), BackupError> {
        let running = self.0.begin()?;
        let inner = self.0.clone();
        spawn(async move {
            let _running = running;
            // The error is kept for later requests.
            let _ = inner.make(BackupReason::Manual).await;
        });
        Ok(())
    }

    async fn read(&self, name: &str) -> Result<(u64, FileStream), BackupError> {
        folder::stream(self.0.folder.open(name)?, READ)
    }

    async fn remove(&self, name: &str) -> Result<(), BackupError> {
        self.0.folder.remove(name)
    }

    async fn set_schedule(&self, schedule: Schedule) -> Result<(), BackupError> {
        if self.0.store.shared() && schedule.enabled {
            return Err(BackupError::Refused(
                "A schedule is for the embedded store: other processes use this one too. Run `crs backup FILE` from a timer of your system."
                    .to_owned(),
            ));
        }
        let value = serde_json::to_vec(&schedule).map_err(|error| BackupError::Failed(error.to_string()))?;
        let set = Command::Set {
            key: keys::BACKUP_SCHEDULE.to_owned(),
            value: value.into(),
            expire_at: None,
        };
        self.0.store.run(vec![set]).await?;
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a backup that an ending process breaks off leaves no file, so nobody waits for it"
)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::task::spawn(task));
}

#[cfg(test)]
mod tests;
