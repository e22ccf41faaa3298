//! Extracts the data of server-sent events from bytes cut anywhere.
//!
//! Only `data` fields are read.

use super::lines::Splitter;

/// Maximum size of an event's data, bytes: a call that writes a whole file has a few hundred kilobytes, a large
/// image in base64 about 20 MB.
const MOST: usize = 24 << 20;

/// Capacity kept for the next event.
const KEPT: usize = 64 << 10;

#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    data: Vec<u8>,
    splitter: Splitter,
}

/// An event was longer than [`MOST`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// An unnamed event with this data. Multi-line data stays multi-line.
pub(crate) fn data(data: &[u8]) -> Vec<u8> {
    let mut event = Vec::with_capacity(data.len() + 8);
    for line in data.split(|byte| *byte == b'\n') {
        for piece in [b"data: ", line.trim_ascii_end(), b"\n"] {
            event.extend_from_slice(piece);
        }
    }
    event.push(b'\n');
    event
}

/// Writes a named event; the data must be one line.
pub(crate) fn named(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    for piece in [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"] {
        out.extend_from_slice(piece);
    }
}

impl Lines {
    /// Takes the next bytes, and calls `each` with the data of every completed event.
    pub(crate) fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), TooLong> {
        let mut rest = chunk;
        while let Some(part) = self.splitter.next(&mut rest) {
            self.hold(part.bytes)?;
            if part.is_last {
                self.end_line(&mut each);
            }
        }
        Ok(())
    }

    /// Ends the input: the remaining data counts as an event.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        self.end_line(&mut each);
        self.dispatch(&mut each);
    }

    fn hold(&mut self, part: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + self.data.len() + part.len() > MOST {
            return Err(TooLong);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self, each: &mut impl FnMut(&[u8])) {
        if self.line.is_empty() {
            self.dispatch(each);
            return;
        }
        let line = std::mem::take(&mut self.line);
        if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.strip_prefix(b" ").unwrap_or(data);
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data);
        }
        self.line = line;
        self.line.clear();
        self.line.shrink_to(KEPT);
    }

    fn dispatch(&mut self, each: &mut impl FnMut(&[u8])) {
        if !self.data.is_empty() {
            each(&self.data);
            self.data.clear();
            self.data.shrink_to(KEPT);
        }
    }
}
