//! Parts of turns of the Messages API, for every source protocol.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::dialect::body::mended;
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::json::{Json, Raw};
use crate::dialect::wire::text::Text;

/// Placed before a first assistant's message, because the API requires the user to begin.
const OPENING: &str = "The conversation begins with your message.";

/// A turn: role and blocks.
pub(in crate::convert) type Message<'a> = (&'static str, Vec<Json<'a>>);

pub(in crate::convert) fn text(text: Text<'_>) -> Json<'_> {
    Json::map([("type", Json::text("text")), ("text", text.into())])
}

/// The API refuses texts that are only white space.
pub(in crate::convert) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Wraps a later system message as text of the user, because the API has no such role.
pub(in crate::convert) fn reminder(said: &str) -> String {
    format!("<system-reminder>\n{said}\n</system-reminder>")
}

/// The user's turn placed before a first assistant's message.
pub(in crate::convert) fn opening<'a>() -> Message<'a> {
    ("user", vec![text(reminder(OPENING).into())])
}

/// Parses the arguments of a call, which clients send as a JSON string, into an object.
pub(in crate::convert) fn input(arguments: Text<'_>) -> Json<'_> {
    if is_blank(&arguments) {
        return Json::Map(Vec::new());
    }
    // The string holds JSON of its own, whose invalid escapes are visible only after decoding.
    let json = mended(arguments.trim().as_bytes());
    let parsed: Option<Box<RawValue>> = serde_json::from_slice(&json).ok();
    match parsed.filter(|parsed| parsed.get().starts_with('{')) {
        Some(object) => Json::Raw(Raw(Cow::Owned(object))),
        // Models do write broken JSON; the conversation must continue.
        None => Json::map([("arguments", arguments.into())]),
    }
}

/// The calls of an assistant's turn, and which of them have a result.
#[derive(Default)]
pub(in crate::convert) struct Calls<'a> {
    calls: Vec<Call<'a>>,
    /// The index of each call by its id.
    places: HashMap<Text<'a>, usize>,
}

/// A call.
pub(in crate::convert) struct Call<'a> {
    /// The client's id.
    pub id: Text<'a>,
    /// The id sent to the account.
    pub sent: String,
    /// Its place in the request.
    pub path: String,
    answered: bool,
}

impl<'a> Calls<'a> {
    /// Refuses a duplicate id within the turn.
    pub(in crate::convert) fn is_new(&self, id: &Text<'a>, path: &str) -> Result<(), FieldRefusal> {
        if self.places.contains_key(id) {
            return Err(FieldRefusal::at(
                path,
                format_args!("the id `{}` is that of another call", &**id),
            ));
        }
        Ok(())
    }

    pub(in crate::convert) fn add(&mut self, id: Text<'a>, sent: String, path: String) {
        self.places.insert(id.clone(), self.calls.len());
        self.calls.push(Call {
            id,
            sent,
            path,
            answered: false,
        });
    }

    /// Marks the call with this id as answered and returns the first members of its result. `None` if there is no
    /// such call or it already has a result.
    pub(in crate::convert) fn answer(&mut self, id: &Text<'a>) -> Option<Json<'a>> {
        let place = self.places.get(id).copied();
        let call = place.and_then(|place| self.calls.get_mut(place));
        let call = call.filter(|call| !call.answered)?;
        call.answered = true;
        Some(Json::map([
            ("type", Json::text("tool_result")),
            ("tool_use_id", Text::from(call.sent.clone()).into()),
        ]))
    }

    /// A call without a result.
    pub(in crate::convert) fn unanswered(&self) -> Option<&Call<'a>> {
        self.calls.iter().find(|call| !call.answered)
    }

    pub(in crate::convert) fn clear(&mut self) {
        self.calls.clear();
        self.places.clear();
    }
}
