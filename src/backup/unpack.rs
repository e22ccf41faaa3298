//! Reads a file: parts out, each verified before it is returned.

use std::io::Read;

use zstd_safe::{DCtx, InBuffer, OutBuffer};

use super::entry::{self, Entry, Source};
use super::head::{Head, PASSPHRASE_PROOF, Passphrase};
use super::piece::{CountingReader, PieceReader};
use super::{BadFile, Digest, FORMAT, LONGEST_HEAD, MAGIC, Summary};
use crate::port::whole::Part;

/// Bytes decompressed at once.
const READY: usize = 128 << 10;

/// The members common to heads of all versions.
#[derive(serde::Deserialize)]
struct Any {
    format: u32,
    by: String,
}

/// A file whose head has been read.
pub struct BackupReader<R> {
    pub head: Head,
    bytes: Vec<u8>,
    from: CountingReader<R>,
}

impl<R: Read> BackupReader<R> {
    pub fn read(from: R) -> Result<Self, BadFile> {
        let mut from = CountingReader::new(from);
        let mut magic = [0; MAGIC.len()];
        match from.fill(&mut magic) {
            Err(BadFile::Cut { at })
                if at > 0 && MAGIC.starts_with(magic.get(..at as usize).unwrap_or_default()) =>
            {
                return Err(BadFile::Cut { at });
            }
            Err(BadFile::Cut { .. }) => return Err(BadFile::Stranger),
            read => read?,
        }
        if magic != *MAGIC {
            return Err(BadFile::Stranger);
        }
        let mut length = [0; 4];
        from.fill(&mut length)?;
        let size = u32::from_be_bytes(length) as usize;
        let damaged = |at| BadFile::Damaged {
            at,
            what: "its head cannot be read",
        };
        if size > LONGEST_HEAD {
            return Err(damaged(from.at));
        }
        let mut text = vec![0; size];
        from.fill(&mut text)?;
        let any: Any = serde_json::from_slice(&text).map_err(|_| damaged(from.at))?;
        if any.format > FORMAT {
            return Err(BadFile::Newer {
                format: any.format,
                by: any.by,
            });
        }
        let head = serde_json::from_slice(&text).map_err(|_| damaged(from.at))?;
        let mut bytes = magic.to_vec();
        bytes.extend(length);
        bytes.extend(text);
        Ok(Self { head, bytes, from })
    }

    /// Takes a fifth of a second if it is sealed. An unneeded passphrase is ignored.
    pub fn open(mut self, passphrase: Option<&Passphrase>) -> Result<Unpack<R>, BadFile> {
        let seal = self.head.seal(&self.bytes, passphrase)?;
        if let Some(expected) = seal.passphrase_proof() {
            let mut proof = [0; PASSPHRASE_PROOF];
            self.from.fill(&mut proof)?;
            if proof != expected {
                return Err(BadFile::WrongPassphrase);
            }
        }
        let unpacker = DCtx::try_create().ok_or(BadFile::Damaged {
            at: self.from.at,
            what: "there is no memory to unpack it",
        })?;
        Ok(Unpack {
            plain: Plain {
                pieces: PieceReader::new(seal, self.from),
                unpacker,
                packed: Vec::new(),
                used: 0,
                framed: false,
                ready: Vec::new(),
                given: 0,
            },
            digest: Digest::default(),
            summary: None,
        })
    }
}

/// A file being read.
pub struct Unpack<R> {
    plain: Plain<R>,
    digest: Digest,
    summary: Option<Summary>,
}

impl<R: Read> Unpack<R> {
    /// The next part; `None` if the file is complete and has no more.
    pub fn part(&mut self) -> Result<Option<Part>, BadFile> {
        if self.summary.is_some() {
            return Ok(None);
        }
        match entry::read(&mut self.plain)? {
            Entry::Part(part) => {
                self.digest.add(&part);
                Ok(Some(part))
            }
            Entry::End(summary) => {
                self.plain.end()?;
                let sum = self.digest.whole();
                let found = (self.digest.keys, sum.records, self.digest.bytes, sum.to_string());
                if found
                    != (
                        summary.keys,
                        summary.records,
                        summary.bytes,
                        summary.digest.clone(),
                    )
                {
                    return Err(self.plain.pieces.damaged("it does not hold what its end says"));
                }
                self.summary = Some(summary);
                Ok(None)
            }
        }
    }

    /// Reads the rest, and returns the summary and digest of the whole file.
    pub fn verify(mut self) -> Result<(Summary, Digest), BadFile> {
        while self.part()?.is_some() {}
        let at = self.at();
        let summary = self.summary.ok_or(BadFile::Cut { at })?;
        Ok((summary, self.digest))
    }

    /// Number of bytes read from the file.
    pub fn at(&self) -> u64 {
        self.plain.pieces.from.at
    }
}

/// The decompressed pieces.
struct Plain<R> {
    pieces: PieceReader<R>,
    unpacker: DCtx<'static>,
    packed: Vec<u8>,
    /// Used bytes of `packed`.
    used: usize,
    /// The frame has ended.
    framed: bool,
    ready: Vec<u8>,
    /// Returned bytes of `ready`.
    given: usize,
}

impl<R: Read> Plain<R> {
    /// Decompresses more; returns false at the end of the frame.
    fn refill(&mut self) -> Result<bool, BadFile> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.resize(READY, 0);
        self.given = 0;
        while !self.framed {
            let mut last = false;
            if self.used == self.packed.len() {
                // The decompressor may still hold data of the last piece.
                let piece = self.pieces.next()?;
                last = piece.is_none();
                (self.packed, self.used) = (piece.unwrap_or_default(), 0);
            }
            let mut input = InBuffer::around(self.packed.get(self.used..).unwrap_or_default());
            let mut output = OutBuffer::around(ready.as_mut_slice());
            let hint = self
                .unpacker
                .decompress_stream(&mut output, &mut input)
                .map_err(|_| self.pieces.damaged("it cannot be unpacked"))?;
            let count = output.pos();
            self.used += input.pos();
            self.framed = hint == 0;
            if count > 0 {
                ready.truncate(count);
                self.ready = ready;
                return Ok(true);
            }
            if last && !self.framed {
                return Err(self.malformed());
            }
        }
        Ok(false)
    }

    /// Nothing may follow the summary.
    fn end(&mut self) -> Result<(), BadFile> {
        if self.given != self.ready.len() || self.refill()? || self.used != self.packed.len() {
            return Err(self.malformed());
        }
        while let Some(piece) = self.pieces.next()? {
            if !piece.is_empty() {
                return Err(self.malformed());
            }
        }
        Ok(())
    }
}

impl<R: Read> Source for Plain<R> {
    type Error = BadFile;

    fn fill(&mut self, mut into: &mut [u8]) -> Result<(), BadFile> {
        while !into.is_empty() {
            let ready = self.ready.get(self.given..).unwrap_or_default();
            if ready.is_empty() {
                if !self.refill()? {
                    return Err(self.malformed());
                }
                continue;
            }
            let count = ready.len().min(into.len());
            into.iter_mut().zip(ready).for_each(|(to, from)| *to = *from);
            self.given += count;
            into = into.get_mut(count..).unwrap_or_default();
        }
        Ok(())
    }

    fn malformed(&self) -> BadFile {
        self.pieces.damaged("its content is not a list of records")
    }
}
