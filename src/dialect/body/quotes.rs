//! Finds the closing quotes of strings, 64 bytes at a time.
//!
//! Most of a request is text in strings, with a backslash every dozen bytes (line ends, quoted code). Stopping at
//! each of them, as a search for the next quote or backslash does, dominates the cost of a scan. Here the quotes
//! and backslashes of 64 bytes become two bit masks. Arithmetic on the masks finds the escaped bytes (the method
//! of simdjson, by Langdale and Lemire), so the scan stops only at unescaped quotes.

use wide::u8x16;

const BLOCK: usize = 64;

/// Every other bit, from the lowest.
const EVEN: u64 = 0x5555_5555_5555_5555;

pub(super) struct Quotes<'a> {
    body: &'a [u8],
    /// Start of the block that the mask belongs to.
    start: usize,
    /// The block's unescaped quotes.
    mask: u64,
    /// 1 if the block's last byte is a backslash that escapes the first byte of the next block.
    carry: u64,
    bad_escape: Option<usize>,
}

impl<'a> Quotes<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        let mut quotes = Self {
            body,
            start: 0,
            mask: 0,
            carry: 0,
            bad_escape: None,
        };
        quotes.load();
        quotes
    }

    /// The first unescaped quote at or after `from`. `from` never decreases.
    #[inline]
    pub(super) fn next(&mut self, from: usize) -> Option<usize> {
        loop {
            let skip = from.saturating_sub(self.start);
            if skip < BLOCK {
                let left = self.mask & (u64::MAX << skip);
                if left != 0 {
                    return Some(self.start + left.trailing_zeros() as usize);
                }
            }
            if self.start + BLOCK >= self.body.len() {
                return None;
            }
            self.start += BLOCK;
            self.load();
        }
    }

    /// The first invalid escape seen so far.
    #[inline]
    pub(super) fn bad_escape(&self) -> Option<usize> {
        self.bad_escape
    }

    #[inline]
    fn load(&mut self) {
        let rest = self.body.get(self.start..).unwrap_or_default();
        match rest.first_chunk::<BLOCK>() {
            Some(block) => self.take(block),
            None => {
                let mut block = [b' '; BLOCK];
                for (to, from) in block.iter_mut().zip(rest) {
                    *to = *from;
                }
                self.take(&block);
            }
        }
    }

    #[inline]
    fn take(&mut self, block: &[u8; BLOCK]) {
        let quotes = mask(block, b'"');
        let backslashes = mask(block, b'\\');
        let escaped = if backslashes | self.carry == 0 {
            0
        } else {
            self.escaped(backslashes)
        };
        self.mask = quotes & !escaped;
        if escaped != 0 && self.bad_escape.is_none() {
            // Nearly always a quote, a backslash, `n` or `t`.
            let rare = escaped & !(quotes | backslashes | either(block, b'n', b't'));
            if rare != 0 {
                self.check(rare);
            }
        }
    }

    /// The mask of escaped bytes. In a run of backslashes every other one escapes the next byte, starting with
    /// the first. Adding the mask of runs that begin on odd bits to the mask of all backslashes carries through
    /// each run, so that the two kinds differ at their ends.
    #[inline]
    fn escaped(&mut self, backslashes: u64) -> u64 {
        let backslashes = backslashes & !self.carry;
        let follows = backslashes << 1 | self.carry;
        let odd_starts = backslashes & !EVEN & !follows;
        let (runs, carry) = odd_starts.overflowing_add(backslashes);
        self.carry = u64::from(carry);
        (EVEN ^ (runs << 1)) & follows
    }

    /// Checks unusual escapes.
    #[cold]
    fn check(&mut self, mut escapes: u64) {
        while escapes != 0 {
            let at = self.start + escapes.trailing_zeros() as usize;
            escapes &= escapes - 1;
            let good = match self.body.get(at) {
                // `None`: the body ends in a backslash, which is reported as an unterminated string.
                Some(b'/' | b'b' | b'f' | b'r') | None => true,
                Some(b'u') => {
                    let digits = self.body.get(at + 1..at + 5);
                    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
                }
                Some(_) => false,
            };
            if !good {
                self.bad_escape = Some(at);
                return;
            }
        }
    }
}

#[inline]
fn mask(block: &[u8; BLOCK], byte: u8) -> u64 {
    let wanted = u8x16::splat(byte);
    bits(block, |lane| lane.simd_eq(wanted))
}

#[inline]
fn either(block: &[u8; BLOCK], one: u8, other: u8) -> u64 {
    let (one, other) = (u8x16::splat(one), u8x16::splat(other));
    bits(block, |lane| lane.simd_eq(one) | lane.simd_eq(other))
}

#[inline]
fn bits(block: &[u8; BLOCK], test: impl Fn(u8x16) -> u8x16) -> u64 {
    let (lanes, _) = block.as_chunks::<16>();
    lanes.iter().rev().fold(0, |mask, lane| {
        mask << 16 | u64::from(test(u8x16::new(*lane)).to_bitmask())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As one reads it: byte by byte.
    fn plainly(body: &[u8]) -> (Vec<usize>, Option<usize>) {
        let (mut quotes, mut bad, mut at) = (Vec::new(), None, 0);
        while at < body.len() {
            match body[at] {
                b'"' => quotes.push(at),
                b'\\' => {
                    at += 1;
                    let good = match body.get(at) {
                        Some(b'u') => body
                            .get(at + 1..at + 5)
                            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
                        Some(byte) => b"\"\\/bfnrt".contains(byte),
                        None => true,
                    };
                    if !good && bad.is_none() {
                        bad = Some(at);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        (quotes, bad)
    }

    proptest! {
        #[test]
        fn the_masks_find_what_a_reader_finds(
            body in prop::collection::vec(prop_oneof![3 => Just(b'\\'), 2 => Just(b'"'), 3 => prop::sample::select(b"ntrbfu/019aFxX ".to_vec())], 0..300),
            lead in 0..70_usize,
        ) {
            let body = [vec![b'x'; lead], body].concat();
            let (expected, bad) = plainly(&body);
            let mut quotes = Quotes::new(&body);
            let mut found = Vec::new();
            let mut from = 0;
            while let Some(at) = quotes.next(from) {
                found.push(at);
                from = at + 1;
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(quotes.bad_escape(), bad);
        }
    }
}
