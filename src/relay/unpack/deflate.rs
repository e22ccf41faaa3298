//! `gzip` (RFC 1952) and `deflate` (RFC 1950, or RFC 1951 alone).

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{BrokenBody, Decode, Step};

/// Limit for the header of a gzip member, bytes: it contains a file name and the like.
const LONGEST_HEAD: usize = 80 << 10;

/// One call of the inflater.
fn inflate(inflater: &mut Decompress, input: &[u8], output: &mut [u8]) -> Result<(Step, bool), BrokenBody> {
    let (read, wrote) = (inflater.total_in(), inflater.total_out());
    let status = inflater
        .decompress(input, output, FlushDecompress::None)
        .map_err(|_| BrokenBody)?;
    let step = Step {
        read: (inflater.total_in() - read) as usize,
        wrote: (inflater.total_out() - wrote) as usize,
    };
    Ok((step, status == Status::StreamEnd))
}

enum Member {
    /// The part of its header so far.
    Head(Vec<u8>),
    Text(Box<Decompress>, Crc),
    /// The checksum so far, and the expected one.
    Sums(Vec<u8>, [u8; 8]),
}

pub(super) struct Gzip(Member);

impl Default for Gzip {
    fn default() -> Self {
        Self(Member::Head(Vec::new()))
    }
}

impl Decode for Gzip {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BrokenBody> {
        match &mut self.0 {
            Member::Head(head) => {
                let before = head.len();
                head.extend_from_slice(input);
                let Some(length) = head_length(head)? else {
                    let read = input.len();
                    return Ok(Step { read, wrote: 0 });
                };
                self.0 = Member::Text(Box::new(Decompress::new(false)), Crc::new());
                let read = length.saturating_sub(before);
                Ok(Step { read, wrote: 0 })
            }
            Member::Text(inflater, crc) => {
                let (step, ended) = inflate(inflater, input, output)?;
                crc.update(output.get(..step.wrote).unwrap_or_default());
                if ended {
                    let sums = u64::from(crc.amount()) << 32 | u64::from(crc.sum());
                    self.0 = Member::Sums(Vec::new(), sums.to_le_bytes());
                }
                Ok(step)
            }
            Member::Sums(sums, expected) => {
                let read = (8 - sums.len()).min(input.len());
                sums.extend_from_slice(input.get(..read).unwrap_or_default());
                if sums.len() == 8 {
                    if sums != expected {
                        return Err(BrokenBody);
                    }
                    self.0 = Member::Head(Vec::new());
                }
                Ok(Step { read, wrote: 0 })
            }
        }
    }

    fn is_whole(&self) -> bool {
        matches!(&self.0, Member::Head(head) if head.is_empty())
    }
}

/// The length of a member's header; `None` if it is incomplete.
fn head_length(head: &[u8]) -> Result<Option<usize>, BrokenBody> {
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const SUM: u8 = 2;
    if head.len() > LONGEST_HEAD || !b"\x1f\x8b\x08".starts_with(head.get(..3).unwrap_or(head)) {
        return Err(BrokenBody);
    }
    let Some(flags) = head.get(3).copied() else {
        return Ok(None);
    };
    let mut length = 10;
    if flags & EXTRA != 0 {
        let Some(&[low, high]) = head.get(length..length + 2) else {
            return Ok(None);
        };
        length += 2 + usize::from(u16::from_le_bytes([low, high]));
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = head.get(length..).and_then(|rest| memchr::memchr(0, rest));
            let Some(end) = end else { return Ok(None) };
            length += end + 1;
        }
    }
    if flags & SUM != 0 {
        length += 2;
    }
    Ok((head.len() >= length).then_some(length))
}

#[derive(Default)]
pub(super) struct Deflate {
    /// The first two bytes, which show whether there is a zlib frame.
    first: Vec<u8>,
    /// The inflater, and the number of these bytes fed to it.
    inflater: Option<(Box<Decompress>, usize)>,
    ended: bool,
}

impl Decode for Deflate {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BrokenBody> {
        if self.ended {
            // Input after the end is an error.
            return if input.is_empty() {
                Ok(Step::default())
            } else {
                Err(BrokenBody)
            };
        }
        let Some((inflater, fed)) = &mut self.inflater else {
            let read = (2 - self.first.len()).min(input.len());
            self.first
                .extend_from_slice(input.get(..read).unwrap_or_default());
            if let &[method, flags] = self.first.as_slice() {
                let framed = method & 0x0f == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31);
                self.inflater = Some((Box::new(Decompress::new(framed)), 0));
            }
            return Ok(Step { read, wrote: 0 });
        };
        if let Some(first) = self.first.get(*fed..).filter(|first| !first.is_empty()) {
            let (step, ended) = inflate(inflater, first, output)?;
            *fed += step.read;
            self.ended = ended;
            if step == Step::default() {
                return Err(BrokenBody);
            }
            if step.wrote > 0 {
                let wrote = step.wrote;
                return Ok(Step { read: 0, wrote });
            }
        }
        if self.ended {
            return Ok(Step::default());
        }
        let (step, ended) = inflate(inflater, input, output)?;
        self.ended = ended;
        Ok(step)
    }

    fn is_whole(&self) -> bool {
        self.ended
    }
}
