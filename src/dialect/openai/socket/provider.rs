//! A provider's WebSocket: the body of a turn becomes its message, and its frames become the events of an HTTP answer.
//!
//! A provider that knows the conversation gets the client's message with the new items only. Any other gets the whole
//! body, as over HTTP.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::carried::{join, member};
use crate::dialect::body::{Field, scan};
use crate::dialect::wire::events::named;
use crate::dialect::wire::object::{List, Object};

/// How each turn's body begins. The member is HTTP's, messages are without it.
pub(super) const OPENING: &[u8] = b"{\"stream\":true";

/// How each message begins.
const CREATE: &[u8] = b"{\"type\":\"response.create\"";

/// Most headers that are read of an error.
const MOST_HEADERS: usize = 64;

/// A turn as the response that it continues, and the items that are new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Continues {
    /// That response's id.
    pub(crate) previous: String,
    /// The turn's body, with the whole input.
    pub(crate) body: Bytes,
    /// Where the items of the input are in it.
    pub(crate) input: Range<usize>,
    /// Where the new ones begin.
    pub(crate) new: usize,
}

/// The message with the new items only, made of the body that is to be sent. `None` if that has other items than the
/// turn's: then the provider's conversation is another one.
pub(crate) fn only_new(sent: &Bytes, turn: &Continues) -> Option<Bytes> {
    let mut message = CREATE.to_vec();
    let id = Value::from(turn.previous.as_str()).to_string();
    member(&mut message, "previous_response_id", id.as_bytes());
    let is_untouched = sent.as_ptr() == turn.body.as_ptr() && sent.len() == turn.body.len();
    if is_untouched {
        message.extend_from_slice(sent.get(OPENING.len()..turn.input.start)?);
        message.extend_from_slice(sent.get(turn.new..)?);
        return Some(message.into());
    }
    // The account has edited it, for example the model's name.
    let before = count(&turn.body, turn.input.start..turn.new)?;
    let all = count(&turn.body, turn.input.clone())?;
    let object = Object::parse(sent).ok()?;
    let items: List<'_> = object.get("input")?;
    if items.len() != all {
        return None;
    }
    for (name, value) in object.members() {
        if name != "stream" && name != "input" {
            member(&mut message, name, value.get().as_bytes());
        }
    }
    member(&mut message, "input", b"[");
    for item in items.into_iter().skip(before) {
        join(&mut message, item.get().as_bytes());
    }
    message.extend_from_slice(b"]}");
    Some(message.into())
}

/// How many items these are.
fn count(body: &[u8], items: Range<usize>) -> Option<usize> {
    let items = body.get(items)?.trim_ascii();
    let items = items.strip_suffix(b",").unwrap_or(items);
    let list = [b"[", items, b"]"].concat();
    let list: List<'_> = serde_json::from_slice(&list).ok()?;
    Some(list.len())
}

/// The message with a whole body; `None` if it is not a turn's.
pub(crate) fn whole(body: &[u8]) -> Option<Bytes> {
    let rest = body.strip_prefix(OPENING)?;
    let mut message = Vec::with_capacity(CREATE.len() + rest.len());
    message.extend_from_slice(CREATE);
    message.extend_from_slice(rest);
    Some(message.into())
}

/// A frame of a provider.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// `codex.rate_limits`.
    Limits,
    /// An error with a status.
    Error(Refused),
    Event {
        kind: String,
        end: Option<Ended>,
    },
}

/// How the provider's part of a turn ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The connection knows this response.
    With(String),
    /// It knows none.
    Failed,
}

/// An error as HTTP has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) code: Option<String>,
}

impl Refused {
    /// The connection does not know the response to continue.
    pub(crate) fn is_about_the_previous(&self) -> bool {
        self.code.as_deref() == Some("previous_response_not_found")
    }

    /// The connection takes no other turn.
    pub(crate) fn ends_the_connection(&self) -> bool {
        self.code.as_deref() == Some("websocket_connection_limit_reached")
    }
}

impl Frame {
    /// `None`: not an event of the protocol.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let fields = scan(text).ok()?;
        let kind = fields.text(Field::Type, text)?.into_owned();
        // It becomes a line of its own.
        if kind.contains(['\r', '\n']) {
            return None;
        }
        let end = match kind.as_str() {
            "codex.rate_limits" => return Some(Self::Limits),
            "error" => match refused(text) {
                Some(refused) => return Some(Self::Error(refused)),
                None => Some(Ended::Failed),
            },
            "response.failed" => Some(Ended::Failed),
            "response.completed" | "response.incomplete" => Some(ended(text)),
            _ => None,
        };
        Some(Self::Event { kind, end })
    }
}

fn ended(text: &[u8]) -> Ended {
    let response = Object::parse(text).ok();
    let response = response.and_then(|event| event.get::<Object<'_>>("response"));
    match response.and_then(|response| response.get("id")) {
        Some(id) => Ended::With(id),
        None => Ended::Failed,
    }
}

fn refused(text: &[u8]) -> Option<Refused> {
    let event = Object::parse(text).ok()?;
    let status: u16 = event.get("status").or_else(|| event.get("status_code"))?;
    let status = StatusCode::from_u16(status).ok();
    let status = status.filter(|status| status.is_client_error() || status.is_server_error())?;
    let mut headers = HeaderMap::new();
    let said: Option<Object<'_>> = event.get("headers");
    let said = said.iter().flat_map(Object::members).take(MOST_HEADERS);
    for (name, value) in said {
        let value = match serde_json::from_str(value.get()) {
            Ok(Value::String(text)) => text,
            Ok(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            _ => continue,
        };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    let error: Option<Object<'_>> = event.get("error");
    let code = error.as_ref().and_then(|error| error.get("code"));
    let body = match event.raw("error") {
        Some(error) => {
            let mut body = b"{".to_vec();
            member(&mut body, "error", error.get().as_bytes());
            body.push(b'}');
            body.into()
        }
        None => Bytes::copy_from_slice(text),
    };
    Some(Refused {
        status,
        headers,
        body,
        code,
    })
}

/// A frame as an event of an HTTP answer.
pub(crate) fn event(kind: &str, text: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(text.len() + kind.len() + 18);
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if text.iter().any(is_break) {
        // Between the tokens of JSON, and nowhere else.
        let line = text.iter().map(|byte| if is_break(byte) { b' ' } else { *byte });
        named(&mut event, kind, &line.collect::<Vec<_>>());
    } else {
        named(&mut event, kind, text);
    }
    event.into()
}

#[cfg(test)]
mod tests;
