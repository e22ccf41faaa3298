//! The load generator: kept connections, requests made beforehand, answers only read as far as needed.

use std::io;
use std::time::Instant;

use bytes::BytesMut;
use memchr::memmem;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::provider::micros;
use super::stats::Samples;
use crate::wire::{Framing, read_response_head};

/// One kept connection to a server.
pub(super) struct Connection {
    stream: TcpStream,
    buf: BytesMut,
}

/// A whole answer, timed.
pub(super) struct Exchange {
    pub(super) first_byte: std::time::Duration,
    pub(super) whole: std::time::Duration,
}

/// What became of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    pub(super) frames: u64,
    /// Deltas that never came, or came out of order.
    pub(super) lost: u64,
    /// Deltas that came together with the one before, although the provider paused between them.
    pub(super) merged: u64,
    /// From the provider's writing a delta to its being read here.
    pub(super) delay: Samples,
    /// From the request to the first byte of its answer's body.
    pub(super) first_byte: Samples,
}

fn refuse(status: u16, body: &[u8]) -> io::Error {
    let body = String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
    io::Error::other(format!("status {status}: {body}"))
}

impl Connection {
    /// `address` is `host:port`.
    pub(super) async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buf: BytesMut::with_capacity(64 * 1024),
        })
    }

    async fn head(&mut self, request: &[u8]) -> io::Result<Framing> {
        self.stream.write_all(request).await?;
        let head = read_response_head(&mut self.stream, &mut self.buf).await?;
        let head = head.ok_or_else(|| io::Error::other("closed without an answer"))?;
        let mut framing = Framing::of_response("POST", &head)?;
        if head.status != 200 {
            let body = framing.all(&mut self.stream, &mut self.buf).await?;
            return Err(refuse(head.status, &body));
        }
        Ok(framing)
    }

    /// Sends a request and reads all of the answer.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> io::Result<Exchange> {
        let start = Instant::now();
        let mut framing = self.head(request).await?;
        let mut first_byte = None;
        while framing.next(&mut self.stream, &mut self.buf).await?.is_some() {
            first_byte.get_or_insert_with(|| start.elapsed());
        }
        let whole = start.elapsed();
        Ok(Exchange {
            first_byte: first_byte.unwrap_or(whole),
            whole,
        })
    }

    /// Sends a request for a paced stream of `deltas` deltas and watches each arrive.
    pub(super) async fn stream(&mut self, request: &[u8], deltas: u32) -> io::Result<Stream> {
        let start = Instant::now();
        let mut framing = self.head(request).await?;
        let mut seen = Stream::default();
        let mut text = Vec::with_capacity(4096);
        let mut next = 0;
        let mut stopped = false;
        loop {
            let Some(piece) = framing.next(&mut self.stream, &mut self.buf).await? else {
                break;
            };
            if seen.frames == 0 && text.is_empty() {
                seen.first_byte.add(start.elapsed());
            }
            text.extend_from_slice(&piece);
            // All that one read gave belongs together.
            while let Some(piece) = framing.take(&mut self.buf)? {
                text.extend_from_slice(&piece);
            }
            let now = micros();
            let mut together = 0;
            let mut from = 0;
            while let Some(end) = memmem::find(&text[from..], b"\n\n") {
                let frame = &text[from..from + end];
                from += end + 2;
                seen.frames += 1;
                if let Some((number, written)) = delta(frame) {
                    seen.lost += u64::from(number.abs_diff(next));
                    next = number + 1;
                    together += 1;
                    seen.delay.add_micros(now.saturating_sub(written) as f64);
                }
                stopped |= frame.starts_with(b"event: message_stop");
            }
            text.drain(..from);
            seen.merged += u64::from(together > 1) * (together - u64::from(together > 0));
        }
        seen.lost += u64::from(deltas.saturating_sub(next));
        if !stopped {
            return Err(io::Error::other(format!(
                "the stream ended early, after {} frames",
                seen.frames
            )));
        }
        Ok(seen)
    }
}

/// Number and moment of writing of a delta's frame.
fn delta(frame: &[u8]) -> Option<(u32, u64)> {
    let mark = b"\"text_delta\"";
    memmem::find(frame, mark)?;
    let at = memmem::find(frame, b"\"text\":\"")? + 8;
    let mut words = std::str::from_utf8(frame.get(at..)?).ok()?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delta_says_its_number_and_moment() {
        let frame = "event: content_block_delta\ndata: {\"delta\":{\"text\":\"000007 0001763800000123 词\",\
                     \"type\":\"text_delta\"}}";
        assert_eq!(delta(frame.as_bytes()), Some((7, 1_763_800_000_123)));
        assert_eq!(delta(b"event: ping\ndata: {\"type\":\"ping\"}"), None);
    }
}
