//! Compressed request bodies, opened to be read. What goes to the provider is what came.

use std::io::Read;

use bytes::Bytes;
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// The window that every reader of zstd should have (RFC 8878 §3.1.1.1.2).
const LEAST_WINDOW: usize = 8 << 20;

/// Why a compressed body cannot be read. The text is fit for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    #[error("the body's content-encoding is none that this relay reads: send it as gzip, as zstd, or plain")]
    Unknown,
    #[error("the body is not what its content-encoding says, or it is cut")]
    Broken,
    /// However small it came.
    #[error("the body is larger than this relay accepts, once it is unpacked")]
    TooLarge,
}

/// The text in a body of this `content-encoding`, if that is at most `limit` bytes: a few bytes can unpack to
/// gigabytes, and are given up as soon as they pass the limit.
pub fn open(coding: &str, body: &[u8], limit: usize) -> Result<Bytes, Closed> {
    match coding.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => read(flate2::read::MultiGzDecoder::new(body), limit),
        "zstd" => {
            let mut rest = body;
            let mut decoder = FrameDecoder::new();
            // A frame that says itself that it is larger is not begun: so much of it would be held.
            decoder.set_max_window_size(limit.max(LEAST_WINDOW) as u64);
            let frame =
                StreamingDecoder::new_with_decoder(&mut rest, decoder).map_err(|error| match error {
                    FrameDecoderError::WindowSizeTooBig { .. } => Closed::TooLarge,
                    _ => Closed::Broken,
                })?;
            let text = read(frame, limit)?;
            // A second frame would be read by some providers and not by others.
            if rest.is_empty() {
                Ok(text)
            } else {
                Err(Closed::Broken)
            }
        }
        _ => Err(Closed::Unknown),
    }
}

fn read(from: impl Read, limit: usize) -> Result<Bytes, Closed> {
    let mut text = Vec::new();
    from.take(limit as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|_| Closed::Broken)?;
    if text.len() > limit {
        return Err(Closed::TooLarge);
    }
    Ok(text.into())
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

    #[test]
    fn both_codings_open() {
        let text = br#"{"model":"gpt-5","input":"hi hi hi hi hi"}"#;
        assert_eq!(open("gzip", &gzip(text), 100).unwrap(), &text[..]);
        assert_eq!(open(" GZip", &gzip(text), 100).unwrap(), &text[..]);
        assert_eq!(open("zstd", &zstd(text), 100).unwrap(), &text[..]);
    }

    #[test]
    fn a_bomb_is_given_up_at_the_limit() {
        let bomb = vec![b' '; 50 << 20];
        for (coding, packed) in [("gzip", gzip(&bomb)), ("zstd", zstd(&bomb))] {
            assert!(packed.len() < 1 << 20, "{coding}: {}", packed.len());
            assert_eq!(open(coding, &packed, 1 << 20), Err(Closed::TooLarge), "{coding}");
        }
    }

    #[test]
    fn a_frame_that_announces_too_much_is_not_begun() {
        // A single segment of 1 GiB, and nothing behind the head.
        let head = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40];
        assert_eq!(open("zstd", &head, 64 << 20), Err(Closed::TooLarge));
    }

    #[test]
    fn what_is_cut_or_foreign_is_refused() {
        let text = vec![b'a'; 5_000];
        for (coding, packed) in [("gzip", gzip(&text)), ("zstd", zstd(&text))] {
            let cut = &packed[..packed.len() - 3];
            assert_eq!(open(coding, cut, 10_000), Err(Closed::Broken), "{coding}");
            assert_eq!(open(coding, b"{}", 10_000), Err(Closed::Broken), "{coding}");
        }
        assert_eq!(
            open("zstd", &[zstd(b"{}"), zstd(b"x")].concat(), 100),
            Err(Closed::Broken)
        );
        for coding in ["br", "gzip, zstd", ""] {
            assert_eq!(open(coding, b"{}", 100), Err(Closed::Unknown), "{coding}");
        }
    }
}
