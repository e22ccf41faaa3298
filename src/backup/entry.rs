//! Parts as bytes.
//!
//! ```text
//! u8 type (t, h, s, z; with 0x80: the first of its key), text key, u64 end (0: none), number of elements
//! t: text value    h: text name, text value    s: text member    z: u64 bits of the score, text member
//! u8 'E', text summary (JSON): the end
//! ```
//! A text is its length and its bytes; numbers without a size are LEB128.

use bytes::Bytes;

use super::Summary;
use crate::port::whole::{Content, Part};

const BEGINS: u8 = 0x80;
const END: u8 = b'E';

/// Limits for reading: longest text, and most elements of a part; above those of any store.
const LONGEST: u64 = 512 << 20;
const MOST: u64 = 1 << 20;

/// The next item of a file.
pub(super) enum Entry {
    Part(Part),
    End(Summary),
}

pub(super) fn write(part: &Part, out: &mut Vec<u8>) {
    let kind = match part.content {
        Content::Text(_) => b't',
        Content::Hash(_) => b'h',
        Content::Set(_) => b's',
        Content::Sorted(_) => b'z',
    };
    out.push(if part.begins { kind | BEGINS } else { kind });
    text(part.key.as_bytes(), out);
    out.extend(part.end.unwrap_or(0).to_be_bytes());
    number(part.content.len() as u64, out);
    match &part.content {
        Content::Text(value) => text(value, out),
        Content::Hash(entries) => {
            for (name, value) in entries {
                text(name.as_bytes(), out);
                text(value, out);
            }
        }
        Content::Set(members) => members.iter().for_each(|member| text(member.as_bytes(), out)),
        Content::Sorted(entries) => {
            for (score, member) in entries {
                out.extend(score.to_bits().to_be_bytes());
                text(member.as_bytes(), out);
            }
        }
    }
}

pub(super) fn write_end(summary: &[u8], out: &mut Vec<u8>) {
    out.push(END);
    text(summary, out);
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The source of the bytes.
pub(super) trait Source {
    type Error;

    /// Fills all of `into`.
    fn fill(&mut self, into: &mut [u8]) -> Result<(), Self::Error>;

    /// The error for invalid bytes.
    fn malformed(&self) -> Self::Error;
}

pub(super) fn read<S: Source>(from: &mut S) -> Result<Entry, S::Error> {
    let tag = read_byte(from)?;
    if tag == END {
        let text = read_text(from)?;
        return match serde_json::from_slice(&text) {
            Ok(summary) => Ok(Entry::End(summary)),
            Err(_) => Err(from.malformed()),
        };
    }
    let key = read_name(from)?;
    let end = match read_u64(from)? {
        0 => None,
        end => Some(end),
    };
    let count = read_number(from)?;
    if count > MOST {
        return Err(from.malformed());
    }
    let content = match tag & !BEGINS {
        b't' if count == 1 => Content::Text(Bytes::from(read_text(from)?)),
        b'h' => {
            let mut entries = Vec::new();
            for _ in 0..count {
                entries.push((read_name(from)?, Bytes::from(read_text(from)?)));
            }
            Content::Hash(entries)
        }
        b's' => {
            let mut members = Vec::new();
            for _ in 0..count {
                members.push(read_name(from)?);
            }
            Content::Set(members)
        }
        b'z' => {
            let mut entries = Vec::new();
            for _ in 0..count {
                let score = f64::from_bits(read_u64(from)?);
                if score.is_nan() {
                    return Err(from.malformed());
                }
                entries.push((score, read_name(from)?));
            }
            Content::Sorted(entries)
        }
        _ => return Err(from.malformed()),
    };
    Ok(Entry::Part(Part {
        key,
        end,
        begins: tag & BEGINS != 0,
        content,
    }))
}

fn read_byte<S: Source>(from: &mut S) -> Result<u8, S::Error> {
    let mut byte = [0];
    from.fill(&mut byte)?;
    let [byte] = byte;
    Ok(byte)
}

fn read_u64<S: Source>(from: &mut S) -> Result<u64, S::Error> {
    let mut bytes = [0; 8];
    from.fill(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

fn read_number<S: Source>(from: &mut S) -> Result<u64, S::Error> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = read_byte(from)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(from.malformed())
}

fn read_text<S: Source>(from: &mut S) -> Result<Vec<u8>, S::Error> {
    /// Allocation step, so that a wrong length does not cost memory.
    const STEP: usize = 1 << 20;
    let length = read_number(from)?;
    if length > LONGEST {
        return Err(from.malformed());
    }
    let length = length as usize;
    let mut text = Vec::new();
    while text.len() < length {
        let at = text.len();
        text.resize(length.min(at + STEP), 0);
        if let Some(rest) = text.get_mut(at..) {
            from.fill(rest)?;
        }
    }
    Ok(text)
}

fn read_name<S: Source>(from: &mut S) -> Result<String, S::Error> {
    let text = read_text(from)?;
    String::from_utf8(text).map_err(|_| from.malformed())
}
