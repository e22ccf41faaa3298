//! The file of a backup: everything in a store, in one file that says when it is not whole.
//!
//! ```text
//! "crs backup\n"
//! u32 length of the head, the head (JSON, see [`head::Head`])
//! sealed only: 16 bytes that only the right passphrase makes of the head
//! pieces, see [`piece`]: of 64 KiB, each with its proof, the last one marked
//! ```
//!
//! The pieces joined are one zstd frame; unpacked it is a list of parts ([`entry`]) and a [`Summary`] at the end.
//! Numbers have their highest byte first. No byte can be changed, left out, added or moved without the reader's
//! refusing the file: the proof of each piece covers the head and all pieces before it.
//!
//! Values lie in it as the store has them, so what is sealed there with `ENCRYPTION_KEY` is sealed in the file too, and
//! a restored store is of no use without that key. Everything else can be read by who has a file that no passphrase
//! seals.

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
pub use unpack::{Closed, Unpack};

/// The first bytes of a file.
const MAGIC: &[u8; 11] = b"crs backup\n";

/// The version of the file's form that this program writes, and the newest it reads.
const FORMAT: u32 = 1;

/// Longest head that is read, in bytes.
const LONGEST_HEAD: usize = 64 << 10;

/// The content of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub keys: u64,
    /// Texts, fields and members.
    pub records: u64,
    /// Of names and values.
    pub bytes: u64,
    /// See [`Digest`]; hex.
    pub digest: String,
    /// Keys and elements of the store that no crs writes, and that are not in the file.
    #[serde(default)]
    pub left_out: u64,
}

/// Why a file cannot be used. Each is a sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    #[error("this is no backup of crs")]
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
