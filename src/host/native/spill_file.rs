//! Room in the data folder for records that the store does not take at the end: a file whose blocks are there from
//! the first start on, so that it can be overwritten when the disk is full.
//!
//! Its first 64 bytes are a mark, the length of the text and the text's SHA-256. They are written last, and zeroed
//! to forget the text: a write that was interrupted leaves no text.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::relay::ledger_writer::spill::Room;

const NAME: &str = "unwritten.bin";

const MARK: &[u8; 16] = b"crs unwritten 1\n";

const HEAD: usize = 64;

/// Of the file, bytes: some fifty thousand records, which pack to a tenth of their length.
const SIZE: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct SpillFile(File);

impl SpillFile {
    /// Opens the file, or reserves it. The error is that of a disk without room, or a folder without rights.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(data_dir.join(NAME))?;
        let here = file.metadata()?.len() as usize;
        if here < SIZE {
            // Real zeros: a file with holes would need blocks later.
            file.write_all_at(&vec![0; SIZE - here], here as u64)?;
            file.sync_all()?;
        }
        Ok(Self(file))
    }

    fn write_head(&self, head: &[u8; HEAD]) -> io::Result<()> {
        self.0.write_all_at(head, 0)?;
        self.0.sync_data()
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
        self.0.write_all_at(text, HEAD as u64)?;
        self.0.sync_data()?;
        let mut head = [0; HEAD];
        let length = (text.len() as u64).to_le_bytes();
        let sum = Sha256::digest(text);
        let parts = MARK.iter().chain(&length).chain(&sum);
        head.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        self.write_head(&head)
    }

    fn text(&self) -> io::Result<Option<Vec<u8>>> {
        let mut head = [0; HEAD];
        self.0.read_exact_at(&mut head, 0)?;
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
        self.0.read_exact_at(&mut text, HEAD as u64)?;
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
            let again = SpillFile::open(folder.path()).unwrap();
            assert!(again.text().unwrap().as_deref() == Some(text));
        }
        assert!(file.put(&vec![7; SIZE]).is_err());
        assert_eq!(file.text().unwrap().as_deref(), Some(&b"two"[..]));
        file.clear().unwrap();
        assert_eq!(file.text().unwrap(), None);
    }

    #[test]
    fn its_blocks_are_there_before_they_are_needed() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let mut file = SpillFile::open(folder.path()).unwrap();
        let blocks = file.0.metadata().unwrap().blocks();
        file.put(&vec![7; file.size()]).unwrap();
        let metadata = file.0.metadata().unwrap();
        assert_eq!((metadata.len() as usize, metadata.blocks()), (SIZE, blocks));
    }

    #[test]
    fn a_damaged_text_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = SpillFile::open(folder.path()).unwrap();
        for at in [3, 16, 23, 30, 55, HEAD, HEAD + 2] {
            file.put(b"abc").unwrap();
            let mut byte = [0];
            file.0.read_exact_at(&mut byte, at as u64).unwrap();
            file.0.write_all_at(&[byte[0] ^ 0x55], at as u64).unwrap();
            assert_eq!(file.text().unwrap(), None, "{at}");
        }
    }
}
