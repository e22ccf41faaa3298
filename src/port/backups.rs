//! Backups of the whole store, where the host has files to keep them in.

use async_trait::async_trait;
use bytes::Bytes;
use crs_durable::Millis;
use futures_util::stream::BoxStream;

use super::store::StoreError;
use crate::model::backup::{BackupFile, Schedule};
use crate::model::secret::Secret;

/// A file on its way. An error breaks it off.
pub type FileStream = BoxStream<'static, Result<Bytes, BackupError>>;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// One is being made already.
    #[error("a backup is being made already")]
    Busy,
    /// The file does not exist.
    #[error("there is no such backup")]
    Unknown,
    /// It cannot be done as it was asked; the text says what to change.
    #[error("{0}")]
    Refused(String),
    #[error("the backup cannot be made: {0}")]
    Failed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The backups that exist, and the results of the last attempts.
#[derive(Clone, Debug)]
pub struct BackupsState {
    /// Newest first.
    pub files: Vec<BackupFile>,
    /// Where they are, on the relay's machine.
    pub folder: String,
    pub schedule: Schedule,
    /// Whether backups are made by the schedule: only one process may have the store.
    pub can_schedule: bool,
    /// Whether files are sealed with the passphrase of the settings.
    pub sealed: bool,
    /// When the one that is being made was begun.
    pub running_since: Option<Millis>,
    /// When and why the last attempt failed; `None` after a success.
    pub failure: Option<(Millis, String)>,
    /// The schedule is on, and its newest backup is older than twice its interval.
    pub overdue: bool,
}

#[async_trait]
pub trait Backups: Send + Sync {
    /// Makes a backup for whoever asks; nothing of it stays here.
    async fn export(&self, passphrase: Option<Secret>) -> Result<FileStream, BackupError>;

    async fn state(&self) -> Result<BackupsState, BackupError>;

    /// Begins to make a file in the folder.
    fn begin(&self) -> Result<(), BackupError>;

    /// The file's length and content.
    async fn read(&self, name: &str) -> Result<(u64, FileStream), BackupError>;

    async fn remove(&self, name: &str) -> Result<(), BackupError>;

    async fn set_schedule(&self, schedule: Schedule) -> Result<(), BackupError>;
}
