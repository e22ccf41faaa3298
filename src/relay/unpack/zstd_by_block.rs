//! `zstd`, RFC 8878, for the edge, where no C library can be: each block's text as soon as the block is here.
//!
//! [`FrameDecoder`] gives nothing of its last window before it has seen the last block, as it gives its text away
//! and later blocks refer to it. So it is shown an empty last block right behind the head of each frame: from then
//! on it gives all it has, and it goes on with blocks as before. The text is read without being taken ([`Look`]);
//! when much has been read, all of it is taken, and the window is put back as raw blocks. Such blocks change
//! nothing but the text.

use std::io::Write;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{BrokenBody, Decode, Step};

/// The window that every reader should have (RFC 8878 §3.1.1.1.2), bytes.
const LARGEST_WINDOW: u64 = 8 << 20;

/// The largest block, bytes.
const LARGEST_BLOCK: usize = 128 << 10;

/// Text beyond the window that is kept before it is dropped: each time, the window is copied.
const SLACK: usize = 1 << 20;

/// The magic number and the byte that tells how long the head is.
const FIXED_HEAD: usize = 5;

/// In that byte: a sum of four bytes follows the last block.
const SUMMED: u8 = 4;

/// Flag in that byte: the window's size is missing, since it equals the size of the text.
const SINGLE_SEGMENT: u8 = 0x20;

/// The header of a block: the last one, raw, of no bytes.
const EMPTY_LAST_BLOCK: &[u8] = &[1, 0, 0];

pub(super) struct Zstd {
    decoder: FrameDecoder,
    /// Between the head of a frame and its last block.
    in_frame: bool,
    /// Whether four bytes of a sum follow the last block.
    summed: bool,
    /// Bytes that later blocks may refer to.
    window: usize,
    /// How much of the decoder's text was given.
    given: usize,
    /// The bytes of the next part that have arrived.
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

    /// How long the next part is, as far as what is here tells; and whether it is a frame's last one.
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
        // Of a repeated byte only that one is here.
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
        // It would look for the sum behind each last block that it is shown.
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

    /// Forgets the text before the window, if it is long.
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

/// Copies from a text that stays where it is: it says that it has taken nothing.
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
        // First what the decoder has still to give.
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
            // The text is in one piece, since none of it was ever taken but all.
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
