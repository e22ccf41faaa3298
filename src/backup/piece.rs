//! Pieces: up to 64 KiB each, with a proof that covers everything before it.
//!
//! ```text
//! u32 length of the payload, its highest bit set in the last piece
//! payload
//! proof: plain, SHA-256 of (the proof before, or the hash of the file's first bytes; length; payload): 32 bytes
//!        sealed, the tag of AES-256-GCM: 16 bytes; nonce: u32 0, u64 number of the piece; associated data: hash of
//!        the first bytes, length
//! ```

use std::io::Read;

use aes_gcm::aead::AeadInPlace as _;
use sha2::{Digest as _, Sha256};

use super::BadFile;
use super::head::Seal;

/// Size of all pieces except the last, bytes.
const PIECE: usize = 64 << 10;

const LAST: u32 = 1 << 31;

const TAG: usize = 16;

/// The state of the chain of proofs.
struct Chain {
    seal: Seal,
    before: [u8; 32],
    number: u64,
}

impl Chain {
    fn new(seal: Seal) -> Self {
        Self {
            before: seal.head,
            seal,
            number: 0,
        }
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        let number = self.number.to_be_bytes();
        nonce
            .iter_mut()
            .skip(4)
            .zip(number)
            .for_each(|(to, from)| *to = from);
        nonce
    }

    fn associated(&self, length: [u8; 4]) -> [u8; 36] {
        let mut data = [0; 36];
        let from = self.seal.head.iter().chain(&length);
        data.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        data
    }

    fn plain_proof(&mut self, length: [u8; 4], payload: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.before);
        hash.update(length);
        hash.update(payload);
        self.before = hash.finalize().into();
        self.before
    }
}

/// Cuts bytes into pieces.
pub(super) struct PieceWriter {
    chain: Chain,
    waiting: Vec<u8>,
}

impl PieceWriter {
    pub(super) fn new(seal: Seal) -> Self {
        Self {
            chain: Chain::new(seal),
            waiting: Vec::with_capacity(PIECE),
        }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.waiting.len() == PIECE {
                self.write(false, out);
            }
            let room = bytes.len().min(PIECE - self.waiting.len());
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.waiting.extend_from_slice(now);
            bytes = later;
        }
    }

    pub(super) fn end(mut self, out: &mut Vec<u8>) {
        self.write(true, out);
    }

    fn write(&mut self, last: bool, out: &mut Vec<u8>) {
        let mark = if last { LAST } else { 0 };
        let length = (self.waiting.len() as u32 | mark).to_be_bytes();
        let (nonce, data) = (self.chain.nonce(), self.chain.associated(length));
        out.extend(length);
        if let Some(cipher) = &self.chain.seal.cipher {
            // AES-GCM refuses only texts beyond 64 GiB; without a tag the reader refuses the file.
            let tag = cipher.encrypt_in_place_detached(&nonce.into(), &data, &mut self.waiting);
            out.extend_from_slice(&self.waiting);
            out.extend(tag.unwrap_or_default());
        } else {
            out.extend_from_slice(&self.waiting);
            out.extend(self.chain.plain_proof(length, &self.waiting));
        }
        self.waiting.clear();
        self.chain.number += 1;
    }
}

/// Reads pieces and returns only verified ones.
pub(super) struct PieceReader<R> {
    chain: Chain,
    pub(super) from: CountingReader<R>,
    ended: bool,
}

impl<R: Read> PieceReader<R> {
    pub(super) fn new(seal: Seal, from: CountingReader<R>) -> Self {
        Self {
            chain: Chain::new(seal),
            from,
            ended: false,
        }
    }

    /// The next piece; `None` after the last, which nothing may follow.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, BadFile> {
        if self.ended {
            return if self.from.at_end()? {
                Ok(None)
            } else {
                Err(self.damaged("there is more after its end"))
            };
        }
        let mut length = [0; 4];
        self.from.fill(&mut length)?;
        let number = u32::from_be_bytes(length);
        let size = (number & !LAST) as usize;
        self.ended = number & LAST != 0;
        if size > PIECE || (size < PIECE && !self.ended) {
            return Err(self.damaged("a piece has no such length"));
        }
        let mut payload = vec![0; size];
        self.from.fill(&mut payload)?;
        if self.chain.seal.cipher.is_some() {
            let mut tag = [0; TAG];
            self.from.fill(&mut tag)?;
            let (nonce, data) = (self.chain.nonce(), self.chain.associated(length));
            let opened = self.chain.seal.cipher.as_ref().map(|cipher| {
                cipher.decrypt_in_place_detached(&nonce.into(), &data, &mut payload, &tag.into())
            });
            if !matches!(opened, Some(Ok(()))) {
                return Err(self.damaged("a piece does not open"));
            }
        } else {
            let mut proof = [0; 32];
            self.from.fill(&mut proof)?;
            if self.chain.plain_proof(length, &payload) != proof {
                return Err(self.damaged("a checksum is wrong"));
            }
        }
        self.chain.number += 1;
        Ok(Some(payload))
    }

    pub(super) fn damaged(&self, what: &'static str) -> BadFile {
        BadFile::Damaged {
            at: self.from.at,
            what,
        }
    }
}

/// A reader that counts its bytes.
pub(super) struct CountingReader<R> {
    from: R,
    pub(super) at: u64,
}

impl<R: Read> CountingReader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, at: 0 }
    }

    pub(super) fn fill(&mut self, mut into: &mut [u8]) -> Result<(), BadFile> {
        while !into.is_empty() {
            match self.from.read(into) {
                Ok(0) => return Err(BadFile::Cut { at: self.at }),
                Ok(count) => {
                    self.at += count as u64;
                    into = into.get_mut(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(BadFile::Io(error)),
            }
        }
        Ok(())
    }

    fn at_end(&mut self) -> Result<bool, BadFile> {
        let mut byte = [0];
        match self.fill(&mut byte) {
            Ok(()) => Ok(false),
            Err(BadFile::Cut { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
