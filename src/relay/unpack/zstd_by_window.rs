//! `zstd`, RFC 8878, a block at a time: a block of a few bytes may stand for 128 KiB.
//!
//! For the edge, where no C library can be. The decoder keeps a window's worth of text to itself until the frame
//! ends.

use ruzstd::decoding::FrameDecoder;

use super::{Broken, Decode, Step};

/// The window that every reader should have (RFC 8878 §3.1.1.1.2).
const LARGEST_WINDOW: u64 = 8 << 20;

/// The magic number and the byte that tells how long the head is.
const FIXED_HEAD: usize = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a frame.
    Head,
    /// Before a block.
    Block,
    /// Behind the last block: what is held back is still to come.
    Rest,
}

pub(super) struct Zstd {
    decoder: FrameDecoder,
    place: Place,
    /// Whether four bytes of a sum follow the last block.
    summed: bool,
    /// What is here of the part that comes next.
    part: Vec<u8>,
}

impl Zstd {
    pub(super) fn new() -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(LARGEST_WINDOW);
        Self {
            decoder,
            place: Place::Head,
            summed: false,
            part: Vec::new(),
        }
    }

    /// How long the next part is, as far as what is here tells; and whether it is a frame's last one.
    fn part_length(&self) -> Result<(usize, bool), Broken> {
        if self.place == Place::Head {
            let Some(descriptor) = self.part.get(FIXED_HEAD - 1).copied() else {
                return Ok((FIXED_HEAD, false));
            };
            if !self.part.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
                return Err(Broken);
            }
            let single = descriptor & 0x20 != 0;
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
        if kind == 3 || content > 128 << 10 {
            return Err(Broken);
        }
        let sum = if last && self.summed { 4 } else { 0 };
        Ok((3 + content + sum, last))
    }
}

impl Decode for Zstd {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Broken> {
        // First what the decoder has still to give.
        if self.place != Place::Head {
            let (_, wrote) = self.decoder.decode_from_to(&[], output).map_err(|_| Broken)?;
            if wrote > 0 {
                return Ok(Step { read: 0, wrote });
            }
            if self.place == Place::Rest {
                self.place = Place::Head;
            }
        }
        let (length, _) = self.part_length()?;
        let read = length.saturating_sub(self.part.len()).min(input.len());
        self.part.extend_from_slice(input.get(..read).unwrap_or_default());
        let (length, last) = self.part_length()?;
        if self.part.len() < length {
            return Ok(Step { read, wrote: 0 });
        }
        let mut wrote = 0;
        if self.place == Place::Head {
            self.summed = self
                .part
                .get(FIXED_HEAD - 1)
                .is_some_and(|descriptor| descriptor & 4 != 0);
            self.decoder.reset(&self.part[..]).map_err(|_| Broken)?;
            self.place = Place::Block;
        } else {
            (_, wrote) = self
                .decoder
                .decode_from_to(&self.part, output)
                .map_err(|_| Broken)?;
            if last {
                self.place = Place::Rest;
            }
        }
        self.part.clear();
        Ok(Step { read, wrote })
    }

    fn is_whole(&self) -> bool {
        self.place == Place::Head && self.part.is_empty()
    }
}
