//! Scans JSON values without parsing them.

use super::quotes::Quotes;
use super::{Images, Malformed, Span};

/// Maximum nesting of a body. Its bits are kept on the stack; recursive parsers refuse less.
pub const MOST_LEVELS: usize = 512;

pub(super) struct Walk<'a> {
    body: &'a [u8],
    at: usize,
    quotes: Quotes<'a>,
    /// The images among the strings so far.
    pub(super) images: Images,
}

/// One bit per open bracket: 1 for an object.
struct Levels {
    bits: [u64; MOST_LEVELS / 64],
    depth: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            at: 0,
            quotes: Quotes::new(body),
            images: Images::default(),
        }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    #[inline]
    pub(super) fn step(&mut self) {
        self.at += 1;
    }

    #[inline]
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    pub(super) fn error(&self, what: &'static str) -> Malformed {
        let what = if self.at >= self.body.len() {
            "unexpected end"
        } else {
            what
        };
        Malformed::Json { what, at: self.at }
    }

    /// Scans a key with its colon, up to the value.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Span, Malformed> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a key in quotes"));
        }
        self.string()?;
        let span = Span { start, end: self.at };
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.error("expected `:`"));
        }
        self.step();
        self.space();
        Ok(span)
    }

    /// Scans any value.
    pub(super) fn value(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(open @ (b'{' | b'[')) => self.nested(open),
            _ => self.plain(),
        }
    }

    /// Scans a value without brackets.
    #[inline]
    fn plain(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => Err(self.error("expected a value")),
        }
    }

    /// Scans a value with brackets.
    fn nested(&mut self, open: u8) -> Result<(), Malformed> {
        let mut levels = Levels {
            bits: [0; MOST_LEVELS / 64],
            depth: 0,
        };
        let mut object = open == b'{';
        levels.push(object);
        self.step();
        // Nothing has followed the opening bracket yet.
        let mut fresh = true;
        loop {
            self.space();
            let next = self.peek();
            if next == Some(if object { b'}' } else { b']' }) {
                self.step();
                let Some(outer) = levels.pop() else { return Ok(()) };
                object = outer;
                fresh = false;
                continue;
            }
            if !fresh {
                if next != Some(b',') {
                    return Err(self.error(if object {
                        "expected `,` or `}`"
                    } else {
                        "expected `,` or `]`"
                    }));
                }
                self.step();
                self.space();
            }
            if object {
                self.key()?;
            }
            fresh = matches!(self.peek(), Some(b'{' | b'['));
            if fresh {
                object = self.peek() == Some(b'{');
                if !levels.push(object) {
                    return Err(self.error("nested too deeply"));
                }
                self.step();
            } else {
                self.plain()?;
            }
        }
    }

    /// Scans a string with its quotes.
    #[inline]
    fn string(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        let Some(end) = self.quotes.next(start + 1) else {
            return Err(Malformed::Json {
                what: "unterminated string",
                at: start,
            });
        };
        match self.quotes.bad_escape() {
            Some(at) if at < end => Err(Malformed::Json {
                what: "bad escape in a string",
                at,
            }),
            _ => {
                if end - start > super::images::SHORTEST {
                    self.images.see(self.body.get(start + 1..end).unwrap_or_default());
                }
                self.at = end + 1;
                Ok(())
            }
        }
    }

    /// Scans a number: `-`, digits without a leading zero, fraction, exponent.
    fn number(&mut self) -> Result<(), Malformed> {
        if self.peek() == Some(b'-') {
            self.step();
        }
        if self.peek() == Some(b'0') {
            self.step();
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.step();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.step();
            if let Some(b'+' | b'-') = self.peek() {
                self.step();
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            Err(self.error("bad number"))
        } else {
            Ok(())
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Malformed> {
        if !self.body.get(self.at..).unwrap_or_default().starts_with(word) {
            return Err(self.error("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }
}

impl Levels {
    /// Returns false if it is too deep.
    fn push(&mut self, object: bool) -> bool {
        let Some(word) = self.bits.get_mut(self.depth / 64) else {
            return false;
        };
        let bit = 1 << (self.depth % 64);
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        true
    }

    /// Returns the bracket around the closed one; `None` if that was the outermost.
    fn pop(&mut self) -> Option<bool> {
        self.depth -= 1;
        let outer = self.depth.checked_sub(1)?;
        self.bits
            .get(outer / 64)
            .map(|word| word & (1 << (outer % 64)) != 0)
    }
}
