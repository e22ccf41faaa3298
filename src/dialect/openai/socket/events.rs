//! An answer's events as frames, and how a turn ends.
//!
//! Every turn ends with one of these: `response.completed`, `response.incomplete`, `response.failed`, or an `error`
//! that has a status. A stream's own `error` has none, and a stream may break off: both become `response.failed`.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::carried::{MOST, given_back, join, member};
use crate::dialect::body::{Field, scan};
use crate::dialect::wire::events::Lines;
use crate::dialect::wire::object::{List, Object};

/// Maximum size of a response's first state that is kept to report a failure with it, bytes.
const MOST_OF_STATE: usize = 64 << 10;

/// How a turn ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The response can be continued.
    Finished {
        id: String,
        /// The provider keeps it.
        stored: bool,
        /// The items that the model made; `None` if they are too large.
        output: Option<Vec<u8>>,
    },
    Failed,
}

/// Reads one answer.
#[derive(Debug, Default)]
pub(crate) struct Events {
    lines: Lines,
    turn: State,
}

#[derive(Debug, Default)]
struct State {
    /// The response as its first event showed it.
    first: Option<String>,
    output: Vec<u8>,
    too_large: bool,
    frames: u64,
    end: Option<End>,
}

impl Events {
    /// Takes the next bytes of the answer; returns frames. After the end there are none.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Vec<String> {
        let mut frames = Vec::new();
        let Self { lines, turn } = self;
        if lines.feed(chunk, |data| turn.event(data, &mut frames)).is_err() && turn.end.is_none() {
            let why = "An event of the answer was longer than the relay reads.";
            frames.push(turn.fail("event_too_long", why));
        }
        frames
    }

    /// Whether the turn has ended for the client.
    pub(crate) fn has_ended(&self) -> bool {
        self.turn.end.is_some()
    }

    /// The answer has ended, or broken off.
    pub(crate) fn finish(mut self) -> (Vec<String>, End) {
        let mut frames = Vec::new();
        let Self { lines, turn } = &mut self;
        lines.finish(|data| turn.event(data, &mut frames));
        if turn.end.is_none() {
            let why = "The answer broke off before it was complete.";
            frames.push(turn.fail("stream_broken", why));
        }
        (frames, self.turn.end.unwrap_or(End::Failed))
    }
}

impl State {
    fn event(&mut self, data: &[u8], frames: &mut Vec<String>) {
        if self.end.is_some() {
            return;
        }
        // Not an event: the end mark of other protocols.
        let Ok(fields) = scan(data) else { return };
        let Ok(text) = std::str::from_utf8(data) else {
            return;
        };
        let kind = fields.text(Field::Type, data);
        match kind.as_deref().unwrap_or_default() {
            "error" => {
                let frame = self.error(text);
                return frames.push(frame);
            }
            "response.created" => {
                self.first = part(text, "response").filter(|first| first.len() <= MOST_OF_STATE);
            }
            "response.output_item.done" => {
                if let Some(item) = part(text, "item") {
                    self.add(&given_back(&item));
                }
            }
            "response.completed" | "response.incomplete" => self.finished(text),
            "response.failed" => self.end = Some(End::Failed),
            _ => {}
        }
        self.frames += 1;
        frames.push(text.to_owned());
    }

    fn add(&mut self, item: &[u8]) {
        if self.output.len() + item.len() > MOST {
            self.too_large = true;
            self.output = Vec::new();
        }
        if !self.too_large {
            join(&mut self.output, item);
        }
    }

    fn finished(&mut self, text: &str) {
        let response = part(text, "response").unwrap_or_default();
        let response = Object::of(&response);
        let id = response.as_ref().and_then(|response| response.get("id"));
        let Some(id) = id else {
            self.end = Some(End::Failed);
            return;
        };
        let stored = response.as_ref().and_then(|response| response.get("store")) == Some(true);
        // ChatGPT leaves the output out here; others may leave out the events of the items.
        if self.output.is_empty() && !self.too_large {
            let output: Option<List<'_>> = response.as_ref().and_then(|response| response.get("output"));
            for item in output.unwrap_or_default() {
                self.add(&given_back(item.get()));
            }
        }
        let output = std::mem::take(&mut self.output);
        self.end = Some(End::Finished {
            id,
            stored,
            output: (!self.too_large).then_some(output),
        });
    }

    /// An `error` of the stream.
    fn error(&mut self, text: &str) -> String {
        let Some(event) = Object::of(text) else {
            return self.fail("server_error", "The answer failed.");
        };
        if event.get::<u16>("status").is_some() {
            self.end = Some(End::Failed);
            return text.to_owned();
        }
        let nested: Option<Object<'_>> = event.get("error");
        let of = |name: &str| {
            let nested = nested.as_ref().and_then(|error| error.get::<String>(name));
            nested.or_else(|| event.get::<String>(name))
        };
        // The relay's own errors have a `reason`. Their code would be `server_is_overloaded`, after which Codex gives up,
        // while it repeats a turn that failed for any other reason.
        let code = of("reason").or_else(|| of("code"));
        let code = code.unwrap_or_else(|| "server_error".to_owned());
        let message = of("message").unwrap_or_else(|| "The answer failed.".to_owned());
        self.fail(&code, &message)
    }

    /// The frame of a failed response.
    fn fail(&mut self, code: &str, message: &str) -> String {
        self.end = Some(End::Failed);
        let error = json!({ "code": code, "message": message });
        let first = self.first.take().unwrap_or_default();
        let mut response = b"{".to_vec();
        if let Some(first) = Object::of(&first) {
            let stays = |name: &str| !matches!(name, "status" | "error");
            for (name, value) in first.members().filter(|(name, _)| stays(name)) {
                member(&mut response, name, value.get().as_bytes());
            }
        } else {
            member(&mut response, "object", b"\"response\"");
            member(&mut response, "output", b"[]");
        }
        member(&mut response, "status", b"\"failed\"");
        member(&mut response, "error", error.to_string().as_bytes());
        response.push(b'}');
        let mut frame = b"{".to_vec();
        member(&mut frame, "type", b"\"response.failed\"");
        member(
            &mut frame,
            "sequence_number",
            Value::from(self.frames).to_string().as_bytes(),
        );
        member(&mut frame, "response", &response);
        frame.push(b'}');
        String::from_utf8_lossy(&frame).into_owned()
    }
}

/// The text of an event's member.
fn part(event: &str, name: &str) -> Option<String> {
    let event = Object::of(event)?;
    event.raw(name).map(RawValue::get).map(str::to_owned)
}
