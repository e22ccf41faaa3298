//! `zstd`, RFC 8878, for the edge, where no C library is available. Returns each block's text as soon as the
//! block is complete.
//!
//! [`FrameDecoder`] normally keeps its last window until it has seen the last block, because later blocks refer
//! to it. So it is fed an empty last block right after the header of each frame: from then on it returns all
//! text, and still decodes further blocks. The text is read without being taken ([`Look`]). From time to time all
//! of it is taken, and the window is put back as raw blocks, which change only the text.

use std::io::Write;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{BrokenBody, Decode, Step};

/// Largest supported window, bytes; recommended by RFC 8878 §3.1.1.1.2.
const LARGEST_WINDOW: u64 = 8 << 20;

/// The largest block, bytes.
const LARGEST_BLOCK: usize = 128 << 10;

/// Text beyond the window that may pile up before it is dropped. Each drop copies the window.
const SLACK: usize = 1 << 20;

/// Length of the magic number and the byte that determines the header's length.
const FIXED_HEAD: usize = 5;

/// Flag in that byte: four bytes of checksum follow the last block.
const SUMMED: u8 = 4;

/// Flag in that byte: there is no window size, because it equals the size of the text.
const SINGLE_SEGMENT: u8 = 0x20;

/// The header of an empty raw last block.
const EMPTY_LAST_BLOCK: &[u8] = &[1, 0, 0];

pub(super) struct Zstd {
    decoder: FrameDecoder,
    /// Between a frame's header and its last block.
    in_frame: bool,
    /// A checksum of four bytes follows the last block.
    summed: bool,
    /// Number of bytes that later blocks may refer to.
    window: usize,
    /// Length of the decoder's text that was already returned.
    given: usize,
    /// The received bytes of the next part.
    part: Vec<u8>,
}

impl Zstd {
    pub(super) fn new() -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(LARGEST_WINDOW);
        Self {
            decoder,
            in_frame: false,
            summed: false,
            window: 0,
            given: 0,
            part: Vec::new(),
        }
    }

    /// Length of the next part, as far as it is known, and whether it is the last of the frame.
    fn part_length(&self) -> Result<(usize, bool), BrokenBody> {
        if !self.in_frame {
            let Some(descriptor) = self.part.get(FIXED_HEAD - 1).copied() else {
                return Ok((FIXED_HEAD, false));
            };
            if !self.part.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
                return Err(BrokenBody);
            }
            let single = descriptor & SINGLE_SEGMENT != 0;
            let dictionary = match descriptor & 3 {
                3 => 4,
                short => usize::from(short),
            };
            let size = match descriptor >> 6 {
                0 => usize::from(single),
                power => 1 << power,
            };
            return Ok((FIXED_HEAD + usize::from(!single) + dictionary + size, false));
        }
        let Some(&[a, b, c]) = self.part.get(..3) else {
            return Ok((3, false));
        };
        let header = u32::from_le_bytes([a, b, c, 0]);
        let (last, kind, size) = (header & 1 == 1, (header >> 1) & 3, (header >> 3) as usize);
        // A run-length block contains its byte once.
        let content = if kind == 1 { 1 } else { size };
        if kind == 3 || content > LARGEST_BLOCK {
            return Err(BrokenBody);
        }
        let sum = if last && self.summed { 4 } else { 0 };
        Ok((3 + content + sum, last))
    }

    fn begin(&mut self) -> Result<(), BrokenBody> {
        let descriptor = self.part.get_mut(FIXED_HEAD - 1).ok_or(BrokenBody)?;
        self.summed = *descriptor & SUMMED != 0;
        // Otherwise it would expect a checksum after each last block that it is fed.
        *descriptor &= !SUMMED;
        self.window = if *descriptor & SINGLE_SEGMENT == 0 {
            let described = self.part.get(FIXED_HEAD).copied().ok_or(BrokenBody)?;
            let base = 1_usize << (10 + (described >> 3)).min(31);
            base.saturating_add((base / 8) * usize::from(described & 7))
        } else {
            usize::MAX
        };
        self.decoder.reset(&self.part[..]).map_err(|_| BrokenBody)?;
        self.given = 0;
        self.in_frame = true;
        self.decode(EMPTY_LAST_BLOCK)
    }

    /// Decodes one block.
    fn decode(&mut self, block: &[u8]) -> Result<(), BrokenBody> {
        self.decoder
            .decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1))
            .map_err(|_| BrokenBody)?;
        Ok(())
    }

    /// Drops the text before the window if it is long.
    fn forget(&mut self) -> Result<(), BrokenBody> {
        if self.decoder.can_collect() <= self.window.saturating_add(SLACK) {
            return Ok(());
        }
        let text = self.decoder.collect().ok_or(BrokenBody)?;
        let window = text.get(text.len() - self.window..).ok_or(BrokenBody)?;
        let mut block = Vec::with_capacity(3 + LARGEST_BLOCK);
        for piece in window.chunks(LARGEST_BLOCK.min(self.window)) {
            let header = u32::try_from(piece.len()).map_err(|_| BrokenBody)? << 3;
            block.clear();
            block.extend_from_slice(&header.to_le_bytes()[..3]);
            block.extend_from_slice(piece);
            self.decode(&block)?;
        }
        self.given = self.window;
        Ok(())
    }
}

/// Copies from a text without consuming it: reports that nothing was taken.
struct Look<'a> {
    from: usize,
    output: &'a mut [u8],
    wrote: usize,
}

impl Write for Look<'_> {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let more = text.get(self.from..).unwrap_or_default();
        self.wrote = more.len().min(self.output.len());
        if let (Some(to), Some(from)) = (self.output.get_mut(..self.wrote), more.get(..self.wrote)) {
            to.copy_from_slice(from);
        }
        Ok(0)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Decode for Zstd {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BrokenBody> {
        // First return the decoder's remaining text.
        let waits = self.decoder.can_collect().saturating_sub(self.given);
        if waits > 0 {
            let mut look = Look {
                from: self.given,
                output,
                wrote: 0,
            };
            self.decoder
                .collect_to_writer(&mut look)
                .map_err(|_| BrokenBody)?;
            let wrote = look.wrote;
            // The text is contiguous, because it is only ever taken as a whole.
            if wrote == 0 {
                return Err(BrokenBody);
            }
            self.given += wrote;
            return Ok(Step { read: 0, wrote });
        }
        let (length, _) = self.part_length()?;
        let read = length.saturating_sub(self.part.len()).min(input.len());
        self.part.extend_from_slice(input.get(..read).unwrap_or_default());
        let (length, last) = self.part_length()?;
        if self.part.len() < length {
            return Ok(Step { read, wrote: 0 });
        }
        if self.in_frame {
            self.forget()?;
            let block = std::mem::take(&mut self.part);
            self.decode(&block)?;
            self.part = block;
            self.in_frame = !last;
        } else {
            self.begin()?;
        }
        self.part.clear();
        Ok(Step { read, wrote: 0 })
    }

    fn is_whole(&self) -> bool {
        !self.in_frame && self.part.is_empty()
    }
}
