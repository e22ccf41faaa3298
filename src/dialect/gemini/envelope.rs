//! Adds or removes Code Assist's envelope (`{"response": ...}`) around answers as they pass.
//!
//! A stream is rewritten event by event, and a list of answers (Google's stream without `alt=sse`) element by
//! element, so at most one answer is held. The answer itself stays byte for byte; errors have no envelope in
//! either protocol.
//!
//! Source: `packages/core/src/code_assist/converter.ts` of Gemini CLI; measured with Gemini CLI 0.61.0.

use bytes::Bytes;

use crate::dialect::answer::Rewrite;
use crate::dialect::body::{Field, scan};

/// Limit for one answer, bytes: an isolate has 128 MB of memory in total.
const LARGEST: usize = 32 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Into {
    Envelope,
    Plain,
}

pub(crate) fn rewriter(into: Into, event_stream: bool) -> Box<dyn Rewrite> {
    if event_stream {
        Box::new(Events {
            into,
            line: Vec::new(),
            data: Vec::new(),
        })
    } else {
        Box::new(Objects {
            into,
            object: Vec::new(),
            depth: 0,
            text: Text::Outside,
        })
    }
}

fn rewritten(into: Into, answer: &[u8], out: &mut Vec<u8>) {
    let fields = scan(answer).unwrap_or_default();
    match into {
        _ if fields.span(Field::Error).is_some() => out.extend_from_slice(answer),
        Into::Envelope => {
            out.extend_from_slice(b"{\"response\":");
            out.extend_from_slice(answer);
            out.extend_from_slice(b"}");
        }
        Into::Plain => out.extend_from_slice(fields.raw(Field::Response, answer).unwrap_or(answer)),
    }
}

fn too_large() -> String {
    format!("an answer has more than {} MB", LARGEST >> 20)
}

/// A stream of events. Lines other than data keep their original line ends, so `wire::lines` does not split them.
struct Events {
    into: Into,
    /// The current line.
    line: Vec<u8>,
    /// The data of the current event, from all its lines.
    data: Vec<u8>,
}

impl Events {
    /// `line` includes its line end, if there was one.
    fn take(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let text = line.trim_ascii_end();
        if let Some(data) = text.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data.trim_ascii_start());
            return;
        }
        let end: &[u8] = if line.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
        if text.is_empty() {
            self.event(end, out);
        }
        out.extend_from_slice(line);
    }

    fn event(&mut self, end: &[u8], out: &mut Vec<u8>) {
        if self.data.is_empty() {
            return;
        }
        let mut answer = Vec::with_capacity(self.data.len() + 16);
        rewritten(self.into, &self.data, &mut answer);
        for line in answer.split(|byte| *byte == b'\n') {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line);
            out.extend_from_slice(end);
        }
        self.data.clear();
    }
}

impl Rewrite for Events {
    fn feed(&mut self, chunk: &[u8]) -> Result<Bytes, String> {
        let mut out = Vec::with_capacity(chunk.len());
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() + self.data.len() > LARGEST {
                return Err(too_large());
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.take(&line, &mut out);
                // Reuses the allocation.
                self.line = line;
                self.line.clear();
            }
        }
        Ok(out.into())
    }

    fn finish(&mut self) -> Bytes {
        let mut out = Vec::new();
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take(&line, &mut out);
        }
        self.event(b"\n", &mut out);
        out.into()
    }
}

/// An object, or a list of them.
struct Objects {
    into: Into,
    /// The current object.
    object: Vec<u8>,
    /// Number of open brackets.
    depth: u32,
    text: Text,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    Escaped,
}

impl Rewrite for Objects {
    fn feed(&mut self, chunk: &[u8]) -> Result<Bytes, String> {
        let mut out = Vec::with_capacity(chunk.len() + 16);
        let mut from = 0;
        for (at, byte) in chunk.iter().enumerate() {
            self.text = match (self.text, byte) {
                (Text::Inside, b'\\') => Text::Escaped,
                (Text::Inside, b'"') => Text::Outside,
                (Text::Inside | Text::Escaped, _) => Text::Inside,
                (Text::Outside, b'"') if self.depth > 0 => Text::Inside,
                (Text::Outside, _) => Text::Outside,
            };
            if self.text != Text::Outside {
                continue;
            }
            match byte {
                b'{' | b'[' if self.depth > 0 || *byte == b'{' => {
                    if self.depth == 0 {
                        // Bytes around the objects are forwarded unchanged.
                        out.extend_from_slice(chunk.get(from..at).unwrap_or_default());
                        from = at;
                    }
                    self.depth = self.depth.saturating_add(1);
                }
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.object
                            .extend_from_slice(chunk.get(from..=at).unwrap_or_default());
                        from = at + 1;
                        rewritten(self.into, &self.object, &mut out);
                        self.object.clear();
                    }
                }
                _ => {}
            }
        }
        let rest = chunk.get(from..).unwrap_or_default();
        if self.depth == 0 {
            out.extend_from_slice(rest);
        } else {
            self.object.extend_from_slice(rest);
        }
        if self.object.len() > LARGEST {
            return Err(too_large());
        }
        Ok(out.into())
    }

    fn finish(&mut self) -> Bytes {
        // A truncated object is forwarded as it is: it belongs to no protocol.
        std::mem::take(&mut self.object).into()
    }
}

#[cfg(test)]
mod tests;
