//! Writes a file: parts in, bytes out. No I/O; some milliseconds of CPU per megabyte.

use bytes::Bytes;
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

use super::head::{Head, Passphrase};
use super::piece::PieceWriter;
use super::{BadFile, Digest, Summary, entry};
use crate::port::random::Random;
use crate::port::whole::Part;

const LEVEL: i32 = 3;

/// Uncompressed bytes that are compressed at once.
const GATHERED: usize = 128 << 10;

#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("the backup cannot be packed: {0}")]
    Zstd(&'static str),
    #[error("the backup cannot be described: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Seal(#[from] BadFile),
}

/// A backup being written.
pub struct Pack {
    packer: CCtx<'static>,
    pieces: PieceWriter,
    /// Entries that are not compressed yet.
    entries: Vec<u8>,
    out: Vec<u8>,
    digest: Digest,
}

impl Pack {
    /// Takes a fifth of a second with a passphrase.
    pub fn begin(
        mut head: Head,
        passphrase: Option<&Passphrase>,
        random: &dyn Random,
    ) -> Result<Self, PackError> {
        if passphrase.is_some() && head.sealed.is_none() {
            head.sealed(random);
        }
        let mut out = head.bytes()?;
        let seal = head.seal(&out, passphrase)?;
        out.extend(seal.passphrase_proof().into_iter().flatten());
        let mut packer = CCtx::try_create().ok_or(PackError::Zstd("there is no memory"))?;
        packer
            .set_parameter(CParameter::CompressionLevel(LEVEL))
            .map_err(|code| PackError::Zstd(zstd_safe::get_error_name(code)))?;
        Ok(Self {
            packer,
            pieces: PieceWriter::new(seal),
            entries: Vec::with_capacity(GATHERED),
            out,
            digest: Digest::default(),
        })
    }

    pub fn add(&mut self, part: &Part) -> Result<(), PackError> {
        self.digest.add(part);
        entry::write(part, &mut self.entries);
        if self.entries.len() >= GATHERED {
            self.pack(ZSTD_EndDirective::ZSTD_e_continue)?;
        }
        Ok(())
    }

    /// Takes the finished bytes of the file.
    pub fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.out).into()
    }

    /// The file's last bytes and its summary. `left_out`: see [`Summary`].
    pub fn end(mut self, left_out: u64) -> Result<(Bytes, Summary), PackError> {
        let sum = self.digest.whole();
        let summary = Summary {
            keys: self.digest.keys,
            records: sum.records,
            bytes: self.digest.bytes,
            digest: sum.to_string(),
            left_out,
        };
        entry::write_end(&serde_json::to_vec(&summary)?, &mut self.entries);
        self.pack(ZSTD_EndDirective::ZSTD_e_end)?;
        self.pieces.end(&mut self.out);
        Ok((self.out.into(), summary))
    }

    fn pack(&mut self, end: ZSTD_EndDirective) -> Result<(), PackError> {
        let mut packed = vec![0_u8; CCtx::out_size()];
        let mut input = InBuffer::around(&self.entries);
        let ends = matches!(end, ZSTD_EndDirective::ZSTD_e_end);
        loop {
            let mut output = OutBuffer::around(packed.as_mut_slice());
            let left = self
                .packer
                .compress_stream2(&mut output, &mut input, end)
                .map_err(|code| PackError::Zstd(zstd_safe::get_error_name(code)))?;
            let count = output.pos();
            self.pieces
                .push(packed.get(..count).unwrap_or_default(), &mut self.out);
            if input.pos() == self.entries.len() && (!ends || left == 0) {
                break;
            }
        }
        self.entries.clear();
        Ok(())
    }
}
