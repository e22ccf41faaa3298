//! The folder of backups: names, drafts, and existing files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream;
use tokio::io::AsyncReadExt as _;

use crate::backup::BackupReader;
use crate::host::native::draft::{Draft, private};
use crate::model::backup::{BackupFile, BackupReason};
use crate::model::time::iso;
use crate::port::backups::{BackupError, FileStream};
use crate::port::clock::Millis;

const BEGIN: &str = "crs-";
const END: &str = ".backup";
/// Suffix of an incomplete file.
const DRAFT: &str = ".part";

pub(super) struct Folder(PathBuf);

/// A backup that is being written; deleted unless it is kept.
pub(super) struct NewBackup {
    draft: Draft,
    name: String,
}

impl Folder {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn shown(&self) -> String {
        self.0.display().to_string()
    }

    /// Newest first. Empty if the folder does not exist yet.
    pub(super) fn files(&self) -> Result<Vec<BackupFile>, BackupError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unread(error)),
        };
        let mut files: Vec<BackupFile> = entries
            .filter_map(|entry| self.about(entry.ok()?.file_name().to_str()?))
            .collect();
        files.sort_by(|a, b| (b.made_at, &b.name).cmp(&(a.made_at, &a.name)));
        Ok(files)
    }

    fn about(&self, name: &str) -> Option<BackupFile> {
        let (made_at, why) = parsed(name)?;
        let file = File::open(self.0.join(name)).ok()?;
        let size = file.metadata().ok()?.len();
        Some(BackupFile {
            name: name.to_owned(),
            made_at,
            size,
            why,
            sealed: BackupReader::read(file).is_ok_and(|closed| closed.head.sealed.is_some()),
        })
    }

    /// When the newest backup of that kind was made.
    pub(super) fn newest(&self, why: BackupReason) -> Option<Millis> {
        let files = self.files().ok()?;
        files.iter().find(|file| file.why == why).map(|file| file.made_at)
    }

    pub(super) fn begin(&self, now: Millis, why: BackupReason) -> Result<NewBackup, BackupError> {
        self.make()?;
        let name = named(now, why);
        let draft = Draft::at(self.0.join(format!("{name}{DRAFT}"))).map_err(unwritten)?;
        Ok(NewBackup { draft, name })
    }

    /// An unnamed file, which is deleted when it is closed.
    pub(super) fn nameless(&self) -> Result<File, BackupError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        self.make()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self
            .0
            .join(format!("{BEGIN}{}-{number}{END}{DRAFT}", std::process::id()));
        let file = private(&path).map_err(unwritten)?;
        fs::remove_file(&path).map_err(unwritten)?;
        Ok(file)
    }

    pub(super) fn open(&self, name: &str) -> Result<File, BackupError> {
        parsed(name).ok_or(BackupError::Unknown)?;
        match File::open(self.0.join(name)) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BackupError::Unknown),
            Err(error) => Err(unread(error)),
        }
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), BackupError> {
        parsed(name).ok_or(BackupError::Unknown)?;
        match fs::remove_file(self.0.join(name)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BackupError::Unknown),
            Err(error) => Err(unwritten(error)),
        }
    }

    /// Removes the incomplete files of killed processes.
    pub(super) fn tidy(&self) {
        let Ok(entries) = fs::read_dir(&self.0) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let ours = name
                .to_str()
                .is_some_and(|name| name.starts_with(BEGIN) && name.ends_with(".backup.part"));
            if ours {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn make(&self) -> Result<(), BackupError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(unwritten)
    }
}

impl NewBackup {
    pub(super) fn file(&self) -> Result<File, BackupError> {
        self.draft.file().try_clone().map_err(unwritten)
    }

    /// Gives the file its name, once all of it is on disk.
    pub(super) fn keep(self) -> Result<String, BackupError> {
        let named = self.draft.path().with_file_name(&self.name);
        self.draft.keep(&named).map_err(unwritten)?;
        Ok(self.name)
    }
}

/// The file from its beginning, and its length.
pub(super) fn stream(mut file: File, piece: usize) -> Result<(u64, FileStream), BackupError> {
    use std::io::Seek as _;
    file.rewind().map_err(unread)?;
    let length = file.metadata().map_err(unread)?.len();
    let read = move |mut file: tokio::fs::File| async move {
        let mut bytes = vec![0; piece];
        match file.read(&mut bytes).await {
            Ok(0) => None,
            Ok(count) => {
                bytes.truncate(count);
                Some((Ok(Bytes::from(bytes)), file))
            }
            Err(error) => Some((Err(unread(error)), file)),
        }
    };
    Ok((
        length,
        Box::pin(stream::unfold(tokio::fs::File::from_std(file), read)),
    ))
}

/// `crs-2026-01-31T09-30-00.000Z-manual.backup`
fn named(now: Millis, why: BackupReason) -> String {
    format!("{BEGIN}{}-{}{END}", iso(now).replace(':', "-"), why.name())
}

/// When and why the backup was made, if the name is in our format.
fn parsed(name: &str) -> Option<(Millis, BackupReason)> {
    let (at, why) = name.strip_prefix(BEGIN)?.strip_suffix(END)?.rsplit_once('-')?;
    let why = BackupReason::ALL
        .into_iter()
        .find(|reason| reason.name() == why)?;
    let (day, time) = at.split_once('T')?;
    let at = format!("{day}T{}", time.replace('-', ":"));
    let at = chrono::DateTime::parse_from_rfc3339(&at).ok()?.timestamp_millis();
    Some((u64::try_from(at).ok()?, why))
}

pub(super) fn unwritten(error: io::Error) -> BackupError {
    BackupError::Failed(match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        _ => format!("its file cannot be written ({error}): set BACKUP_DIR to a folder that can be"),
    })
}

fn unread(error: io::Error) -> BackupError {
    BackupError::Failed(format!("its file cannot be read ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_when_and_why_and_lead_nowhere_else() {
        let now = 1_769_851_800_123;
        for why in BackupReason::ALL {
            assert_eq!(parsed(&named(now, why)), Some((now, why)));
        }
        for odd in [
            "",
            "crs.redb",
            "crs-.backup",
            "../crs-x-manual.backup",
            "crs-2026-01-31T09-30-00Z-else.backup",
        ] {
            assert_eq!(parsed(odd), None, "{odd}");
        }
    }
}
