//! Files that get their name when they are complete: a crash leaves the previous one, or the new one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that is being written, for its owner only; deleted unless it is kept.
pub struct Draft {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Draft {
    /// Creates it at `path`; removes the leftover of an earlier process.
    pub fn at(path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            file: private(&path)?,
            path,
            kept: false,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its name, once all of it is on disk. On return the name is on disk, too.
    pub fn keep(mut self, named: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, named)?;
        self.kept = true;
        sync_folder(named)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Syncs the folder, so that the file's name is on disk.
pub(super) fn sync_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// A new file for its owner only.
pub(super) fn private(path: &Path) -> io::Result<File> {
    let _ = fs::remove_file(path);
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (path, named) = (folder.path().join("x.part"), folder.path().join("x"));
        fs::write(&named, "before").unwrap();
        for keep in [false, true] {
            let draft = Draft::at(path.clone()).unwrap();
            draft.file().write_all(b"after").unwrap();
            assert_eq!(fs::read(&named).unwrap(), b"before");
            if keep {
                draft.keep(&named).unwrap();
            }
        }
        assert_eq!(fs::read(&named).unwrap(), b"after");
        assert!(!path.exists());
    }
}
