//! Opening the file: its lock, its permissions, its layout.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableError};

use super::layout::{ABOUT, ENDS, FIELDS, KEYS, LAYOUT, LAYOUT_NOW, RANKS, TRASH, numbered};

/// Memory for pages of the file. redb would take a gibibyte; the relay promises to live in 40 MiB. What
/// is not in here is mostly in the system's cache: with twice as much, commands cost a tenth less.
const CACHE_BYTES: usize = 8 << 20;

/// Why the file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data file is in use by another crs process")]
    InUse,
    /// It is damaged, of a newer version, or no data file at all.
    #[error("the data file cannot be read: {reason}")]
    Unreadable { reason: String },
    #[error("the data file cannot be opened: {0}")]
    Io(#[source] io::Error),
}

/// How the file is opened, at the start and after a failure of the disk.
pub(super) type Open = Box<dyn Fn() -> Result<Database, OpenError> + Send>;

pub(super) fn file(path: &Path) -> Result<Open, OpenError> {
    make_private(path).map_err(OpenError::Io)?;
    let path = path.to_owned();
    Ok(Box::new(move || Ok(builder().create(&path)?)))
}

pub(super) fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder.set_repair_callback(|session| {
        tracing::info!(
            percent = (session.progress() * 100.0).round(),
            "the data file was not closed properly and is read through"
        );
    });
    builder
}

/// Makes an empty file if there is none, so that it never is readable by others.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        // The name of the file must be on disk too.
        Ok(file) => file.sync_all().and_then(|()| match path.parent() {
            Some(directory) if cfg!(unix) && !directory.as_os_str().is_empty() => {
                File::open(directory)?.sync_all()
            }
            _ => Ok(()),
        }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The opened file with all its tables, and the number its next new collection gets.
pub(super) fn ready(open: &Open) -> Result<(Database, u64), OpenError> {
    let database = open()?;
    let snapshot = database.begin_read().map_err(unusable)?;
    match snapshot.open_table(ABOUT) {
        Ok(about) => match about.get(LAYOUT).map_err(unusable)? {
            Some(layout) if layout.value() == LAYOUT_NOW => {}
            _ => return Err(unreadable("a newer version of crs has written it")),
        },
        Err(TableError::TableDoesNotExist(_)) => {
            if snapshot.list_tables().map_err(unusable)?.next().is_some() {
                return Err(unreadable("another program has written it"));
            }
            make_tables(&database)?;
        }
        Err(error) => return Err(unusable(error)),
    }
    drop(snapshot);

    let fields = database
        .begin_read()
        .map_err(unusable)?
        .open_table(FIELDS)
        .map_err(unusable)?;
    // Numbers of collections without rows are free again: nothing knows of them.
    let last = fields
        .last()
        .map_err(unusable)?
        .and_then(|(row, _)| numbered(row.value()).map(|(number, _)| number));
    drop(fields);
    Ok((database, last.unwrap_or(0).saturating_add(1)))
}

fn make_tables(database: &Database) -> Result<(), OpenError> {
    let transaction = database.begin_write().map_err(unusable)?;
    for table in [KEYS, FIELDS, RANKS, ENDS, TRASH] {
        transaction.open_table(table).map_err(unusable)?;
    }
    let mut about = transaction.open_table(ABOUT).map_err(unusable)?;
    about.insert(LAYOUT, LAYOUT_NOW).map_err(unusable)?;
    drop(about);
    transaction.commit().map_err(unusable)
}

fn unreadable(reason: impl Into<String>) -> OpenError {
    OpenError::Unreadable {
        reason: reason.into(),
    }
}

fn unusable(error: impl Into<redb::Error>) -> OpenError {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => OpenError::InUse,
        // So redb says that the file is not one of its own.
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => unreadable(error.to_string()),
        redb::Error::Io(error) => OpenError::Io(error),
        error => unreadable(error.to_string()),
    }
}

impl From<DatabaseError> for OpenError {
    fn from(error: DatabaseError) -> OpenError {
        unusable(error)
    }
}
