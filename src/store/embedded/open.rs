//! Opens the file: lock, permissions, layout.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use redb::{Builder, Database, DatabaseError, ReadableDatabase, TableError};

use super::layout::{ABOUT, ENDS, FIELDS, KEYS, LAYOUT, LAYOUT_NOW, RANKS, TRASH, next_number};

/// Page cache. redb's default is one gibibyte, but the relay promises to run in 40 MiB. Other pages are mostly in
/// the system's cache: twice the size makes commands only a tenth faster.
const CACHE_BYTES: usize = 8 << 20;

/// Why the file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data file is in use by another crs process")]
    InUse,
    /// It is damaged, from a newer version, or not a data file.
    #[error("the data file cannot be read: {reason}")]
    Unreadable { reason: String },
    #[error("the data file cannot be opened: {0}")]
    Io(#[source] io::Error),
}

/// Opens the file, at the start and after a disk failure.
pub(super) type Open = Box<dyn Fn() -> Result<Database, OpenError> + Send>;

pub(super) fn file(path: &Path) -> Result<Open, OpenError> {
    if !path.exists() {
        make(path)?;
    }
    remove_drafts(path);
    let path = path.to_owned();
    Ok(Box::new(move || Ok(builder().create(&path)?)))
}

/// Creates a file under a temporary name and then renames it, because redb takes a partly created file for
/// damaged.
fn make(path: &Path) -> Result<(), OpenError> {
    let draft = path.with_extension(format!("{}.{DRAFT}", std::process::id()));
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(OpenError::Io(error)),
        _ => {}
    }
    make_private(&draft).map_err(OpenError::Io)?;
    drop(builder().create(&draft)?);
    // Another process may have created the file meanwhile, which then counts, and may even have removed this
    // draft.
    match std::fs::hard_link(&draft, path) {
        Err(_) if path.exists() => {}
        linked => linked.map_err(OpenError::Io)?,
    }
    let _ = std::fs::remove_file(&draft);
    sync_folder(path).map_err(OpenError::Io)
}

/// Suffix of a draft's name.
const DRAFT: &str = "new";

/// Removes drafts of killed processes.
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

/// Creates an empty file if there is none, so that it is never readable by others.
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

/// Persists the name of a new file, too.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) && !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Returns the opened file with all its tables, and the number for the next new collection.
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
    // Numbers of collections without rows can be used again, because nothing refers to them.
    let next = next_number(&fields).map_err(unusable)?;
    drop(fields);
    Ok((database, next))
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
        // redb's error for files of another format.
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
