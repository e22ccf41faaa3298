//! Classifies lines of an Anthropic event stream by their first bytes.

/// Maximum number of bytes used to classify a line; if they are not enough, the `event:` line before it decides.
///
/// A block with search results and a failed search differ within the first 190 bytes.
pub(super) const HEAD_BYTES: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unknown,
    MessageStart,
    MessageDelta,
    MessageStop,
    ContentDelta,
    ContentStart,
    /// A [`Self::ContentStart`] with the results of a web search.
    SearchResult,
    Error,
    /// An event without usage.
    Idle,
}

/// The classification of a line by its first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// More bytes are needed.
    Wait,
    Skip,
    /// An `event:` line.
    Event(Kind),
    /// Data whose payload begins at this offset.
    Data {
        kind: Kind,
        payload: usize,
        envelope: u64,
    },
}

/// The result of examining first bytes: found, or cut too early.
enum Peek<T> {
    Cut,
    Found(T),
}

impl Kind {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"content_block_delta" => Self::ContentDelta,
            b"message_start" => Self::MessageStart,
            b"message_delta" => Self::MessageDelta,
            b"message_stop" => Self::MessageStop,
            b"error" => Self::Error,
            b"content_block_start" => Self::ContentStart,
            b"content_block_stop" | b"ping" => Self::Idle,
            _ => Self::Unknown,
        }
    }
}

/// Assumed size of a delta's line without its content, if it cannot be measured.
pub(super) const ENVELOPE: u64 = 90;

/// `all`: no more bytes of the line will come. `event`: the kind from the `event:` line.
#[inline]
pub(super) fn classify(line: &[u8], all: bool, event: Kind) -> Verdict {
    if let Some(value) = line.strip_prefix(b"data:") {
        let space = usize::from(value.first() == Some(&b' '));
        let payload = value.get(space..).unwrap_or_default();
        let offset = line.len() - payload.len();
        let data = |kind, envelope| Verdict::Data {
            kind,
            payload: offset,
            envelope,
        };
        return match payload_kind(payload) {
            Peek::Found(Some((Kind::ContentDelta, after))) => match delta_envelope(after) {
                Peek::Found(rest) => data(Kind::ContentDelta, (payload.len() - after.len()) as u64 + rest),
                Peek::Cut if all => data(Kind::ContentDelta, ENVELOPE),
                Peek::Cut => Verdict::Wait,
            },
            Peek::Found(Some((Kind::ContentStart, _))) | Peek::Cut if !all => Verdict::Wait,
            Peek::Found(Some((Kind::ContentStart, after))) if is_search_result(after) => {
                data(Kind::SearchResult, 0)
            }
            // Unknown types have no usage, unless the event is named an error.
            Peek::Found(Some((Kind::Unknown, _))) if event != Kind::Error => data(Kind::Idle, 0),
            Peek::Found(Some((kind, _))) => data(kind, 0),
            // The type is not the first key. If the event's name is a delta or a ping, the data is not parsed;
            // its length is counted minus a typical envelope.
            Peek::Found(None) | Peek::Cut => data(event, ENVELOPE),
        };
    }
    if let Some(value) = line.strip_prefix(b"event:") {
        return if all {
            Verdict::Event(Kind::of(value.trim_ascii()))
        } else {
            Verdict::Wait
        };
    }
    if !all && (b"data:".starts_with(line) || b"event:".starts_with(line)) {
        return Verdict::Wait;
    }
    Verdict::Skip
}

/// Whether a block begins with the results of a search and not with its failure. `after`: the bytes after the
/// event's type so far.
fn is_search_result(after: &[u8]) -> bool {
    let Some(at) = memchr::memmem::find(after, br#""web_search_tool_result""#) else {
        return false;
    };
    let key = after.get(..at).unwrap_or_default().trim_ascii_end();
    let key = key.strip_suffix(b":").unwrap_or_default().trim_ascii_end();
    key.ends_with(br#""type""#) && memchr::memmem::find(after, br#""web_search_tool_result_error""#).is_none()
}

/// The event's `type`, if it is the first key of an object, and the bytes after it.
#[inline]
fn payload_kind(payload: &[u8]) -> Peek<Option<(Kind, &[u8])>> {
    // Anthropic's exact format; the general code below gives the same result.
    if let Some(after) = payload.strip_prefix(br#"{"type":"content_block_delta""#) {
        return Peek::Found(Some((Kind::ContentDelta, after)));
    }
    let mut rest = payload;
    for token in [&b"{"[..], b"\"type\"", b":", b"\""] {
        rest = rest.trim_ascii_start();
        match rest.strip_prefix(token) {
            Some(after) => rest = after,
            None if token.starts_with(rest) => return Peek::Cut,
            None => return Peek::Found(None),
        }
    }
    match memchr::memchr(b'"', rest) {
        Some(end) => {
            let (name, after) = rest.split_at_checked(end).unwrap_or_default();
            Peek::Found(Some((Kind::of(name), after.get(1..).unwrap_or_default())))
        }
        None => Peek::Cut,
    }
}

/// The number of envelope bytes in a delta's line after the event's type: everything before the text, and the
/// `"}}` that closes it. A signature does not count as output and is all envelope.
#[inline]
fn delta_envelope(after: &[u8]) -> Peek<u64> {
    let Some(rest) = after.strip_prefix(br#","index":"#) else {
        return if br#","index":"#.starts_with(after) {
            Peek::Cut
        } else {
            Peek::Found(ENVELOPE)
        };
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = rest.get(digits..).unwrap_or_default();
    let Some(rest) = rest.strip_prefix(br#","delta":{"type":""#) else {
        return if br#","delta":{"type":""#.starts_with(rest) {
            Peek::Cut
        } else {
            Peek::Found(ENVELOPE)
        };
    };
    for (name, key) in [
        (&b"text_delta\""[..], Some(r#","text":""#)),
        (b"input_json_delta\"", Some(r#","partial_json":""#)),
        (b"thinking_delta\"", Some(r#","thinking":""#)),
        (b"signature_delta\"", None),
    ] {
        if let Some(rest) = rest.strip_prefix(name) {
            return Peek::Found(match key {
                Some(key) => (after.len() - rest.len() + key.len() + CLOSING.len()) as u64,
                None => u64::MAX >> 1,
            });
        }
        if name.starts_with(rest) {
            return Peek::Cut;
        }
    }
    Peek::Found(ENVELOPE)
}

/// The closing of a delta's line after its content.
const CLOSING: &str = r#""}}"#;
