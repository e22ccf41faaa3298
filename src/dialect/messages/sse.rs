//! Reads usage from an Anthropic event stream as its bytes pass.
//!
//! The network may cut lines anywhere, even inside a character. Almost all lines are text deltas, which are
//! recognised by their first bytes and skipped without being held or parsed. Only the few lines with usage or an
//! error are captured (up to [`CAPTURE_BYTES`]) and parsed as JSON.
//!
//! Source: Anthropic's page "Streaming messages"; the API pads an event's data with spaces before its last brace
//! (`tests/fixtures/anthropic/text.sse`).

mod line;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use self::line::{ENVELOPE, HEAD_BYTES, Kind, Verdict, classify};

use super::usage::Tally;
use crate::dialect::meter::{LastEvent, Measurement, ProviderError, bounded, guess};
use crate::dialect::wire::lines::Splitter;
use crate::model::usage::Quality;

/// Maximum size of a captured line; longer ones are ignored. Real ones have about a thousand bytes.
pub const CAPTURE_BYTES: usize = 1 << 20;

/// Capacity kept for the next capture.
const KEPT_BYTES: usize = 8 << 10;

#[derive(Debug)]
pub struct SseTap {
    line: Line,
    /// First bytes of a line cut before it could be classified.
    head: [u8; HEAD_BYTES],
    head_len: usize,
    splitter: Splitter,
    /// The last line was empty, or there was none yet.
    between: bool,
    /// The kind named by the current event's `event:` line.
    event: Kind,
    /// Captured data that is not parsed yet: an incomplete line, or JSON over several lines.
    capture: Vec<u8>,
    /// The event's data was too long to capture.
    gave_up: bool,
    /// The current event's data is not known to be complete.
    unfinished: bool,
    /// The current line is data.
    is_data: bool,
    seen: StreamFacts,
}

/// The facts read from the stream so far.
#[derive(Debug, Default)]
struct StreamFacts {
    began: bool,
    started: bool,
    stopped: bool,
    /// Usage came with a stop reason, so it is final.
    closed: bool,
    /// Usage came after the start.
    updated: bool,
    tally: Tally,
    model: Option<String>,
    message_id: Option<String>,
    stop_reason: Option<String>,
    error: Option<ProviderError>,
    /// Bytes of generated content in deltas.
    content: u64,
    /// Number of web search results.
    searches: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Not classified yet.
    Start,
    Skip,
    /// `first`: the first data line of its event.
    Capture {
        first: bool,
    },
    /// A delta whose envelope has this many bytes left.
    Delta {
        envelope: u64,
    },
}

impl Default for SseTap {
    fn default() -> Self {
        Self {
            line: Line::Start,
            head: [0; HEAD_BYTES],
            head_len: 0,
            splitter: Splitter::default(),
            between: true,
            event: Kind::Unknown,
            capture: Vec::new(),
            gave_up: false,
            unfinished: false,
            is_data: false,
            seen: StreamFacts::default(),
        }
    }
}

impl SseTap {
    /// The next bytes of the stream.
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while let Some(part) = self.splitter.next(&mut rest) {
            self.part(part.bytes, part.is_last);
        }
    }

    /// Whether the provider announced the end: by its last event, a stop reason (some servers send nothing after
    /// it), or an error.
    pub fn ended(&self) -> bool {
        self.seen.stopped || self.seen.stop_reason.is_some() || self.seen.error.is_some()
    }

    pub fn between_events(&self) -> bool {
        self.between && self.line == Line::Start && self.head_len == 0
    }

    /// See [`Meter::close`](crate::dialect::meter::Meter::close).
    pub fn close(&mut self) -> LastEvent {
        let held = self.head.get(..self.head_len).unwrap_or_default();
        if !held.is_empty() {
            // A line too short to be classified: a comment or an unknown field.
            let data = held.strip_prefix(b"data:");
            let is_whole = held.starts_with(b":") && !self.unfinished || data.is_some_and(is_json);
            return if is_whole {
                LastEvent::Whole
            } else {
                LastEvent::Cut
            };
        }
        if !self.unfinished {
            return LastEvent::Whole;
        }
        if self.capture.is_empty() || !is_json(&self.capture) {
            return LastEvent::Cut;
        }
        self.seen.read(&self.capture, self.event);
        self.capture.clear();
        self.line = Line::Skip;
        self.unfinished = false;
        LastEvent::Whole
    }

    /// See [`crate::dialect::meter`] for the quality.
    pub fn finish(mut self, complete: bool) -> Measurement {
        // A complete last line counts even without its line end.
        if self.line != Line::Start || self.head_len > 0 {
            self.part(&[], true);
        }
        self.dispatch();
        self.seen.measure(complete)
    }

    /// Takes bytes of one line; `ends`: they are its last.
    #[inline]
    fn part(&mut self, part: &[u8], ends: bool) {
        match self.line {
            Line::Start => self.begin(part, ends),
            Line::Skip => {}
            Line::Capture { .. } => self.keep(part),
            Line::Delta { envelope } => self.line = self.seen.delta(part.len() as u64, envelope),
        }
        if ends {
            // JSON in one line is complete now, before the event's closing line. JSON over several lines is
            // parsed once at the event's end, because trying at each line would take quadratic time.
            if self.line == (Line::Capture { first: true }) && self.seen.read(&self.capture, self.event) {
                self.capture.clear();
                self.line = Line::Skip;
            }
            // Data that is not captured counts as complete with its line.
            if self.is_data && (self.gave_up || !matches!(self.line, Line::Capture { .. })) {
                self.unfinished = false;
            }
            self.line = Line::Start;
        }
    }

    /// Classifies a line by its first bytes, including those seen earlier.
    #[inline]
    fn begin(&mut self, part: &[u8], ends: bool) {
        if self.head_len == 0 {
            // Usually the whole line is available. Only as much is examined as would be held of a cut line, so
            // that cuts make no difference.
            let head = part.get(..HEAD_BYTES).unwrap_or(part);
            match classify(head, ends || head.len() == HEAD_BYTES, self.event) {
                Verdict::Wait => self.hold(part),
                verdict => self.enter(&verdict, part, ends),
            }
            return;
        }
        let free = HEAD_BYTES - self.head_len;
        let (first, rest) = part.split_at_checked(free).unwrap_or((part, &[]));
        self.hold(first);
        let head = self.head;
        let held = head.get(..self.head_len).unwrap_or_default();
        match classify(
            held,
            (ends && rest.is_empty()) || held.len() >= HEAD_BYTES,
            self.event,
        ) {
            Verdict::Wait => {}
            verdict => {
                self.head_len = 0;
                self.enter(&verdict, held, ends && rest.is_empty());
                if !rest.is_empty() {
                    // The line is classified now, so this recurses only once.
                    self.part(rest, false);
                }
            }
        }
    }

    fn hold(&mut self, part: &[u8]) {
        if let Some(free) = self.head.get_mut(self.head_len..self.head_len + part.len()) {
            free.copy_from_slice(part);
            self.head_len += part.len();
        }
    }

    /// Acts on a line's classification; `line`: all its bytes so far.
    #[inline]
    fn enter(&mut self, verdict: &Verdict, line: &[u8], ends: bool) {
        if line.is_empty() {
            self.dispatch();
            return;
        }
        self.between = false;
        self.line = Line::Skip;
        self.is_data = false;
        match *verdict {
            Verdict::Wait | Verdict::Skip => {}
            Verdict::Event(kind) => {
                self.event = kind;
                self.unfinished = true;
            }
            Verdict::Data {
                kind,
                payload,
                envelope,
            } => {
                self.seen.began = true;
                self.is_data = true;
                self.unfinished = true;
                let payload = line.get(payload..).unwrap_or_default();
                match kind {
                    _ if self.gave_up => {}
                    _ if !self.capture.is_empty() => {
                        self.keep(b"\n");
                        self.keep(payload);
                        self.line = Line::Capture { first: false };
                    }
                    Kind::Idle | Kind::ContentStart => {}
                    Kind::SearchResult => self.seen.searches += 1,
                    Kind::ContentDelta => self.line = self.seen.delta(payload.len() as u64, envelope),
                    // Complete: parsed in place.
                    _ if ends && payload.len() <= CAPTURE_BYTES && self.seen.read(payload, self.event) => {}
                    _ => {
                        self.keep(payload);
                        // A complete line has been tried already.
                        self.line = Line::Capture { first: !ends };
                    }
                }
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        if self.gave_up {
            return;
        }
        if self.capture.len() + part.len() > CAPTURE_BYTES {
            self.gave_up = true;
            self.capture = Vec::new();
            return;
        }
        self.capture.extend_from_slice(part);
    }

    /// Ends the event at an empty line.
    fn dispatch(&mut self) {
        self.between = true;
        self.gave_up = false;
        self.unfinished = false;
        if !self.capture.is_empty() {
            if !self.seen.read(&self.capture, self.event) && self.event == Kind::Error {
                // Not JSON, but its event is named an error.
                let text = String::from_utf8_lossy(self.capture.get(..4_000).unwrap_or(&self.capture));
                self.seen
                    .error
                    .get_or_insert_with(|| ProviderError::new("", &text));
            }
            self.capture.clear();
            self.capture.shrink_to(KEPT_BYTES);
        }
        self.event = Kind::Unknown;
    }
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

impl StreamFacts {
    /// Counts a delta's bytes minus the rest of its envelope.
    #[inline]
    fn delta(&mut self, bytes: u64, envelope: u64) -> Line {
        self.content = self.content.saturating_add(bytes.saturating_sub(envelope));
        Line::Delta {
            envelope: envelope.saturating_sub(bytes),
        }
    }

    /// Parses one event's data; false if it is not a JSON object. `event_line`: the name from the event's
    /// `event:` line.
    fn read(&mut self, data: &[u8], event_line: Kind) -> bool {
        #[derive(Deserialize)]
        struct Event<'a> {
            #[serde(default, rename = "type")]
            kind: Value,
            #[serde(default, borrow)]
            message: Option<&'a RawValue>,
            #[serde(default)]
            usage: Value,
            #[serde(default, borrow)]
            delta: Option<&'a RawValue>,
            #[serde(default)]
            error: Value,
        }
        #[derive(Deserialize)]
        struct Message {
            #[serde(default)]
            id: Value,
            #[serde(default)]
            model: Value,
            #[serde(default)]
            usage: Value,
            #[serde(default)]
            container: Value,
        }
        #[derive(Deserialize)]
        struct Delta {
            #[serde(default)]
            stop_reason: Value,
            #[serde(default)]
            container: Value,
        }
        let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else {
            return false;
        };
        match Kind::of(event.kind.as_str().unwrap_or_default().as_bytes()) {
            Kind::MessageStart => {
                self.started = true;
                let message = event
                    .message
                    .and_then(|raw| serde_json::from_slice::<Message>(raw.get().as_bytes()).ok());
                if let Some(message) = message {
                    self.model = message.model.as_str().map(|model| bounded(model, 200));
                    self.message_id = message.id.as_str().map(|id| bounded(id, 200));
                    self.tally.take(&message.usage);
                    if message.container.is_object() {
                        self.tally.ran_code();
                    }
                }
            }
            Kind::MessageDelta => {
                let delta = event
                    .delta
                    .and_then(|raw| serde_json::from_slice::<Delta>(raw.get().as_bytes()).ok());
                if let Some(reason) = delta.as_ref().and_then(|delta| delta.stop_reason.as_str()) {
                    self.stop_reason = Some(bounded(reason, 64));
                }
                if delta.is_some_and(|delta| delta.container.is_object()) {
                    self.tally.ran_code();
                }
                self.tally.take(&event.usage);
                if event
                    .usage
                    .get("output_tokens")
                    .and_then(crate::dialect::meter::count::count)
                    .is_some()
                {
                    self.updated = true;
                    self.closed = self.stop_reason.is_some();
                }
            }
            Kind::MessageStop => self.stopped = true,
            // Its first key was not the type, so it was captured.
            Kind::ContentDelta => {
                self.delta(data.len() as u64, ENVELOPE);
            }
            Kind::Error | Kind::Unknown => {
                self.stopped |= event_line == Kind::MessageStop;
                let error = ProviderError::read(&event.error).or_else(|| {
                    // The error itself, without the usual wrapper.
                    let bare = || {
                        serde_json::from_slice(data)
                            .ok()
                            .and_then(|bare| ProviderError::read(&bare))
                    };
                    (event_line == Kind::Error).then(bare).flatten()
                });
                if let Some(error) = error {
                    self.error.get_or_insert(error);
                }
            }
            Kind::Idle | Kind::ContentStart | Kind::SearchResult => {}
        }
        true
    }

    fn measure(mut self, complete: bool) -> Measurement {
        self.tally.shows_searches(self.searches);
        let mut tokens = self.tally.tokens();
        let refused = self.error.is_some() && !self.started;
        let whole = self.error.is_none() && (self.stopped || (complete && self.stop_reason.is_some()));
        // Servers that send content but no output count mean "not counted".
        let hollow = tokens.output == 0 && self.content > 0;
        let quality = if !hollow && (self.closed || refused || (whole && self.updated)) {
            Quality::Exact
        } else if whole || !self.began && complete {
            Quality::Estimated
        } else {
            Quality::Partial
        };
        if quality != Quality::Exact {
            tokens.output = tokens.output.max(guess(self.content));
        }
        let quality = match quality {
            Quality::Exact if self.tally.doubtful() => Quality::Estimated,
            quality => quality,
        };
        Measurement {
            reasoning: None,
            model: self.model,
            message_id: self.message_id,
            tokens,
            terms: self.tally.terms().clone(),
            quality,
            stop_reason: self.stop_reason,
            error: self.error,
            counted: None,
        }
    }
}

#[cfg(test)]
mod tests;
