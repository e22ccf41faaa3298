//! The parts of turns of the Messages API, whatever the client's protocol is.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::dialect::body::mended;
use crate::dialect::wire::Refused;
use crate::dialect::wire::json::{Json, Raw};
use crate::dialect::wire::text::Text;

/// A user's words before an assistant that begins: the API wants a user to begin.
const OPENING: &str = "The conversation begins with your message.";

/// A turn as the API calls it: a role and blocks.
pub(in crate::convert) type Message<'a> = (&'static str, Vec<Json<'a>>);

pub(in crate::convert) fn text(text: Text<'_>) -> Json<'_> {
    Json::map([("type", Json::text("text")), ("text", text.into())])
}

/// The API refuses texts of white space.
pub(in crate::convert) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Words of the system in the middle of a conversation, where the API has only users and assistants.
pub(in crate::convert) fn reminder(said: &str) -> String {
    format!("<system-reminder>\n{said}\n</system-reminder>")
}

/// The turn before an assistant that begins.
pub(in crate::convert) fn opening<'a>() -> Message<'a> {
    ("user", vec![text(reminder(OPENING).into())])
}

/// The arguments of a call, which clients send as a text, as an object.
pub(in crate::convert) fn input(arguments: Text<'_>) -> Json<'_> {
    if is_blank(&arguments) {
        return Json::Map(Vec::new());
    }
    // The text is JSON of its own: its escapes became visible only now.
    let json = mended(arguments.trim().as_bytes());
    let parsed: Option<Box<RawValue>> = serde_json::from_slice(&json).ok();
    match parsed.filter(|parsed| parsed.get().starts_with('{')) {
        Some(object) => Json::Raw(Raw(Cow::Owned(object))),
        // Models do write broken JSON, and the conversation has to go on.
        None => Json::map([("arguments", arguments.into())]),
    }
}

/// The calls of an assistant's turn, and which of them have a result.
#[derive(Default)]
pub(in crate::convert) struct Calls<'a> {
    calls: Vec<Call<'a>>,
    /// The index of each id's call.
    places: HashMap<Text<'a>, usize>,
}

/// A call.
pub(in crate::convert) struct Call<'a> {
    /// The client's id.
    pub id: Text<'a>,
    /// The id that is sent.
    pub sent: String,
    /// Its place in the request.
    pub path: String,
    answered: bool,
}

impl<'a> Calls<'a> {
    /// Refuses a second call with this id in one turn.
    pub(in crate::convert) fn is_new(&self, id: &Text<'a>, path: &str) -> Result<(), Refused> {
        if self.places.contains_key(id) {
            return Err(Refused::at(
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

    /// Marks the call with this id as answered and returns the beginning of its result. `None`: there is no such call,
    /// or it has a result.
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
