//! The items of a request as the turns of the Messages API.
//!
//! Made here, whatever the items were: user and assistant take turns, a user begins, no text is blank, ids of calls
//! are unique, results come first in a turn and are those of the calls in the turn before, and no turn ends with a
//! thought.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::ACCOUNT;
use super::parts::{Part, content};

use crate::convert::claude::turns::{Calls, Message, input, is_blank, opening, reminder, text};
use crate::convert::responses_to_messages::carry::Thought;
use crate::convert::responses_to_messages::names::sent;
use crate::dialect::wire::Refused;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::marks;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// The longest id of a call, bytes.
const LONGEST_CALL_ID: usize = 64;

/// The items read so far.
pub(super) struct Transcript<'a, 'b> {
    budget: &'b Budget,
    talk: Talk<'a>,
    /// Those of the assistant's last turn.
    calls: Calls<'a>,
    /// The user's turn under way.
    results: Vec<Json<'a>>,
    user: Vec<Json<'a>>,
    /// Ids that were sent.
    ids: HashSet<String>,
    known: HashSet<String>,
}

/// All there is in the items.
#[derive(Default)]
pub(super) struct Talk<'a> {
    pub system: Vec<Json<'a>>,
    pub turns: Vec<Message<'a>>,
    /// Names, as they are sent, of the tools that were called.
    pub called: Vec<String>,
    /// Tools that stand among the items.
    pub added: Vec<(&'a RawValue, String)>,
    /// The assistant's last turn is not over: results of its calls come last, or its own words.
    pub open: bool,
}

impl<'a, 'b> Transcript<'a, 'b> {
    pub(super) fn new(budget: &'b Budget) -> Self {
        Self {
            budget,
            talk: Talk::default(),
            calls: Calls::default(),
            results: Vec::new(),
            user: Vec::new(),
            ids: HashSet::new(),
            known: HashSet::new(),
        }
    }

    /// What the request says before its items.
    pub(super) fn instructions(&mut self, said: Text<'a>) {
        if !is_blank(&said) {
            self.talk.system.push(text(said));
        }
    }

    /// An input that is one text.
    pub(super) fn said(&mut self, said: Text<'a>) {
        if !is_blank(&said) {
            self.user.push(text(said));
        }
    }

    pub(super) fn item(&mut self, raw: &'a RawValue, index: usize) -> Result<(), Refused> {
        self.budget.value(raw.get().len())?;
        let path = format!("input.{index}");
        let item = Object::read(raw.get(), &path)?;
        let kind: Option<Text<'a>> = item.want("type", &path)?;
        match kind.as_deref().unwrap_or("message") {
            "message" => self.message(&item, &path),
            "reasoning" => self.reasoning(&item),
            "function_call" => {
                let input = arguments(&item, &path)?;
                self.call(&item, input, None, path)
            }
            "custom_tool_call" => {
                let input: Text<'a> = item.must("input", &path)?;
                let input = Json::map([("input", input.into())]);
                self.call(&item, input, None, path)
            }
            "local_shell_call" => {
                let input = shell(&item, &path)?;
                self.call(&item, input, Some("local_shell"), path)
            }
            "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
                self.result(&item, &path)
            }
            "web_search_call" => {
                let said = searched(&item, &path)?;
                self.say(said.into_iter().map(|said| text(said.into())).collect())
            }
            "additional_tools" => {
                let tools: List<'a> = item.must("tools", &path)?;
                let tools = tools.into_iter().enumerate();
                let tools = tools.map(|(index, raw)| (raw, format!("{path}.tools.{index}")));
                self.talk.added.extend(tools);
                Ok(())
            }
            other => Err(Refused::at(
                &path,
                format_args!("items of the type `{other}` cannot be sent to {ACCOUNT}"),
            )),
        }
    }

    pub(super) fn finish(mut self) -> Result<Talk<'a>, Refused> {
        self.talk.open = !self.results.is_empty() || self.user.is_empty();
        self.flush()?;
        self.answered()?;
        self.trim();
        let Talk { turns, system, .. } = &mut self.talk;
        match turns.last() {
            // Somebody has to ask.
            None if !system.is_empty() => turns.push(("user", std::mem::take(system))),
            None => return Err(Refused::at("input", "there is nothing to answer in it")),
            Some(("assistant", _)) => {
                return Err(Refused::at(
                    "input",
                    "the last item cannot be the assistant's: the model here would go on with it",
                ));
            }
            Some(_) => {}
        }
        Ok(self.talk)
    }

    fn message(&mut self, item: &Object<'a>, path: &str) -> Result<(), Refused> {
        let role: Text<'a> = item.must("role", path)?;
        let place = format!("{path}.content");
        let parts = content(item.must("content", path)?, &place, self.budget)?;
        match &*role {
            "user" => self.user.extend(parts.into_iter().filter_map(Part::block)),
            "system" | "developer" => {
                let opening = self.talk.turns.is_empty() && self.user.is_empty() && self.results.is_empty();
                for part in parts {
                    let Part::Text(said) = part else {
                        return Err(not_here(part));
                    };
                    if is_blank(&said) {
                        continue;
                    }
                    if opening {
                        self.talk.system.push(text(said));
                    } else {
                        let said = reminder(&said);
                        self.budget.value(said.len())?;
                        self.user.push(text(said.into()));
                    }
                }
            }
            "assistant" => {
                let mut said = Vec::new();
                for part in parts {
                    match part {
                        Part::Text(words) if is_blank(&words) => {}
                        Part::Text(words) => said.push(text(words)),
                        Part::Media(..) => return Err(not_here(part)),
                    }
                }
                self.say(said)?;
            }
            other => {
                return Err(Refused::at(
                    format_args!("{path}.role"),
                    format_args!("`{other}` is not `user`, `assistant`, `system` or `developer`"),
                ));
            }
        }
        Ok(())
    }

    /// What Claude had signed, as the block it was. Of other models' reasoning nothing can be sent.
    fn reasoning(&mut self, item: &Object<'a>) -> Result<(), Refused> {
        let token: Option<Text<'a>> = item.get("encrypted_content");
        let Some(thought) = token.and_then(|token| Thought::read(&token)) else {
            return Ok(());
        };
        let block = match thought {
            Thought::Signed { thinking, signature } => Json::map([
                ("type", Json::text("thinking")),
                ("thinking", Json::Text(thinking.into())),
                ("signature", Json::Text(signature.into())),
            ]),
            Thought::Redacted(data) => Json::map([
                ("type", Json::text("redacted_thinking")),
                ("data", Json::Text(data.into())),
            ]),
        };
        self.say(vec![block])
    }

    fn call(
        &mut self,
        item: &Object<'a>,
        input: Json<'a>,
        name: Option<&str>,
        path: String,
    ) -> Result<(), Refused> {
        let id: Text<'a> = item.must("call_id", &path)?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => {
                let name: Text<'a> = item.must("name", &path)?;
                let namespace: Option<Text<'a>> = item.want("namespace", &path)?;
                sent(namespace.as_deref(), &name)
            }
        };
        self.begin()?;
        self.calls.is_new(&id, &path)?;
        let fitted = self.unique(&id);
        self.budget.value(name.len() + fitted.len())?;
        if self.known.insert(name.clone()) {
            self.talk.called.push(name.clone());
        }
        self.calls.add(id, fitted.clone(), path);
        self.say(vec![Json::map([
            ("type", Json::text("tool_use")),
            ("id", Json::Text(fitted.into())),
            ("name", Json::Text(name.into())),
            ("input", input),
        ])])
    }

    fn result(&mut self, item: &Object<'a>, path: &str) -> Result<(), Refused> {
        // Codex names a shell's call by the item's own id.
        let id: Option<Text<'a>> = item.want("call_id", path)?;
        let id = match id {
            Some(id) => id,
            None => item.must("id", path)?,
        };
        let Some(mut result) = self.calls.answer(&id) else {
            return Err(Refused::at(
                path,
                format_args!(
                    "no call with the id `{}` stands before this output and waits for one",
                    &*id
                ),
            ));
        };
        if let Some(output) = item.raw("output") {
            let parts = content(output, &format!("{path}.output"), self.budget)?;
            let blocks: Vec<Json<'a>> = parts.into_iter().filter_map(Part::block).collect();
            if !blocks.is_empty() {
                result.put("content", Json::List(blocks));
            }
        }
        self.results.push(result);
        Ok(())
    }

    /// The assistant's turn goes on, or begins.
    fn begin(&mut self) -> Result<(), Refused> {
        self.flush()?;
        if self.talk.turns.is_empty() {
            self.talk.turns.push(opening());
        }
        Ok(())
    }

    fn say(&mut self, mut said: Vec<Json<'a>>) -> Result<(), Refused> {
        if said.is_empty() {
            return Ok(());
        }
        self.begin()?;
        match self.talk.turns.last_mut() {
            Some(("assistant", before)) => before.append(&mut said),
            _ => self.talk.turns.push(("assistant", said)),
        }
        Ok(())
    }

    /// An id as the Messages API takes it, of no other call. It follows from the items so far alone.
    fn unique(&mut self, id: &str) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let fits = !id.is_empty() && id.len() <= LONGEST_CALL_ID && id.bytes().all(plain);
        let mut fitted = if fits { id.to_owned() } else { marks::shortened(id) };
        while !self.ids.insert(fitted.clone()) {
            fitted = marks::shortened(&format!("{fitted}+"));
        }
        fitted
    }

    /// Ends the user's turn under way, if there is one.
    fn flush(&mut self) -> Result<(), Refused> {
        if self.results.is_empty() && self.user.is_empty() {
            return Ok(());
        }
        self.answered()?;
        self.trim();
        self.calls.clear();
        let mut turn = std::mem::take(&mut self.results);
        turn.append(&mut self.user);
        match self.talk.turns.last_mut() {
            Some(("user", before)) => before.append(&mut turn),
            _ => self.talk.turns.push(("user", turn)),
        }
        Ok(())
    }

    /// Takes thoughts away that led to nothing.
    fn trim(&mut self) {
        if let Some(("assistant", said)) = self.talk.turns.last_mut() {
            while said.last().is_some_and(is_thought) {
                said.pop();
            }
            if said.is_empty() {
                self.talk.turns.pop();
            }
        }
    }

    fn answered(&self) -> Result<(), Refused> {
        match self.calls.unanswered() {
            None => Ok(()),
            Some(call) => Err(Refused::at(
                &call.path,
                format_args!("no output answers the call `{}`", &*call.id),
            )),
        }
    }
}

/// Whether a block is a thought.
pub(super) fn is_thought(block: &Json<'_>) -> bool {
    let kind = block.get("type").and_then(Json::as_str);
    matches!(kind, Some("thinking" | "redacted_thinking"))
}

fn not_here(part: Part<'_>) -> Refused {
    let path = match part {
        Part::Media(_, path) => path,
        Part::Text(_) => "input".to_owned(),
    };
    Refused::at(
        path,
        format_args!("only a user's message may hold this for {ACCOUNT}"),
    )
}

/// The arguments of a call as an object.
fn arguments<'a>(item: &Object<'a>, path: &str) -> Result<Json<'a>, Refused> {
    let arguments: Option<Text<'a>> = item.want("arguments", path)?;
    Ok(input(arguments.unwrap_or_default()))
}

/// What Codex' shell was asked to do.
fn shell<'a>(item: &Object<'a>, path: &str) -> Result<Json<'a>, Refused> {
    let action: Object<'a> = item.must("action", path)?;
    let place = format!("{path}.action");
    let command: &RawValue = action.must("command", &place)?;
    let mut input = Json::map([("command", Json::raw(command))]);
    for key in ["working_directory", "timeout_ms"] {
        if let Some(value) = action.raw(key) {
            input.put(key, Json::raw(value));
        }
    }
    Ok(input)
}

/// What was searched for, in words: what was found is in no item.
fn searched<'a>(item: &Object<'a>, path: &str) -> Result<Option<String>, Refused> {
    let action: Option<Object<'a>> = item.want("action", path)?;
    let Some(action) = action else { return Ok(None) };
    let word = |key| action.get::<Text<'a>>(key).filter(|word| !is_blank(word));
    Ok(match (word("query"), word("url")) {
        (Some(query), _) => Some(format!("I searched the web for “{}”.", &*query)),
        (None, Some(url)) => Some(format!("I looked at {}.", &*url)),
        (None, None) => None,
    })
}
