//! Converts the items of a request into turns of the Messages API.
//!
//! The output always keeps the API's rules: the roles alternate, the first turn is the user's, no text is blank,
//! ids of calls are unique, a user's turn begins with the results of the calls in the turn before, and no turn
//! ends with a thought.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::ACCOUNT;
use super::parts::{Part, content};

use crate::convert::claude::turns::{Calls, Message, input, is_blank, opening, reminder, text};
use crate::convert::responses_to_messages::carry::Thought;
use crate::convert::responses_to_messages::names::sent;
use crate::dialect::wire::FieldRefusal;
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
    /// Calls of the assistant's last turn.
    calls: Calls<'a>,
    /// The user's turn that is being collected.
    results: Vec<Json<'a>>,
    user: Vec<Json<'a>>,
    /// Ids already sent.
    ids: HashSet<String>,
    known: HashSet<String>,
}

/// The converted items.
#[derive(Default)]
pub(super) struct Talk<'a> {
    pub system: Vec<Json<'a>>,
    pub turns: Vec<Message<'a>>,
    /// Names, as sent, of the called tools.
    pub called: Vec<String>,
    /// Tools defined by items.
    pub added: Vec<(&'a RawValue, String)>,
    /// The assistant's last turn is unfinished: the items end with results of its calls or with its own words.
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

    /// Adds the request's `instructions`.
    pub(super) fn instructions(&mut self, said: Text<'a>) {
        if !is_blank(&said) {
            self.talk.system.push(text(said));
        }
    }

    /// Adds an input that is one text.
    pub(super) fn said(&mut self, said: Text<'a>) {
        if !is_blank(&said) {
            self.user.push(text(said));
        }
    }

    pub(super) fn item(&mut self, raw: &'a RawValue, index: usize) -> Result<(), FieldRefusal> {
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
                self.push_blocks(said.into_iter().map(|said| text(said.into())).collect())
            }
            "additional_tools" => {
                let tools: List<'a> = item.must("tools", &path)?;
                let tools = tools.into_iter().enumerate();
                let tools = tools.map(|(index, raw)| (raw, format!("{path}.tools.{index}")));
                self.talk.added.extend(tools);
                Ok(())
            }
            other => Err(FieldRefusal::at(
                &path,
                format_args!("items of the type `{other}` cannot be sent to {ACCOUNT}"),
            )),
        }
    }

    pub(super) fn finish(mut self) -> Result<Talk<'a>, FieldRefusal> {
        self.talk.open = !self.results.is_empty() || self.user.is_empty();
        self.flush()?;
        self.answered()?;
        self.trim();
        let Talk { turns, system, .. } = &mut self.talk;
        match turns.last() {
            // The API requires a user's turn.
            None if !system.is_empty() => turns.push(("user", std::mem::take(system))),
            None => return Err(FieldRefusal::at("input", "there is nothing to answer in it")),
            Some(("assistant", _)) => {
                return Err(FieldRefusal::at(
                    "input",
                    "the last item cannot be the assistant's: the model here would go on with it",
                ));
            }
            Some(_) => {}
        }
        Ok(self.talk)
    }

    fn message(&mut self, item: &Object<'a>, path: &str) -> Result<(), FieldRefusal> {
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
                self.push_blocks(said)?;
            }
            other => {
                return Err(FieldRefusal::at(
                    format_args!("{path}.role"),
                    format_args!("`{other}` is not `user`, `assistant`, `system` or `developer`"),
                ));
            }
        }
        Ok(())
    }

    /// Restores a thought that Claude had signed. Other models' reasoning cannot be sent.
    fn reasoning(&mut self, item: &Object<'a>) -> Result<(), FieldRefusal> {
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
        self.push_blocks(vec![block])
    }

    fn call(
        &mut self,
        item: &Object<'a>,
        input: Json<'a>,
        name: Option<&str>,
        path: String,
    ) -> Result<(), FieldRefusal> {
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
        self.push_blocks(vec![Json::map([
            ("type", Json::text("tool_use")),
            ("id", Json::Text(fitted.into())),
            ("name", Json::Text(name.into())),
            ("input", input),
        ])])
    }

    fn result(&mut self, item: &Object<'a>, path: &str) -> Result<(), FieldRefusal> {
        // Codex identifies a shell call by the item's own id.
        let id: Option<Text<'a>> = item.want("call_id", path)?;
        let id = match id {
            Some(id) => id,
            None => item.must("id", path)?,
        };
        let Some(mut result) = self.calls.answer(&id) else {
            return Err(FieldRefusal::at(
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

    /// Continues the assistant's turn, or begins one.
    fn begin(&mut self) -> Result<(), FieldRefusal> {
        self.flush()?;
        if self.talk.turns.is_empty() {
            self.talk.turns.push(opening());
        }
        Ok(())
    }

    fn push_blocks(&mut self, mut said: Vec<Json<'a>>) -> Result<(), FieldRefusal> {
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

    /// An id that is unique and valid in the Messages API. It depends only on the items so far.
    fn unique(&mut self, id: &str) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let fits = !id.is_empty() && id.len() <= LONGEST_CALL_ID && id.bytes().all(plain);
        let mut fitted = if fits { id.to_owned() } else { marks::shortened(id) };
        while !self.ids.insert(fitted.clone()) {
            fitted = marks::shortened(&format!("{fitted}+"));
        }
        fitted
    }

    /// Closes the user's turn, if one is open.
    fn flush(&mut self) -> Result<(), FieldRefusal> {
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

    /// Removes thoughts that led to nothing.
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

    fn answered(&self) -> Result<(), FieldRefusal> {
        match self.calls.unanswered() {
            None => Ok(()),
            Some(call) => Err(FieldRefusal::at(
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

fn not_here(part: Part<'_>) -> FieldRefusal {
    let path = match part {
        Part::Media(_, path) => path,
        Part::Text(_) => "input".to_owned(),
    };
    FieldRefusal::at(
        path,
        format_args!("only a user's message may hold this for {ACCOUNT}"),
    )
}

/// The arguments of a call as an object.
fn arguments<'a>(item: &Object<'a>, path: &str) -> Result<Json<'a>, FieldRefusal> {
    let arguments: Option<Text<'a>> = item.want("arguments", path)?;
    Ok(input(arguments.unwrap_or_default()))
}

/// The command of Codex' shell.
fn shell<'a>(item: &Object<'a>, path: &str) -> Result<Json<'a>, FieldRefusal> {
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

/// The search query as text; the item does not contain the results.
fn searched<'a>(item: &Object<'a>, path: &str) -> Result<Option<String>, FieldRefusal> {
    let action: Option<Object<'a>> = item.want("action", path)?;
    let Some(action) = action else { return Ok(None) };
    let word = |key| action.get::<Text<'a>>(key).filter(|word| !is_blank(word));
    Ok(match (word("query"), word("url")) {
        (Some(query), _) => Some(format!("I searched the web for “{}”.", &*query)),
        (None, Some(url)) => Some(format!("I looked at {}.", &*url)),
        (None, None) => None,
    })
}
