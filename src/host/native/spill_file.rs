//! Reserved space in the data folder for records that the store does not accept during shutdown: a file whose blocks
//! are allocated at the first start, so that it can be overwritten when the disk is full.
//!
//! Its first 64 bytes are a mark, the length of the text and the text's SHA-256. They are written last, and zeroed to
//! forget the text: an interrupted write leaves no text.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::relay::ledger_writer::spill::Room;

/// Maximum number of processes in one data folder; each has its own file.
const MOST: usize = 64;

const MARK: &[u8; 16] = b"crs unwritten 1\n";

const HEAD: usize = 64;

/// Size of the file in bytes: some fifty thousand records, which compress to a tenth of their length.
const SIZE: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct SpillFile {
    /// Locked as long as it is open.
    file: File,
    /// The number of this process on the folder, from 1.
    number: usize,
}

impl SpillFile {
    /// Opens a file that no other process has, preferably one with leftover records, or reserves one. Fails if the
    /// disk is full, or the folder is not writable.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let mut free = None;
        for number in 1..=MOST {
            let is_there = data_dir.join(name(number)).exists();
            if !is_there && free.is_some() {
                break;
            }
            let Some(found) = Self::open_number(data_dir, number)? else {
                continue;
            };
            if matches!(found.text(), Ok(Some(_))) {
                return Ok(found);
            }
            free.get_or_insert(found);
            if !is_there {
                break;
            }
        }
        free.ok_or_else(|| io::ErrorKind::ResourceBusy.into())
    }

    /// `None` if another process has it.
    fn open_number(data_dir: &Path, number: usize) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(data_dir.join(name(number)))?;
        match file.try_lock() {
            // A file system without locks is no reason to do without the file.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
        }
        let here = file.metadata()?.len() as usize;
        if here < SIZE {
            // Real zeros: a sparse file would need blocks later.
            file.write_all_at(&vec![0; SIZE - here], here as u64)?;
            file.sync_all()?;
        }
        Ok(Some(Self { file, number }))
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    fn write_head(&self, head: &[u8; HEAD]) -> io::Result<()> {
        self.file.write_all_at(head, 0)?;
        self.file.sync_data()
    }
}

fn name(number: usize) -> String {
    match number {
        1 => "unwritten.bin".to_owned(),
        number => format!("unwritten-{number}.bin"),
    }
}

impl Room for SpillFile {
    fn size(&self) -> usize {
        SIZE - HEAD
    }

    fn put(&mut self, text: &[u8]) -> io::Result<()> {
        if text.len() > self.size() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.clear()?;
        self.file.write_all_at(text, HEAD as u64)?;
        self.file.sync_data()?;
        let mut head = [0; HEAD];
        let length = (text.len() as u64).to_le_bytes();
        let sum = Sha256::digest(text);
        let parts = MARK.iter().chain(&length).chain(&sum);
        head.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        self.write_head(&head)
    }

    fn text(&self) -> io::Result<Option<Vec<u8>>> {
        let mut head = [0; HEAD];
        self.file.read_exact_at(&mut head, 0)?;
        let Some(rest) = head.strip_prefix(MARK) else {
            return Ok(None);
        };
        let Some((length, rest)) = rest.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let length = u64::from_le_bytes(*length) as usize;
        if length > self.size() {
            return Ok(None);
        }
        let mut text = vec![0; length];
        self.file.read_exact_at(&mut text, HEAD as u64)?;
        let is_sound = rest.starts_with(Sha256::digest(&text).as_slice());
        Ok(is_sound.then_some(text))
    }

    fn clear(&mut self) -> io::Result<()> {
        self.write_head(&[0; HEAD])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_until_it_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = SpillFile::open(folder.path()).unwrap();
        assert_eq!(file.text().unwrap(), None);
        let long = vec![7; file.size()];
        for text in [&b"one"[..], &long, b"", b"two"] {
            file.put(text).unwrap();
            drop(file);
            file = SpillFile::open(folder.path()).unwrap();
            assert!(file.text().unwrap().as_deref() == Some(text));
        }
        assert!(file.put(&vec![7; SIZE]).is_err());
        assert_eq!(file.text().unwrap().as_deref(), Some(&b"two"[..]));
        file.clear().unwrap();
        assert_eq!(file.text().unwrap(), None);
    }

    #[test]
    fn processes_on_one_folder_have_a_file_each_and_take_over_what_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let first = SpillFile::open(folder.path()).unwrap();
        let mut second = SpillFile::open(folder.path()).unwrap();
        assert_eq!((first.number(), second.number()), (1, 2));
        second.put(b"left").unwrap();
        drop((first, second));
        let next = SpillFile::open(folder.path()).unwrap();
        assert_eq!(next.text().unwrap().as_deref(), Some(&b"left"[..]));
        assert_eq!(SpillFile::open(folder.path()).unwrap().number(), 1);
    }

    #[test]
    fn its_blocks_are_there_before_they_are_needed() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let mut file = SpillFile::open(folder.path()).unwrap();
        let blocks = file.file.metadata().unwrap().blocks();
        file.put(&vec![7; file.size()]).unwrap();
        let metadata = file.file.metadata().unwrap();
        assert_eq!((metadata.len() as usize, metadata.blocks()), (SIZE, blocks));
    }

    #[test]
    fn a_damaged_text_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = SpillFile::open(folder.path()).unwrap();
        for at in [3, 16, 23, 30, 55, HEAD, HEAD + 2] {
            file.put(b"abc").unwrap();
            let mut byte = [0];
            file.file.read_exact_at(&mut byte, at as u64).unwrap();
            file.file.write_all_at(&[byte[0] ^ 0x55], at as u64).unwrap();
            assert_eq!(file.text().unwrap(), None, "{at}");
        }
    }
}
