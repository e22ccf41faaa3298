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
    if !path.exists() {
        make(path)?;
    }
    remove_drafts(path);
    let path = path.to_owned();
    Ok(Box::new(move || Ok(builder().create(&path)?)))
}

/// Makes a new file beside its place, and then gives it its name: what a kill leaves of a file in the making, redb
/// takes for damaged.
fn make(path: &Path) -> Result<(), OpenError> {
    let draft = path.with_extension(format!("{}.{DRAFT}", std::process::id()));
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(OpenError::Io(error)),
        _ => {}
    }
    make_private(&draft).map_err(OpenError::Io)?;
    drop(builder().create(&draft)?);
    // Another process may have been faster: then its file is the one, and may have been so fast as to remove this.
    match std::fs::hard_link(&draft, path) {
        Err(_) if path.exists() => {}
        linked => linked.map_err(OpenError::Io)?,
    }
    let _ = std::fs::remove_file(&draft);
    sync_folder(path).map_err(OpenError::Io)
}

/// The end of a draft's name.
const DRAFT: &str = "new";

/// Drafts of processes that were killed.
fn remove_drafts(path: &Path) {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem()) else {
        return;
    };
    let Ok(files) = std::fs::read_dir(folder) else {
        return;
    };
    for file in files.flatten().map(|file| file.path()) {
        // `crs.123.new` of `crs.redb`.
        let process = file.file_stem().map(Path::new).and_then(Path::extension);
        let is_draft = file.extension().is_some_and(|end| end == DRAFT)
            && file.file_stem().map(Path::new).and_then(Path::file_stem) == Some(stem)
            && process.is_some_and(|id| id.to_str().is_some_and(|id| id.parse::<u32>().is_ok()));
        if is_draft {
            let _ = std::fs::remove_file(file);
        }
    }
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
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The name of a new file must be on disk too.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) && !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_of_a_new_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crs.redb");
        let (half, other) = (
            folder.path().join("crs.4711.new"),
            folder.path().join("crs.backup.new"),
        );
        for file in [&half, &other] {
            std::fs::write(file, [0; 4_096]).unwrap();
        }
        let open = file(&path).unwrap();
        drop(ready(&open).unwrap());
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["crs.backup.new", "crs.redb"]);
    }
}
