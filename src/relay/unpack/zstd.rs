//! `zstd`, RFC 8878: returns each block's text as soon as the block is complete.

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::{BrokenBody, Decode, Step};

/// Logarithm of the largest supported window, 8 MiB, which RFC 8878 §3.1.1.1.2 recommends.
const LARGEST_WINDOW_LOG: u32 = 23;

pub(super) struct Zstd {
    /// `None` if its memory could not be allocated.
    decoder: Option<DCtx<'static>>,
    /// The decoder's last return value: 0 at a frame's end after all of its text was read.
    wants: usize,
}

impl Zstd {
    pub(super) fn new() -> Self {
        let decoder = DCtx::try_create().and_then(|mut decoder| {
            let bounded = decoder.set_parameter(DParameter::WindowLogMax(LARGEST_WINDOW_LOG));
            bounded.is_ok().then_some(decoder)
        });
        Self { decoder, wants: 0 }
    }
}

impl Decode for Zstd {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BrokenBody> {
        // Otherwise the decoder would expect another frame.
        if input.is_empty() && self.wants == 0 {
            return Ok(Step::default());
        }
        let decoder = self.decoder.as_mut().ok_or(BrokenBody)?;
        let mut source = InBuffer::around(input);
        let mut target = OutBuffer::around(output);
        self.wants = decoder
            .decompress_stream(&mut target, &mut source)
            .map_err(|_| BrokenBody)?;
        Ok(Step {
            read: source.pos(),
            wrote: target.pos(),
        })
    }

    fn is_whole(&self) -> bool {
        self.wants == 0
    }
}
