//! The readers of answers: whatever bytes come, however the network cuts them, a meter reads the same, and Code
//! Assist's envelope is put on and taken off the same.
//!
//! The first byte says which protocol and form it is, the second how the rest is cut.

use crs_edge::tested::{Endpoint, Measurement, Meter, Surface, envelope, meter};

const PROTOCOLS: [Endpoint; 5] = [
    Endpoint::Messages,
    Endpoint::Responses,
    Endpoint::ChatCompletions,
    Endpoint::Generate(Surface::V1Beta),
    Endpoint::Generate(Surface::Internal),
];

/// See the module.
pub fn check(data: &[u8]) {
    let [protocol, cut, answer @ ..] = data else {
        return;
    };
    let endpoint = PROTOCOLS[usize::from(*protocol) % PROTOCOLS.len()];
    let streams = *protocol < 128;
    let reader = || meter(endpoint, streams).expect("a meter");

    let whole = read(reader(), std::iter::once(answer));
    assert_eq!(read(reader(), answer.chunks(1)), whole, "the cuts are seen");
    let (head, tail) = answer.split_at(answer.len() * usize::from(*cut) / 256);
    assert_eq!(read(reader(), [head, tail].into_iter()), whole, "a cut is seen");
    if let Some(error) = &whole.1.error {
        assert!(error.kind.len() <= 100 && error.message.len() <= 2_000);
    }
    assert!(whole.1.model.as_ref().is_none_or(|model| model.len() <= 200));

    // An event may be written where the meter says so: it changes nothing of what is read then.
    if streams && whole.0 {
        let mut with_pings = reader();
        for byte in answer.chunks(1) {
            if with_pings.between_events() {
                with_pings.feed(b": ping\n\n");
            }
            with_pings.feed(byte);
        }
        with_pings.close();
        let ended = with_pings.ended();
        assert_eq!((ended, with_pings.finish(ended)), whole, "a comment is seen");
    }

    for wrap in [true, false] {
        let once = enveloped(wrap, streams, std::iter::once(answer));
        let bytes = enveloped(wrap, streams, answer.chunks(1));
        assert_eq!(once, bytes, "the envelope sees the cuts");
    }
}

fn read<'a>(mut meter: Meter, pieces: impl Iterator<Item = &'a [u8]>) -> (bool, Measurement) {
    for piece in pieces {
        meter.feed(piece);
    }
    meter.close();
    let ended = meter.ended();
    (ended, meter.finish(ended))
}

/// The answer in the other form, or nothing if it cannot be had.
fn enveloped<'a>(wrap: bool, streams: bool, pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut rewriter = envelope(wrap, streams);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&rewriter.feed(piece).ok()?);
    }
    out.extend_from_slice(&rewriter.finish());
    Some(out)
}
