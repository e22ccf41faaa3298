//! A client's message, and the body of its turn.

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::SocketError;
use super::carried::{Carried, Items, Previous, member};
use super::provider::{Continues, OPENING};
use crate::dialect::wire::object::Object;

/// What a client's message asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Turn(Turn),
    /// `generate: false`.
    WarmUp {
        turn: Turn,
        model: String,
    },
    /// It is a notice.
    Nothing,
}

/// One turn, as an HTTP call has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) body: Bytes,
    /// It names its conversation by `prompt_cache_key`.
    pub(crate) has_cache_key: bool,
    /// Where the items of the input are in the body, without their brackets.
    input: Range<usize>,
    /// The response that it continues, and where the new items begin; `None` if the body has the client's words only.
    continues: Option<(String, usize)>,
}

/// Why a message cannot be served.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unserved {
    /// It is wrong; the message for the client.
    Invalid(String),
    Socket(SocketError),
}

/// Members that do not belong into the body of a call: of the message, and of other transports.
const LEFT_OUT: [&str; 4] = ["type", "generate", "stream", "background"];

impl Turn {
    /// The input, and what the model added to it.
    pub(crate) fn items(&self, output: Vec<u8>) -> Items {
        let input = self
            .body
            .get(self.input.clone())
            .map(|found| self.body.slice_ref(found));
        Items::new(input.unwrap_or_default(), output)
    }

    /// How a provider that knows the conversation is asked.
    pub(crate) fn continues(&self) -> Option<Continues> {
        let (previous, new) = self.continues.as_ref()?;
        Some(Continues {
            previous: previous.clone(),
            body: self.body.clone(),
            input: self.input.clone(),
            new: *new,
        })
    }
}

/// Reads a message on a connection whose last response this is.
pub(crate) fn read(message: &[u8], carried: &Carried) -> Result<Asked, Unserved> {
    let object = Object::parse(message)
        .map_err(|error| Unserved::Invalid(format!("The message is not a JSON object: {error}")))?;
    let kind: Option<String> = object.get("type");
    match kind.as_deref() {
        Some("response.create") => {}
        Some("response.processed") => return Ok(Asked::Nothing),
        _ => {
            let why = "The message's type must be response.create on this WebSocket.";
            return Err(Unserved::Invalid(why.to_owned()));
        }
    }
    if object.raw("stream_id").is_some() {
        let why = "stream_id: this relay serves one conversation at a time on a connection. Open another connection for the other one.";
        return Err(Unserved::Invalid(why.to_owned()));
    }
    let turn = turn(&object, carried, message.len())?;
    if object.get::<bool>("generate") == Some(false) {
        let model = object.get("model").unwrap_or_default();
        return Ok(Asked::WarmUp { turn, model });
    }
    Ok(Asked::Turn(turn))
}

fn turn(object: &Object<'_>, carried: &Carried, length: usize) -> Result<Turn, Unserved> {
    let previous: Option<String> = object.get("previous_response_id");
    let stores = object.get::<bool>("store") != Some(false);
    let before = match previous.as_deref().map(|id| carried.previous(id)) {
        Some(Previous::Items(items)) => Some(items),
        Some(Previous::Dropped) => return Err(Unserved::Socket(SocketError::ConnectionLimit)),
        Some(Previous::Unknown) if !stores => {
            return Err(Unserved::Socket(SocketError::PreviousNotFound));
        }
        // The provider may know it.
        Some(Previous::Stored | Previous::Unknown) | None => None,
    };
    let mut body = Vec::with_capacity(length + before.map_or(0, Items::len) + 64);
    body.extend_from_slice(OPENING);
    for (name, value) in object.members() {
        let carried = name == "input" || before.is_some() && name == "previous_response_id";
        if !carried && !LEFT_OUT.contains(&name) {
            member(&mut body, name, value.get().as_bytes());
        }
    }
    let (mut input, mut from) = (0..0, 0);
    let new = object.raw("input");
    if new.is_some() || before.is_some() {
        member(&mut body, "input", b"[");
        let start = body.len();
        if let Some(before) = before {
            before.write(&mut body);
        }
        from = body.len();
        if let Some(new) = new {
            write_items(&mut body, new)?;
        }
        input = start..body.len();
        // Behind the comma.
        from += usize::from(body.get(from) == Some(&b','));
        body.push(b']');
    }
    body.push(b'}');
    Ok(Turn {
        body: body.into(),
        has_cache_key: object.raw("prompt_cache_key").is_some(),
        input,
        continues: previous.filter(|_| before.is_some()).map(|id| (id, from)),
    })
}

/// Appends the items of an input, which may be a text.
fn write_items(body: &mut Vec<u8>, input: &RawValue) -> Result<(), Unserved> {
    let text = input.get().trim();
    if let Some(items) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        super::carried::join(body, items.trim().as_bytes());
        return Ok(());
    }
    if text.starts_with('"') {
        let mut item = Vec::with_capacity(text.len() + 40);
        item.extend_from_slice(b"{\"type\":\"message\",\"role\":\"user\",\"content\":");
        item.extend_from_slice(text.as_bytes());
        item.push(b'}');
        super::carried::join(body, &item);
        return Ok(());
    }
    Err(Unserved::Invalid(
        "input: must be a string or an array of items".to_owned(),
    ))
}
