//! Decompresses request bodies to read them. The provider still receives the original bytes.
//!
//! A few bytes can become gigabytes, so this works in steps: the caller reserves memory for each step and lets
//! others run in between. [`DENSEST`] also limits the result.

use std::io::{BufRead, Cursor, ErrorKind, Read};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, HeaderValue};
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The maximum window of zstd that RFC 8878 §3.1.1.1.2 recommends, bytes.
const WINDOW: usize = 8 << 20;

/// The maximum decompressed size of a zstd block (RFC 8878 §3.1.1.2.4), bytes.
const BLOCK: usize = 128 << 10;

/// Maximum compression ratio beyond [`ALWAYS`]. Conversations reach about twenty.
pub const DENSEST: usize = 100;

/// Decompressed size that is allowed at any ratio, bytes.
pub const ALWAYS: usize = 1 << 20;

/// Maximum compressed bytes read per turn.
const INPUT: usize = 64 << 10;

/// Maximum zstd blocks decoded per turn.
const BLOCKS: usize = 4;

/// Decompressed bytes after which a turn ends: about a millisecond of work.
const OUTPUT: usize = BLOCKS * BLOCK;

/// Decompressed bytes moved at once.
const PIECE: usize = 32 << 10;

/// Why a compressed body cannot be read; the text is sent to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    #[error("this relay does not support the body's content-encoding: send gzip, zstd or plain")]
    Unknown,
    #[error("the body is not what its content-encoding says, or it is cut")]
    Broken,
    /// Independent of the ratio.
    #[error("the body is larger than this relay accepts, once it is unpacked")]
    TooLarge,
    #[error(
        "the body needs a window of more than 8 MiB to unpack: compress it at a lower level, or send it plain"
    )]
    Window,
    #[error("the body unpacks to more than 100 times its size: send it plain")]
    TooDense,
}

/// The compression of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    /// The request's `content-encoding`; `None`: uncompressed. An empty value and `identity` mean none, alone or
    /// in a list (RFC 9110 §8.4.1, §12.5.3).
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, UnpackError> {
        let mut found = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in value.to_str().map_err(|_| UnpackError::Unknown)?.split(',') {
                let coding = match name.trim().to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "zstd" => Self::Zstd,
                    _ => return Err(UnpackError::Unknown),
                };
                if found.replace(coding).is_some() {
                    return Err(UnpackError::Unknown);
                }
            }
        }
        Ok(found)
    }

    /// The value for `content-encoding`.
    pub fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// A body being decompressed.
pub struct Unpacker {
    packed: Decoder,
    text: Vec<u8>,
    /// Limit for the decompressed size, bytes, and the error beyond it.
    limit: (usize, UnpackError),
}

enum Decoder {
    Gzip(Box<MultiGzDecoder<InTurns>>),
    Zstd(Box<FrameDecoder>, Cursor<Bytes>),
}

impl Unpacker {
    /// Starts to decompress a body to at most `limit` bytes.
    pub fn new(coding: Coding, body: Bytes, limit: usize) -> Result<Self, UnpackError> {
        let dense = body.len().saturating_mul(DENSEST).max(ALWAYS);
        let limit = if dense < limit {
            (dense, UnpackError::TooDense)
        } else {
            (limit, UnpackError::TooLarge)
        };
        let packed = match coding {
            Coding::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(InTurns::new(body)))),
            Coding::Zstd => {
                let mut body = Cursor::new(body);
                let mut decoder = FrameDecoder::new();
                decoder.set_max_window_size(WINDOW as u64);
                decoder.init(&mut body).map_err(|error| match error {
                    FrameDecoderError::WindowSizeTooBig { .. } => UnpackError::Window,
                    _ => UnpackError::Broken,
                })?;
                Decoder::Zstd(Box::new(decoder), body)
            }
        };
        Ok(Self {
            packed,
            text: Vec::new(),
            limit,
        })
    }

    /// Memory used now or in the next turn, bytes, for the caller's accounting.
    pub fn needs(&self) -> usize {
        let text = self.room();
        match &self.packed {
            Decoder::Gzip(_) => text,
            // The decoder also keeps a window of the text, in a buffer that grows by doubling.
            Decoder::Zstd(decoder, _) => {
                let decoded = decoder.blocks_decoded().saturating_mul(BLOCK);
                text + 2 * (decoded.min(WINDOW) + OUTPUT)
            }
        }
    }

    /// Capacity for the text in the next turn, bytes: doubled if not even one piece fits.
    fn room(&self) -> usize {
        let room = self.text.capacity();
        if room - self.text.len() < PIECE {
            (room * 2).max(2 * PIECE).min(self.limit.0 + 2 * PIECE)
        } else {
            room
        }
    }

    /// Runs one turn, which reads and writes limited amounts. Returns true when the text is complete.
    pub fn turn(&mut self) -> Result<bool, UnpackError> {
        self.text
            .reserve_exact(self.room().saturating_sub(self.text.len()));
        if let Decoder::Gzip(decoder) = &mut self.packed {
            decoder.get_mut().allowed = INPUT;
        }
        let mut blocks = 0;
        let enough = self.text.len() + OUTPUT;
        while self.text.len() < enough && self.text.capacity() - self.text.len() >= PIECE {
            let start = self.text.len();
            self.text.resize(start + PIECE, 0);
            let piece = self.text.get_mut(start..).unwrap_or_default();
            let read = match &mut self.packed {
                Decoder::Gzip(decoder) => match decoder.read(piece) {
                    Ok(0) => Some(None),
                    Ok(read) => Some(Some(read)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                    Err(_) => return Err(UnpackError::Broken),
                },
                Decoder::Zstd(decoder, body) => match decoder.read(piece).map_err(|_| UnpackError::Broken)? {
                    0 if decoder.is_finished() => {
                        // Some providers would read a second frame, others would not.
                        if body.position() < body.get_ref().len() as u64 {
                            return Err(UnpackError::Broken);
                        }
                        Some(None)
                    }
                    0 if blocks == BLOCKS => None,
                    0 => {
                        blocks += 1;
                        decoder
                            .decode_blocks(body, BlockDecodingStrategy::UptoBlocks(1))
                            .map_err(|_| UnpackError::Broken)?;
                        Some(Some(0))
                    }
                    read => Some(Some(read)),
                },
            };
            let (read, ended) = match read {
                None => (0, None),
                Some(None) => (0, Some(true)),
                Some(Some(read)) => (read, Some(false)),
            };
            self.text.truncate(start + read);
            if self.text.len() > self.limit.0 {
                return Err(self.limit.1.clone());
            }
            match ended {
                Some(true) => return Ok(true),
                Some(false) => {}
                None => break,
            }
        }
        Ok(false)
    }

    /// Length of the text so far, bytes.
    pub fn text_length(&self) -> usize {
        self.text.len()
    }

    /// The text, after a turn returned true.
    pub fn text(mut self) -> Bytes {
        self.text.shrink_to_fit();
        self.text.into()
    }
}

/// A reader that returns `WouldBlock` after a number of bytes, to end a turn.
struct InTurns {
    body: Bytes,
    allowed: usize,
}

impl InTurns {
    fn new(body: Bytes) -> Self {
        Self { body, allowed: 0 }
    }
}

impl BufRead for InTurns {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        let ready = self.allowed.min(self.body.len());
        if ready == 0 && !self.body.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(self.body.get(..ready).unwrap_or_default())
    }

    fn consume(&mut self, read: usize) {
        self.allowed = self.allowed.saturating_sub(read);
        let read = read.min(self.body.len());
        bytes::Buf::advance(&mut self.body, read);
    }
}

impl Read for InTurns {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// Each with what it makes of a text.
    type Pack = fn(&[u8]) -> Vec<u8>;

    const CODINGS: [(Coding, Pack); 2] = [(Coding::Gzip, gzip), (Coding::Zstd, zstd)];

    /// The text, or why there is none; and how many turns it took.
    fn open(coding: Coding, packed: &[u8], limit: usize) -> (Result<Bytes, UnpackError>, usize) {
        let mut unpacker = match Unpacker::new(coding, Bytes::copy_from_slice(packed), limit) {
            Ok(unpacker) => unpacker,
            Err(closed) => return (Err(closed), 0),
        };
        let mut turn = 0;
        loop {
            turn += 1;
            let (needs, before) = (unpacker.needs(), unpacker.text.len());
            let whole = unpacker.turn();
            assert!(unpacker.text.capacity() <= needs);
            assert!(unpacker.text.capacity() <= limit + 2 * PIECE);
            assert!(unpacker.text.len() - before <= OUTPUT + PIECE);
            match whole {
                Ok(true) => return (Ok(unpacker.text()), turn),
                Ok(false) => {}
                Err(closed) => return (Err(closed), turn),
            }
        }
    }

    /// Bytes that no coding can compress.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn both_codings_open() {
        let text = br#"{"model":"gpt-5","input":"hi hi hi hi hi"}"#;
        for (coding, pack) in CODINGS {
            assert_eq!(open(coding, &pack(text), 100).0.unwrap(), &text[..]);
            assert_eq!(open(coding, &pack(b""), 100).0.unwrap(), &b""[..]);
        }
    }

    #[test]
    fn large_bodies_open_in_many_turns() {
        let text = [noise(700_000), vec![b'x'; 3_000_000], noise(700_000)].concat();
        for (coding, pack) in CODINGS {
            let (opened, turns) = open(coding, &pack(&text), text.len());
            assert!(opened.unwrap() == text, "{coding:?}");
            assert!(turns > 5, "{coding:?}: {turns}");
            let (opened, _) = open(coding, &pack(&text), text.len() - 1);
            assert_eq!(opened, Err(UnpackError::TooLarge), "{coding:?}");
        }
    }

    #[test]
    fn what_unpacks_to_nothing_is_taken_in_by_turns_too() {
        // Empty members, 20 bytes each.
        let nothing = gzip(b"").repeat(50_000);
        let (opened, turns) = open(Coding::Gzip, &nothing, 100);
        assert_eq!(opened.unwrap(), &b""[..]);
        assert!(turns >= nothing.len() / INPUT, "{turns}");
        // Empty blocks, 3 bytes each, none of them the last.
        let nothing = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58][..], &[0, 0, 0].repeat(10_000)].concat();
        let (opened, turns) = open(Coding::Zstd, &nothing, 100);
        assert_eq!(opened, Err(UnpackError::Broken));
        assert!(turns >= 10_000 / BLOCKS, "{turns}");
    }

    #[test]
    fn a_bomb_is_given_up_early() {
        let bomb = vec![b' '; 50 << 20];
        for (coding, pack) in CODINGS {
            let packed = pack(&bomb);
            assert!(packed.len() < 1 << 20, "{coding:?}: {}", packed.len());
            let (opened, _) = open(coding, &packed, 1 << 20);
            assert_eq!(opened, Err(UnpackError::TooLarge), "{coding:?}");
            let (opened, _) = open(coding, &packed, 100 << 20);
            assert_eq!(opened, Err(UnpackError::TooDense), "{coding:?}");
        }
        // The smallest and densest body that does not count as a bomb.
        let text = vec![b' '; ALWAYS];
        for (coding, pack) in CODINGS {
            assert_eq!(open(coding, &pack(&text), 100 << 20).0.unwrap(), text);
        }
    }

    #[test]
    fn a_frame_that_announces_too_much_is_not_begun() {
        // A single segment of 1 GiB, and nothing behind the head.
        let head = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40];
        assert_eq!(open(Coding::Zstd, &head, 64 << 20), (Err(UnpackError::Window), 0));
    }

    #[test]
    fn what_is_cut_or_foreign_is_refused() {
        let text = noise(100_000);
        for (coding, pack) in CODINGS {
            let packed = pack(&text);
            for cut in [packed.len() - 3, packed.len() / 2, 5, 0] {
                assert_eq!(
                    open(coding, &packed[..cut], 200_000).0,
                    Err(UnpackError::Broken),
                    "{coding:?} {cut}"
                );
            }
            assert_eq!(
                open(coding, b"{}", 10_000).0,
                Err(UnpackError::Broken),
                "{coding:?}"
            );
        }
        assert_eq!(
            open(Coding::Zstd, &[zstd(b"{}"), zstd(b"x")].concat(), 100).0,
            Err(UnpackError::Broken)
        );
    }

    #[test]
    fn codings_are_named_in_many_ways() {
        let named = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, value.parse().unwrap());
            }
            Coding::of(&headers)
        };
        for none in [
            &[][..],
            &[""],
            &["identity"],
            &["Identity"],
            &[" IDENTITY ,, identity"],
            &["", "identity"],
        ] {
            assert_eq!(named(none), Ok(None), "{none:?}");
        }
        for one in [
            &["gzip"][..],
            &["x-gzip"],
            &[" GZip"],
            &["gzip, identity"],
            &["identity", "gzip"],
        ] {
            assert_eq!(named(one), Ok(Some(Coding::Gzip)), "{one:?}");
        }
        assert_eq!(named(&["zstd,"]), Ok(Some(Coding::Zstd)));
        for other in [
            &["br"][..],
            &["gzip, zstd"],
            &["gzip", "gzip"],
            &["gzip;q=1"],
            &["identity, br"],
        ] {
            assert_eq!(named(other), Err(UnpackError::Unknown), "{other:?}");
        }
    }
}
