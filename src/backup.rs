//! Backup files: a whole store in one file that detects truncation and damage.
//!
//! ```text
//! "crs backup\n"
//! u32 length of the head, the head (JSON, see [`head::Head`])
//! sealed only: 16 bytes that prove the passphrase
//! pieces, see [`piece`]: 64 KiB each, with a proof, the last one marked
//! ```
//!
//! The joined pieces are one zstd frame; decompressed it is a list of parts ([`entry`]) followed by a
//! [`Summary`]. Numbers are big-endian. Any change, omission, addition or reordering of bytes is detected,
//! because the proof of each piece covers the head and all earlier pieces.
//!
//! Values are as in the store, so those sealed with `ENCRYPTION_KEY` stay sealed, and a restored store is useless
//! without that key. Everything else is readable in a file without a passphrase.

pub mod digest;
mod entry;
pub mod head;
pub mod load;
mod pack;
mod piece;
mod unpack;

use serde::{Deserialize, Serialize};

pub use digest::Digest;
pub use head::{Head, Passphrase};
pub use pack::{Pack, PackError};
pub use unpack::{BackupReader, Unpack};

/// The first bytes of a file.
const MAGIC: &[u8; 11] = b"crs backup\n";

/// The version of the file format written by this program, and the newest that it reads.
const FORMAT: u32 = 1;

/// Maximum length of the head, bytes.
const LONGEST_HEAD: usize = 64 << 10;

/// The content of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub keys: u64,
    /// Number of texts, fields and members.
    pub records: u64,
    /// Size of names and values.
    pub bytes: u64,
    /// See [`Digest`]; hex.
    pub digest: String,
    /// Number of keys and elements that crs never writes and that are not in the file.
    #[serde(default)]
    pub left_out: u64,
}

/// Why a file cannot be used, as a sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    #[error("this is not a backup of crs")]
    Stranger,
    #[error("this backup has the form {format}, and this crs reads up to {FORMAT}: use {by} or later")]
    Newer { format: u32, by: String },
    #[error("the backup is cut off after {at} bytes: copy it again, or take another one")]
    Cut { at: u64 },
    #[error("the backup is damaged within the {at} bytes read ({what}): copy it again, or take another one")]
    Damaged { at: u64, what: &'static str },
    #[error("the backup is sealed: its passphrase is needed")]
    PassphraseNeeded,
    #[error("the passphrase is not the one that the backup was sealed with, or its head was changed")]
    WrongPassphrase,
    #[error("the backup cannot be read: {0}")]
    Io(#[source] std::io::Error),
}

#[cfg(test)]
mod tests;
