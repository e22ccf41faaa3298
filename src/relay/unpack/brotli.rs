//! `br`, RFC 7932.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{BrokenBody, Decode, Step};

#[expect(clippy::unnecessary_wraps, reason = "on the edge there is none")]
pub(super) fn decoder() -> Result<Box<dyn Decode>, String> {
    Ok(Box::new(Brotli::new()))
}

struct Brotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    ended: bool,
}

impl Brotli {
    fn new() -> Self {
        let alloc = StandardAlloc::default;
        Self {
            state: Box::new(BrotliState::new(alloc(), alloc(), alloc())),
            ended: false,
        }
    }
}

impl Decode for Brotli {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BrokenBody> {
        if self.ended {
            // Input after the end is an error.
            return if input.is_empty() {
                Ok(Step::default())
            } else {
                Err(BrokenBody)
            };
        }
        let (mut left, mut read) = (input.len(), 0);
        let (mut room, mut wrote, mut sum) = (output.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            input,
            &mut room,
            &mut wrote,
            output,
            &mut sum,
            &mut self.state,
        );
        match result {
            BrotliResult::ResultFailure => return Err(BrokenBody),
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Step { read, wrote })
    }

    fn is_whole(&self) -> bool {
        self.ended
    }
}
