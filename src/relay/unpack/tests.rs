use std::io::Write as _;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::HeaderValue;
use http_body_util::{BodyExt as _, StreamBody};

use super::*;
use crate::relay::read_bounded;

const TEXT: &[u8] =
    b"event: a\ndata: {\"n\":1}\n\nevent: a\ndata: {\"n\":1}\n\nevent: a\ndata: {\"n\":1}\n\n";

/// [`TEXT`], as node's zlib packs it.
const BROTLI: &[u8] = &[
    27, 71, 0, 248, 29, 5, 238, 214, 69, 22, 79, 150, 249, 226, 116, 48, 214, 10, 58, 101, 110, 19, 36, 108,
    47, 69, 98, 250, 114, 16, 81, 140, 202, 15, 78, 184, 193, 37, 54, 179, 171, 89,
];

/// Two events, each flushed.
const BROTLI_FLUSHED: [&[u8]; 3] = [
    &[
        139, 11, 128, 101, 118, 101, 110, 116, 58, 32, 97, 10, 100, 97, 116, 97, 58, 32, 123, 34, 110, 34,
        58, 49, 125, 10, 10,
    ],
    &[
        184, 0, 128, 223, 72, 201, 186, 48, 47, 21, 196, 202, 74, 166, 47, 147, 96, 68, 148, 56, 161, 105,
        49, 0,
    ],
    &[3],
];

/// 64 MiB of blanks.
const BROTLI_BOMB: &[u8] = &[
    203, 255, 255, 63, 248, 37, 64, 226, 177, 64, 32, 247, 254, 143, 255, 255, 127, 240, 75, 0, 196, 97, 17,
    128, 238, 253, 31, 255, 255, 255, 224, 151, 0, 136, 195, 2, 0, 221, 251, 63, 254, 255, 255, 193, 47, 1,
    16, 135, 5, 0, 186, 247, 127, 252, 255, 255, 131, 95, 2, 32, 14, 11, 0, 116, 239, 255, 248, 255, 255, 7,
    191, 4, 64, 28, 22, 0, 232, 222, 255, 241, 255, 255, 15, 126, 9, 128, 56, 44, 0, 208, 189, 255, 203, 255,
    255, 63, 252, 18, 0, 113, 88, 0, 160, 123, 255, 7,
];

fn gzip(text: &[u8]) -> Vec<u8> {
    let head = flate2::GzBuilder::new()
        .filename("a name")
        .comment("words")
        .extra([1, 2, 3]);
    let mut encoder = head.write(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn bare(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

fn packed(text: &[u8]) -> [(&'static str, Vec<u8>); 4] {
    [
        ("gzip", gzip(text)),
        ("deflate", zlib(text)),
        ("deflate", bare(text)),
        ("zstd", zstd(text)),
    ]
}

/// The answer of this coding that comes in these chunks.
fn answer(coding: &str, chunks: Vec<Vec<u8>>) -> Response<Body> {
    let frames = chunks
        .into_iter()
        .map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
    let mut answer = Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_str(coding).unwrap());
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("7"));
    answer
}

/// The text, up to so many bytes.
fn read(coding: &str, chunks: Vec<Vec<u8>>, limit: usize) -> Result<Bytes, BodyError> {
    let opened = opened(answer(coding, chunks)).unwrap();
    assert!(!opened.headers().contains_key(header::CONTENT_ENCODING));
    assert!(!opened.headers().contains_key(header::CONTENT_LENGTH));
    read_bounded(opened.into_body(), limit)
        .now_or_never()
        .expect("no waiting")
}

#[test]
fn every_coding_opens_however_it_is_cut() {
    let mut all = packed(TEXT).to_vec();
    all.push(("br", BROTLI.to_vec()));
    all.push(("X-GZip", [gzip(&TEXT[..30]), gzip(&TEXT[30..])].concat()));
    for (coding, packed) in all {
        for size in [1, 2, 3, 7, packed.len()] {
            let chunks = packed.chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(read(coding, chunks, 1 << 20).unwrap(), TEXT, "{coding} by {size}");
        }
    }
}

#[test]
fn large_texts_open_too() {
    let text: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 27).to_le_bytes())
        .collect();
    for (coding, packed) in packed(&text) {
        let chunks = packed.chunks(50_000).map(<[u8]>::to_vec).collect();
        assert!(read(coding, chunks, 64 << 20).unwrap() == text, "{coding}");
    }
}

#[test]
fn several_codings_are_taken_off_in_turn() {
    let twice = gzip(&zstd(TEXT));
    assert_eq!(read("zstd, gzip", vec![twice], 1 << 20).unwrap(), TEXT);
    assert_eq!(read("identity, , gzip", vec![gzip(TEXT)], 1 << 20).unwrap(), TEXT);
    for (coding, why) in [("compress", "compress"), ("gzip, gzip, gzip, gzip", "too many")] {
        let refused = opened(answer(coding, vec![])).err().unwrap();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn what_is_cut_or_foreign_is_an_error() {
    for (coding, packed) in packed(TEXT) {
        let cut = packed[..packed.len() - 3].to_vec();
        assert!(read(coding, vec![cut], 1 << 20).is_err(), "{coding} cut");
        assert!(
            read(coding, vec![b"{\"error\":{\"type\":\"x\"}}".to_vec()], 1 << 20).is_err(),
            "{coding} foreign"
        );
        assert_eq!(
            read(coding, vec![], 1 << 20).unwrap(),
            "",
            "{coding} without a body"
        );
    }
    assert!(read("br", vec![BROTLI[..20].to_vec()], 1 << 20).is_err());
    assert!(read("br", vec![b"\xff\xff\xff\xff".to_vec()], 1 << 20).is_err());
    let mut damaged = gzip(TEXT);
    let end = damaged.len() - 6;
    damaged[end] ^= 1;
    assert!(read("gzip", vec![damaged], 1 << 20).is_err(), "its sum is wrong");
}

#[test]
fn a_bomb_fills_no_memory() {
    let blanks = vec![b' '; 64 << 20];
    let mut bombs = packed(&blanks).to_vec();
    bombs.push(("br", BROTLI_BOMB.to_vec()));
    let edge = unpacked_by(Box::new(zstd_by_block::Zstd::new()), vec![zstd(&blanks)]);
    let opened = bombs.into_iter().map(|(coding, bomb)| {
        assert!(bomb.len() < 1 << 20, "{coding}");
        (coding, opened(answer(coding, vec![bomb])).unwrap().into_body())
    });
    for (coding, body) in opened.chain([("zstd on the edge", edge)]) {
        let mut body = body.into_data_stream();
        let mut text = 0;
        while let Some(piece) = body.next().now_or_never().expect("no waiting") {
            let piece = piece.unwrap();
            assert!(piece.len() <= PIECE, "{coding}");
            text += piece.len();
            if text > 1 << 20 {
                break;
            }
        }
        assert!(text > 1 << 20, "{coding}");
    }
}

#[test]
fn a_stream_passes_as_it_is_flushed() {
    let mut deflated = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut chunks = Vec::new();
    for _ in 0..3 {
        deflated.write_all(&TEXT[..24]).unwrap();
        deflated.flush().unwrap();
        chunks.push(std::mem::take(deflated.get_mut()));
    }
    chunks.push(deflated.finish().unwrap());
    let brotli = BROTLI_FLUSHED.iter().map(|chunk| chunk.to_vec()).collect();
    for (coding, chunks, events) in [("gzip", chunks, 3), ("br", brotli, 2)] {
        let mut body = opened(answer(coding, chunks))
            .unwrap()
            .into_body()
            .into_data_stream();
        for _ in 0..events {
            let piece = body.next().now_or_never().expect("at once").unwrap().unwrap();
            assert!(
                piece.starts_with(b"event: ") && piece.ends_with(b"\n\n"),
                "{coding}: {piece:?}"
            );
        }
        assert!(body.next().now_or_never().unwrap().is_none(), "{coding}");
    }
}

/// Both decoders of zstd: this host's and the edge's.
fn zstd_decoders() -> [(&'static str, Box<dyn Decode>); 2] {
    [
        ("native", Box::new(super::zstd::Zstd::new())),
        ("edge", Box::new(zstd_by_block::Zstd::new())),
    ]
}

fn unpacked_by(decoder: Box<dyn Decode>, chunks: Vec<Vec<u8>>) -> Body {
    let frames = chunks
        .into_iter()
        .map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
    let inner = StreamBody::new(stream::iter(frames)).boxed_unsync();
    Unpacked::new(inner, decoder).boxed_unsync()
}

/// One frame with a sum, in which each of these texts is flushed; and its end.
fn zstd_flushed<'a>(texts: impl IntoIterator<Item = &'a [u8]>, window_log: u32) -> Vec<Vec<u8>> {
    let mut encoder = zstd_safe::CCtx::create();
    for setting in [
        zstd_safe::CParameter::WindowLog(window_log),
        zstd_safe::CParameter::ChecksumFlag(true),
    ] {
        encoder.set_parameter(setting).unwrap();
    }
    let mut chunks = Vec::new();
    for text in texts {
        let mut chunk = Vec::with_capacity(text.len() + 4_096);
        let mut target = zstd_safe::OutBuffer::around(&mut chunk);
        let mut source = zstd_safe::InBuffer::around(text);
        encoder.compress_stream(&mut target, &mut source).unwrap();
        assert_eq!(encoder.flush_stream(&mut target).unwrap(), 0);
        chunks.push(chunk);
    }
    let mut end = Vec::with_capacity(64);
    encoder
        .end_stream(&mut zstd_safe::OutBuffer::around(&mut end))
        .unwrap();
    chunks.push(end);
    chunks
}

#[test]
fn each_block_of_zstd_is_given_at_once() {
    let texts: Vec<String> = (0..4)
        .map(|number| format!("data: {{\"n\":{number}}}\n\n"))
        .collect();
    let chunks = zstd_flushed(texts.iter().map(String::as_bytes), 19);
    for (host, decoder) in zstd_decoders() {
        let mut body = unpacked_by(decoder, chunks.clone()).into_data_stream();
        for text in &texts {
            let piece = body.next().now_or_never().expect("at once").unwrap().unwrap();
            assert_eq!(piece, text.as_bytes(), "{host}");
        }
        assert!(body.next().now_or_never().unwrap().is_none(), "{host}");
    }
}

/// Blocks refer to what stands as far back as the window reaches, however much of the text was forgotten.
#[test]
fn long_texts_of_zstd_keep_their_window() {
    let line = |number: u32| {
        format!(
            "data: {{\"n\":{}}}\n\n",
            number.wrapping_mul(2_654_435_761) % 40_000
        )
    };
    let texts: Vec<Vec<u8>> = (0..60_u32)
        .map(|part| {
            (0..4_000)
                .map(|at| line((part / 2) * 3_000 + at))
                .collect::<String>()
                .into_bytes()
        })
        .collect();
    let whole = texts.concat();
    assert!(whole.len() > 4 << 20, "{}", whole.len());
    // With the smallest window a block is no longer than it.
    for window_log in [10, 17, 20] {
        let frame = zstd_flushed(texts.iter().map(Vec::as_slice), window_log);
        let twice: Vec<_> = [frame.clone(), frame].concat();
        for (host, decoder) in zstd_decoders() {
            let text = read_bounded(unpacked_by(decoder, twice.clone()), 64 << 20)
                .now_or_never()
                .unwrap();
            assert!(
                text.unwrap() == [whole.as_slice(), &whole].concat(),
                "{host} {window_log}"
            );
        }
    }
}

#[test]
fn the_edges_zstd_opens_the_same() {
    let packed = zstd(TEXT);
    let read = |chunks: Vec<Vec<u8>>| {
        let body = unpacked_by(Box::new(zstd_by_block::Zstd::new()), chunks);
        read_bounded(body, 1 << 20).now_or_never().unwrap()
    };
    for size in [1, 2, 3, 7, packed.len()] {
        let chunks = packed.chunks(size).map(<[u8]>::to_vec).collect();
        assert_eq!(read(chunks).unwrap(), TEXT, "by {size}");
    }
    for end in 1..packed.len() {
        assert!(read(vec![packed[..end].to_vec()]).is_err(), "cut at {end}");
    }
    assert!(read(vec![b"{\"error\":{\"type\":\"x\"}}".to_vec()]).is_err());
}

/// Whole texts of one coding, cut or damaged at every byte, are never taken for whole.
#[test]
fn no_cut_is_taken_for_a_whole_text() {
    let mut all = packed(TEXT).to_vec();
    all.push(("br", BROTLI.to_vec()));
    for (coding, packed) in all {
        for end in 1..packed.len() {
            let cut = packed.get(..end).unwrap().to_vec();
            assert!(read(coding, vec![cut], 1 << 20).is_err(), "{coding} cut at {end}");
        }
    }
}

#[test]
fn gzip_without_its_name_is_opened_however_it_is_cut() {
    let packed = gzip(TEXT);
    assert!(is_gzip(&packed) && !is_gzip(TEXT) && !is_gzip(b"") && !is_gzip(b"{"));
    for at in 1..packed.len() {
        let (first, rest) = packed.split_at(at);
        let frames = [Ok(Frame::data(Bytes::copy_from_slice(rest)))];
        let mut body = StreamBody::new(stream::iter(frames)).boxed_unsync();
        open_gzip(Bytes::copy_from_slice(first), &mut body);
        let text = read_bounded(body, 1 << 20).now_or_never().unwrap();
        assert_eq!(text.unwrap(), TEXT, "{at}");
    }
}
