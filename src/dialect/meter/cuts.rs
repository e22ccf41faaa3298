//! For tests of all protocols: a stream whose connection closes at any byte of it.

use super::{LastEvent, Meter};

/// Asserts for every prefix of this stream that it counts as complete exactly if its last event is complete and
/// it contains `ends`.
pub(crate) fn each(stream: &str, ends: &str, meter: impl Fn() -> Meter) {
    for end in 0..=stream.len() {
        let Some(sent) = stream.get(..end) else { continue };
        for pieces in [1, 3] {
            let mut meter = meter();
            for piece in sent.as_bytes().chunks(sent.len().div_ceil(pieces).max(1)) {
                meter.feed(piece);
            }
            let is_whole = meter.close() == LastEvent::Whole;
            let well = is_whole && meter.ended();
            let expected = is_between_events(sent) && sent.contains(ends);
            assert_eq!(well, expected, "{:?}", sent.get(sent.len().saturating_sub(60)..));
        }
    }
}

fn is_between_events(sent: &str) -> bool {
    let text = sent.replace("\r\n", "\n");
    let last = text.rsplit("\n\n").next().unwrap_or_default();
    let data = last.lines().find_map(|line| line.strip_prefix("data:"));
    let is_json = |data: &str| serde_json::from_str::<serde_json::Value>(data).is_ok();
    match data {
        Some(data) => data.trim() == "[DONE]" || is_json(data),
        None => last.trim().is_empty() || last.trim_start().starts_with(':'),
    }
}
