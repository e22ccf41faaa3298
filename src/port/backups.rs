//! Backups of the whole store, on hosts with a file system.

use async_trait::async_trait;
use bytes::Bytes;
use crs_durable::Millis;
use futures_util::stream::BoxStream;

use super::store::StoreError;
use crate::model::backup::{BackupFile, Schedule};
use crate::model::secret::Secret;

/// A file as a stream. An error breaks it off.
pub type FileStream = BoxStream<'static, Result<Bytes, BackupError>>;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A backup is running already.
    #[error("a backup is being made already")]
    Busy,
    /// The file does not exist.
    #[error("there is no such backup")]
    Unknown,
    /// The request cannot be fulfilled; the text says what to change.
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
    /// Their folder on the relay's machine.
    pub folder: String,
    pub schedule: Schedule,
    /// Whether a schedule is possible: only if no other process uses the store.
    pub can_schedule: bool,
    /// Whether files are encrypted with the passphrase of the settings.
    pub sealed: bool,
    /// Start of the running backup.
    pub running_since: Option<Millis>,
    /// When and why the last attempt failed; `None` after a success.
    pub failure: Option<(Millis, String)>,
    /// The schedule is on, and its newest backup is older than twice its interval.
    pub overdue: bool,
}

#[async_trait]
pub trait Backups: Send + Sync {
    /// Streams a backup without storing it here.
    async fn export(&self, passphrase: Option<Secret>) -> Result<FileStream, BackupError>;

    async fn state(&self) -> Result<BackupsState, BackupError>;

    /// Starts a backup into the folder.
    fn begin(&self) -> Result<(), BackupError>;

    /// The file's length and content.
    async fn read(&self, name: &str) -> Result<(u64, FileStream), BackupError>;

    async fn remove(&self, name: &str) -> Result<(), BackupError>;

    async fn set_schedule(&self, schedule: Schedule) -> Result<(), BackupError>;
}
