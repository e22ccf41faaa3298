//! Converts the messages of a chat into turns of the Messages API.
//!
//! The output always keeps the API's rules: the roles alternate, the first turn is the user's, no text is blank,
//! ids of calls are unique, and a user's turn begins with the results of the calls in the turn before.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;

use super::parts::{Content, Part};
use crate::convert::chat_to_messages::Target;
use crate::convert::claude::turns::{self, Calls, Message, is_blank, opening, reminder, text};

use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::marks;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// The messages read so far.
pub(super) struct Transcript<'a, 'b> {
    target: Target,
    budget: &'b Budget,
    talk: Talk<'a>,
    /// Calls of the assistant's last turn.
    calls: Calls<'a>,
    /// The user's turn that is being collected.
    results: Vec<Json<'a>>,
    user: Vec<Json<'a>>,
    /// Ids already sent, each with the number for its next duplicate.
    ids: HashMap<String, usize>,
    /// Set of the names in `talk.called`.
    known: HashSet<Text<'a>>,
}

/// The converted messages.
#[derive(Default)]
pub(super) struct Talk<'a> {
    pub system: Vec<Json<'a>>,
    pub turns: Vec<Message<'a>>,
    /// Names of the called tools.
    pub called: Vec<Text<'a>>,
    /// There is an assistant's message.
    pub answered: bool,
    /// The assistant's last turn is unfinished: the messages end with results of its calls or with its own words.
    pub open: bool,
    /// The client sets cache marks itself.
    pub marked: bool,
}

impl<'a, 'b> Transcript<'a, 'b> {
    pub(super) fn new(target: Target, budget: &'b Budget) -> Self {
        Self {
            target,
            budget,
            talk: Talk::default(),
            calls: Calls::default(),
            results: Vec::new(),
            user: Vec::new(),
            ids: HashMap::new(),
            known: HashSet::new(),
        }
    }

    pub(super) fn message(&mut self, raw: &'a RawValue, index: usize) -> Result<(), FieldRefusal> {
        self.budget.value(raw.get().len())?;
        let path = format!("messages.{index}");
        let message = Object::read(raw.get(), &path)?;
        let role: Text<'a> = message.must("role", &path)?;
        let content = Content::of(&message, &path, self.budget)?;
        match &*role {
            "system" | "developer" => self.system(content),
            "user" => self.user(content),
            "assistant" => self.assistant(&message, content, &path),
            "tool" => self.result(&message, content, &path),
            other => Err(FieldRefusal::at(
                format_args!("{path}.role"),
                format_args!("`{other}` is not `system`, `developer`, `user`, `assistant` or `tool`"),
            )),
        }
    }

    pub(super) fn finish(mut self) -> Result<Talk<'a>, FieldRefusal> {
        self.talk.open = !self.results.is_empty() || self.user.is_empty();
        self.flush()?;
        self.answered()?;
        let Talk { turns, system, .. } = &mut self.talk;
        match turns.last_mut() {
            // The API requires a user's turn.
            None if !system.is_empty() => turns.push(("user", std::mem::take(system))),
            None => return Err(FieldRefusal::at("messages", "there is nothing to answer in them")),
            Some(("assistant", said)) => end_well(said),
            Some(_) => {}
        }
        Ok(self.talk)
    }

    fn system(&mut self, content: Content<'a>) -> Result<(), FieldRefusal> {
        let opening = self.talk.turns.is_empty() && self.user.is_empty();
        let mut tell = |said: Text<'a>, mark: Option<Json<'a>>| {
            if is_blank(&said) {
                return;
            }
            let said = if opening { said } else { reminder(&said).into() };
            let block = marked(text(said), mark, &mut self.talk.marked);
            if opening {
                self.talk.system.push(block);
            } else {
                self.user.push(block);
            }
        };
        match content {
            Content::None => {}
            Content::One(said) => tell(said, None),
            Content::Many(parts) => {
                for part in parts {
                    match &*part.kind {
                        "text" => tell(part.text("text")?, part.mark()),
                        _ => return Err(part.unknown()),
                    }
                }
            }
        }
        Ok(())
    }

    fn user(&mut self, content: Content<'a>) -> Result<(), FieldRefusal> {
        match content {
            Content::None => {}
            Content::One(said) if is_blank(&said) => {}
            Content::One(said) => self.user.push(text(said)),
            Content::Many(parts) => {
                for part in parts {
                    if let Some(block) = part.block()? {
                        self.user.push(marked(block, part.mark(), &mut self.talk.marked));
                    }
                }
            }
        }
        Ok(())
    }

    fn result(&mut self, message: &Object<'a>, content: Content<'a>, path: &str) -> Result<(), FieldRefusal> {
        let id: Text<'a> = message.must("tool_call_id", path)?;
        let Some(mut result) = self.calls.answer(&id) else {
            return Err(FieldRefusal::at(
                path,
                format_args!(
                    "a `tool` message must follow a message whose `tool_calls` hold its id, once: `{}`",
                    &*id
                ),
            ));
        };
        let mut blocks = Vec::new();
        match content {
            Content::None => {}
            Content::One(said) if is_blank(&said) => {}
            Content::One(said) => result.put("content", said.into()),
            Content::Many(parts) => {
                for part in parts {
                    blocks.extend(part.block()?);
                }
            }
        }
        if !blocks.is_empty() {
            result.put("content", Json::List(blocks));
        }
        self.results.push(result);
        Ok(())
    }

    fn assistant(
        &mut self,
        message: &Object<'a>,
        content: Content<'a>,
        path: &str,
    ) -> Result<(), FieldRefusal> {
        let mut said = Vec::new();
        // Images from an earlier answer of the model.
        let mut images = Vec::new();
        let mut say = |words: Text<'a>| {
            if !is_blank(&words) {
                said.push(text(words));
            }
        };
        match content {
            Content::None => {}
            Content::One(words) => say(words),
            Content::Many(parts) => {
                for part in parts {
                    match &*part.kind {
                        "text" => say(part.text("text")?),
                        "refusal" => say(part.text("refusal")?),
                        "image_url" if self.target == Target::Gemini => images.extend(part.block()?),
                        _ => return Err(part.unknown()),
                    }
                }
            }
        }
        if let Some(refusal) = message.want("refusal", path)? {
            say(refusal);
        }
        for old in ["function_call", "audio"] {
            if message.raw(old).is_some() {
                return Err(FieldRefusal::at(
                    format_args!("{path}.{old}"),
                    "this cannot be sent to this model",
                ));
            }
        }
        if message.raw("images").is_some() {
            let place = format!("{path}.images");
            for part in Part::list(message.must("images", path)?, &place, self.budget)? {
                if self.target != Target::Gemini || &*part.kind != "image_url" {
                    return Err(part.unknown());
                }
                images.extend(part.block()?);
            }
        }
        said.append(&mut images);
        let calls: Option<List<'a>> = message.want("tool_calls", path)?;
        let calls = calls.unwrap_or_default();
        if said.is_empty() && calls.is_empty() {
            return Ok(());
        }
        self.flush()?;
        self.answered()?;
        for (index, raw) in calls.into_iter().enumerate() {
            let call = self.call(raw, format!("{path}.tool_calls.{index}"))?;
            said.push(call);
        }
        self.talk.answered = true;
        let turns = &mut self.talk.turns;
        match turns.last_mut() {
            Some(("assistant", before)) => before.append(&mut said),
            Some(_) => turns.push(("assistant", said)),
            None => {
                turns.push(opening());
                turns.push(("assistant", said));
            }
        }
        Ok(())
    }

    fn call(&mut self, raw: &'a RawValue, path: String) -> Result<Json<'a>, FieldRefusal> {
        self.budget.value(raw.get().len())?;
        let call = Object::read(raw.get(), &path)?;
        let kind: Option<Text<'a>> = call.want("type", &path)?;
        if let Some(other) = kind.filter(|kind| &**kind != "function") {
            return Err(FieldRefusal::at(
                &path,
                format_args!("calls of the type `{}` cannot be sent to this model", &*other),
            ));
        }
        let id: Text<'a> = call.must("id", &path)?;
        self.calls.is_new(&id, &path)?;
        let function: Object<'a> = call.must("function", &path)?;
        let place = format!("{path}.function");
        let name: Text<'a> = function.must("name", &place)?;
        let input = input(&function, &place)?;
        let sent = self.unique(&id);
        if self.known.insert(name.clone()) {
            self.talk.called.push(name.clone());
        }
        self.calls.add(id, sent.clone(), path);
        Ok(Json::map([
            ("type", Json::text("tool_use")),
            ("id", Text::from(sent).into()),
            ("name", name.into()),
            ("input", input),
        ]))
    }

    /// The id to send: unique, and in the alphabet of the Messages API. It depends only on the messages so far,
    /// so the next request of the conversation gets the same id.
    fn unique(&mut self, id: &str) -> String {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        let fitted: String = match marks::fitted_id(id).filter(|_| self.target == Target::Claude) {
            Some(fitted) => fitted,
            None => id.chars().map(|c| if plain(c) { c } else { '_' }).collect(),
        };
        let fitted = if fitted.is_empty() {
            "call".to_owned()
        } else {
            fitted
        };
        let Some(number) = self.ids.get(&fitted).copied() else {
            self.ids.insert(fitted.clone(), 2);
            return fitted;
        };
        // The client may have used this very id for another call.
        let mut number = number;
        loop {
            let sent = format!("{fitted}_{number}");
            number += 1;
            if !self.ids.contains_key(&sent) {
                self.ids.insert(sent.clone(), 2);
                self.ids.insert(fitted, number);
                return sent;
            }
        }
    }

    /// Closes the user's turn, if one is open.
    fn flush(&mut self) -> Result<(), FieldRefusal> {
        if self.results.is_empty() && self.user.is_empty() {
            return Ok(());
        }
        self.answered()?;
        self.calls.clear();
        let mut turn = std::mem::take(&mut self.results);
        turn.append(&mut self.user);
        self.talk.turns.push(("user", turn));
        Ok(())
    }

    fn answered(&self) -> Result<(), FieldRefusal> {
        match self.calls.unanswered() {
            None => Ok(()),
            Some(call) => Err(FieldRefusal::at(
                &call.path,
                format_args!("no `tool` message answers the call `{}`", &*call.id),
            )),
        }
    }
}

fn marked<'a>(mut block: Json<'a>, mark: Option<Json<'a>>, any: &mut bool) -> Json<'a> {
    if let Some(mark) = mark {
        *any = true;
        block.put("cache_control", mark);
    }
    block
}

/// The arguments of a call as an object.
fn input<'a>(function: &Object<'a>, path: &str) -> Result<Json<'a>, FieldRefusal> {
    let Some(raw) = function.raw("arguments") else {
        return Ok(Json::Map(Vec::new()));
    };
    // Some clients send the object itself.
    if raw.get().starts_with('{') {
        return Ok(Json::raw(raw));
    }
    Ok(turns::input(function.must("arguments", path)?))
}

/// The last text of an assistant's turn may not end with white space if the model is to continue it.
fn end_well(said: &mut Vec<Json<'_>>) {
    if let Some(Json::Map(block)) = said.last_mut()
        && let Some((_, Json::Text(words))) = block.iter_mut().find(|(name, _)| &**name == "text")
    {
        let end = words.trim_end().len();
        words.0 = match std::mem::take(&mut words.0) {
            Cow::Borrowed(all) => Cow::Borrowed(all.get(..end).unwrap_or_default()),
            Cow::Owned(mut all) => {
                all.truncate(end);
                Cow::Owned(all)
            }
        };
    }
}
