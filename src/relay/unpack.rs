//! Decompresses answers as they pass. They may come compressed although identity was requested, and even without
//! a `content-encoding` (gzip is detected by its first byte).
//!
//! Each chunk is decompressed in pieces of at most [`PIECE`] bytes, and the next piece is made when the client
//! has room for it, so that a decompression bomb fills no memory. Code that reads a whole answer has its own
//! limit.
//!
//! | coding | support |
//! | --- | --- |
//! | `gzip`, `x-gzip` | several members; checksums are verified |
//! | `deflate` | with zlib's frame or bare, as some servers send it |
//! | `br` | on the edge by the runtime only |
//! | `zstd` | windows of at most 8 MiB; checksums are verified, but not on the edge |

#[cfg(not(target_arch = "wasm32"))]
mod brotli;
#[cfg(target_arch = "wasm32")]
#[path = "unpack/no_brotli.rs"]
mod brotli;
mod deflate;
#[cfg(not(target_arch = "wasm32"))]
mod zstd;
#[cfg(target_arch = "wasm32")]
#[path = "unpack/zstd_by_block.rs"]
mod zstd;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod zstd_by_block;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body::Frame;
use http_body_util::BodyExt as _;

use crate::port::upstream::{Body, BodyError};

/// Maximum output of one step, bytes.
const PIECE: usize = 16 << 10;

/// Maximum number of codings on one answer.
const MOST_CODINGS: usize = 3;

/// The result of one decoder step. A step without progress needs more input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Step {
    read: usize,
    wrote: usize,
}

/// The body does not match its coding.
#[derive(Debug)]
struct BrokenBody;

trait Decode: Send {
    /// Decodes a part of the input. Unread input is passed in again.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BrokenBody>;

    /// Whether the input may end here.
    fn is_whole(&self) -> bool;
}

/// Extension of an answer that was decompressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct WasPacked;

/// Whether a body that should be JSON or events begins like gzip; neither begins with this byte.
pub(super) fn is_gzip(first: &[u8]) -> bool {
    first.first() == Some(&GZIP_MAGIC)
}

/// The first byte of a gzip member, RFC 1952.
const GZIP_MAGIC: u8 = 0x1f;

/// Decompresses a body that is gzip without a `content-encoding`, and whose first bytes were already read.
pub(super) fn open_gzip(first: Bytes, body: &mut Body) {
    let nothing = http_body_util::Empty::new().map_err(|never| match never {});
    let rest = std::mem::replace(body, nothing.boxed_unsync());
    let mut unpacked = Unpacked::new(rest, Box::<deflate::Gzip>::default());
    unpacked.began = true;
    unpacked.input = first;
    *body = unpacked.boxed_unsync();
}

/// Removes the answer's codings and adjusts its headers. The error names an unsupported coding.
pub(super) fn opened(answer: Response<Body>) -> Result<Response<Body>, String> {
    let codings = codings(answer.headers())?;
    if codings.is_empty() {
        return Ok(answer);
    }
    let (mut head, mut body) = answer.into_parts();
    head.headers.remove(header::CONTENT_ENCODING);
    head.headers.remove(header::CONTENT_LENGTH);
    head.extensions.insert(WasPacked);
    // The header lists them in the order in which they were applied.
    for decoder in codings.into_iter().rev() {
        body = Unpacked::new(body, decoder).boxed_unsync();
    }
    Ok(Response::from_parts(head, body))
}

fn codings(headers: &HeaderMap) -> Result<Vec<Box<dyn Decode>>, String> {
    let mut codings: Vec<Box<dyn Decode>> = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let list = value.to_str().unwrap_or("of no name");
        for coding in list.split(',').map(str::trim) {
            match coding.to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => codings.push(Box::new(deflate::Gzip::default())),
                "deflate" => codings.push(Box::new(deflate::Deflate::default())),
                "br" => codings.push(brotli::decoder()?),
                "zstd" => codings.push(Box::new(zstd::Zstd::new())),
                other => {
                    let other: String = other.chars().take(40).collect();
                    return Err(format!(
                        "the provider packed its answer in an unknown way ({other})"
                    ));
                }
            }
            if codings.len() > MOST_CODINGS {
                return Err("the provider packed its answer too many times".to_owned());
            }
        }
    }
    Ok(codings)
}

struct Unpacked {
    /// `None` after its end.
    inner: Option<Body>,
    decoder: Box<dyn Decode>,
    input: Bytes,
    scratch: Vec<u8>,
    /// Whether there was any input; an empty body is valid for every coding.
    began: bool,
}

impl Unpacked {
    fn new(inner: Body, decoder: Box<dyn Decode>) -> Self {
        Self {
            inner: Some(inner),
            decoder,
            input: Bytes::new(),
            scratch: vec![0; PIECE],
            began: false,
        }
    }

    fn broke(&mut self, why: &str) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.inner = None;
        self.input.clear();
        self.began = false;
        Poll::Ready(Some(Err(BodyError(why.to_owned()))))
    }
}

impl http_body::Body for Unpacked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            if this.began {
                let Ok(step) = this.decoder.step(&this.input, &mut this.scratch) else {
                    return this.broke("the compressed answer is damaged");
                };
                drop(this.input.split_to(step.read.min(this.input.len())));
                if let Some(piece) = this.scratch.get(..step.wrote).filter(|piece| !piece.is_empty()) {
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(piece)))));
                }
                if step.read > 0 {
                    continue;
                }
            }
            let Some(inner) = &mut this.inner else {
                return Poll::Ready(None);
            };
            match ready!(Pin::new(inner).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        this.began = true;
                        // The decoder was offered the leftover input and wanted more; there is none.
                        this.input = if this.input.is_empty() {
                            data
                        } else {
                            [this.input.as_ref(), data.as_ref()].concat().into()
                        };
                    }
                }
                Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
                None => {
                    this.inner = None;
                    if this.began && !this.decoder.is_whole() {
                        return this.broke("the compressed answer is cut");
                    }
                    return Poll::Ready(None);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
