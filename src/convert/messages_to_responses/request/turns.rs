//! Converts the messages of a request into the items of `input`.
//!
//! The output always keeps OpenAI's rules: each output follows its call and precedes anything else of the user's;
//! each piece of reasoning precedes the assistant's item that it led to.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::ACCOUNT;
use super::parts::{Part, input_text, output_text, plain, push, tool_result};

use crate::convert::messages::blocks::{Block, Blocks};
use crate::convert::messages::loaded_tools::{LoadedTools, fits};
use crate::convert::messages::names::Names;
use crate::convert::messages::server_tools::{self, BlockReplacement};
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::marks::{self, LONGEST_ID};
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

/// The prefix of a system block that is meant for Anthropic's servers, not for the model.
const BILLING: &str = "x-anthropic-billing-header:";

/// The longest id of a call, bytes.
const LONGEST_CALL_ID: usize = 64;

/// The messages read so far.
pub(super) struct Transcript<'a, 'n> {
    names: &'n mut Names,
    reasoning: Reasoning,
    budget: &'n Budget,
    talk: Talk<'a>,
    /// The calls of the last assistant's turn.
    calls: Vec<Call<'a>>,
    /// The index in `calls` by id.
    places: HashMap<Text<'a>, usize>,
    /// Number of calls that have their result.
    returned: usize,
    /// Role and parts of later messages; they follow the outputs.
    said: Vec<(&'static str, Vec<Json<'a>>)>,
    /// The state of the newest item.
    open: Open,
}

/// The reasoning of earlier turns that is sent back to the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::convert) enum Reasoning {
    /// Reasoning that OpenAI encrypted.
    Encrypted,
    /// Plain reasoning of a Chat Completions host, in its original field.
    Plain,
}

/// The kind of the newest item.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Open {
    /// Not the assistant's.
    No,
    /// This many pieces of reasoning that led to nothing yet.
    Reasoning(usize),
    /// A text, in the message with this place.
    Text(String),
    Call,
}

/// The converted messages.
#[derive(Default)]
pub(super) struct Talk<'a> {
    pub system: Vec<Text<'a>>,
    pub items: Vec<Json<'a>>,
    pub loading: LoadedTools<'a>,
    /// The last effort set by a `system` message.
    pub effort: Option<Text<'a>>,
}

/// A call that waits for its result.
struct Call<'a> {
    id: Text<'a>,
    path: String,
    returned: bool,
}

impl<'a, 'n> Transcript<'a, 'n> {
    pub(super) fn new(names: &'n mut Names, reasoning: Reasoning, budget: &'n Budget) -> Self {
        Self {
            names,
            reasoning,
            budget,
            talk: Talk::default(),
            calls: Vec::new(),
            places: HashMap::new(),
            returned: 0,
            said: Vec::new(),
            open: Open::No,
        }
    }

    /// The `system` of the request.
    pub(super) fn system(&mut self, system: &'a RawValue) -> Result<(), FieldRefusal> {
        let mut add = |text: Text<'a>| {
            if !text.is_empty() && !text.starts_with(BILLING) {
                self.talk.system.push(text);
            }
        };
        match Blocks::read(system, "system", self.budget)? {
            Blocks::One(text) => add(text),
            Blocks::Many(blocks) => {
                for block in blocks {
                    match &*block.kind {
                        "text" => add(block.text("text")?),
                        _ => return Err(block.unknown(ACCOUNT)),
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn message(&mut self, raw: &'a RawValue, index: usize) -> Result<(), FieldRefusal> {
        self.budget.value(0)?;
        let path = format!("messages.{index}");
        let message = Object::read(raw.get(), &path)?;
        let role: Text<'a> = message.must("role", &path)?;
        let place = format!("{path}.content");
        let content = Blocks::read(message.must("content", &path)?, &place, self.budget)?;
        match &*role {
            "user" => self.user(content),
            "assistant" => self.assistant(content, &path),
            "system" => {
                let config: Option<Object<'a>> = message.want("output_config", &path)?;
                if let Some(effort) = config.and_then(|config| config.get("effort")) {
                    self.talk.effort = Some(effort);
                }
                self.system_message(content)
            }
            other => Err(FieldRefusal::at(
                format_args!("{path}.role"),
                format_args!("`{other}` is not `user`, `assistant` or `system`"),
            )),
        }
    }

    pub(super) fn finish(mut self) -> Result<Talk<'a>, FieldRefusal> {
        self.flush()?;
        answered(&self.calls)?;
        if let Open::Text(path) = &self.open {
            return Err(FieldRefusal::at(
                path,
                "the model here begins its answer anew, so the last message cannot be the assistant's",
            ));
        }
        self.trim();
        if self.talk.items.is_empty() {
            return Err(FieldRefusal::at("messages", "there is nothing to send in them"));
        }
        Ok(self.talk)
    }

    fn user(&mut self, content: Blocks<'a>) -> Result<(), FieldRefusal> {
        let mut parts = Vec::new();
        match content {
            Blocks::One(text) => push(text, &mut parts),
            Blocks::Many(blocks) => {
                for block in blocks {
                    if &*block.kind == "tool_result" {
                        self.result(&block)?;
                    } else if !plain(&block, &mut parts, self.budget)? {
                        return Err(block.unknown(ACCOUNT));
                    }
                }
            }
        }
        self.push_parts("user", parts.into_iter().map(Part::input).collect());
        Ok(())
    }

    fn push_parts(&mut self, role: &'static str, mut parts: Vec<Json<'a>>) {
        if parts.is_empty() {
            return;
        }
        match self.said.last_mut() {
            Some((before, said)) if *before == role => said.append(&mut parts),
            _ => self.said.push((role, parts)),
        }
    }

    fn result(&mut self, block: &Block<'a>) -> Result<(), FieldRefusal> {
        self.trim();
        let id = block.text("tool_use_id")?;
        let (output, loaded) = tool_result(block, self.budget)?;
        self.talk.loading.loaded.extend(loaded);
        let place = self.places.get(&id).copied();
        let Some(call) = place.and_then(|place| self.calls.get_mut(place)) else {
            return Err(FieldRefusal::at(
                &block.path,
                format_args!(
                    "unexpected `tool_use_id` found in `tool_result` blocks: {}. Each `tool_result` block must have \
                     a corresponding `tool_use` block in the previous message.",
                    &*id
                ),
            ));
        };
        if std::mem::replace(&mut call.returned, true) {
            return Err(FieldRefusal::at(
                &block.path,
                format_args!("each tool_use must have a single result: {} has two", &*id),
            ));
        }
        self.returned += 1;
        self.open = Open::No;
        self.budget.value(id.len())?;
        self.talk.items.push(Json::map([
            ("type", Json::text("function_call_output")),
            ("call_id", call_id(id)),
            ("output", output),
        ]));
        Ok(())
    }

    /// Converts a `system` message: text for the model, and loaded tools.
    fn system_message(&mut self, content: Blocks<'a>) -> Result<(), FieldRefusal> {
        let blocks = match content {
            Blocks::One(text) => {
                self.developer(text);
                return Ok(());
            }
            Blocks::Many(blocks) => blocks,
        };
        for block in blocks {
            match &*block.kind {
                "text" => {
                    let text = block.text("text")?;
                    self.developer(text);
                }
                "tool_addition" => {
                    let tool: Object<'a> = block.must("tool")?;
                    let path = format!("{}.tool", block.path);
                    let loading = &mut self.talk.loading;
                    if let Some(name) = tool.want("name", &path)? {
                        loading.removed.remove(&name);
                        loading.loaded.insert(name);
                    } else {
                        let definition = tool.must("definition", &path)?;
                        loading.added.push((definition, format!("{path}.definition")));
                    }
                }
                "tool_removal" => {
                    let tool: Object<'a> = block.must("tool")?;
                    let name = tool.must("name", &format!("{}.tool", block.path))?;
                    self.talk.loading.removed.insert(name);
                }
                _ => return Err(block.unknown(ACCOUNT)),
            }
        }
        Ok(())
    }

    fn developer(&mut self, text: Text<'a>) {
        if !text.is_empty() {
            self.push_parts("developer", vec![input_text(text)]);
        }
    }

    fn assistant(&mut self, content: Blocks<'a>, path: &str) -> Result<(), FieldRefusal> {
        self.flush()?;
        let blocks = match content {
            Blocks::One(text) => {
                self.text(text, path);
                return Ok(());
            }
            Blocks::Many(blocks) => blocks,
        };
        for block in blocks {
            match &*block.kind {
                "text" => {
                    let text = block.text("text")?;
                    self.text(text, path);
                }
                "thinking" | "redacted_thinking" => self.reasoning(&block)?,
                "tool_use" => self.call(block)?,
                _ => {
                    let nobody: fn(&str) -> bool = |_| false;
                    let replacement = match &*block.kind {
                        "server_tool_use" => server_tools::server_tool_use(&block, nobody, ACCOUNT)?,
                        "web_search_tool_result" => {
                            server_tools::web_search_result(&block, nobody, self.budget)?
                        }
                        "tool_search_tool_result" => server_tools::tool_search_result(&block, self.budget)?,
                        _ => return Err(block.unknown(ACCOUNT)),
                    };
                    match replacement {
                        BlockReplacement::Nothing => {}
                        BlockReplacement::Text(said) => self.text(said.into(), path),
                        BlockReplacement::Loaded(names) => self.talk.loading.loaded.extend(names),
                    }
                }
            }
        }
        Ok(())
    }

    fn text(&mut self, text: Text<'a>, path: &str) {
        if text.is_empty() {
            return;
        }
        if matches!(self.open, Open::Text(_))
            && let Some(Json::Map(members)) = self.talk.items.last_mut()
            && let Some((_, Json::List(content))) = members.last_mut()
        {
            content.push(output_text(text));
            return;
        }
        self.open = Open::Text(path.to_owned());
        self.talk
            .items
            .push(message("assistant", vec![output_text(text)]));
    }

    /// Restores the reasoning item of an earlier turn.
    fn reasoning(&mut self, block: &Block<'a>) -> Result<(), FieldRefusal> {
        let Some(token) = block.get("signature").or_else(|| block.get("data")) else {
            return Ok(());
        };
        let thought: Text<'a> = block.get("thinking").unwrap_or_default();
        if self.reasoning == Reasoning::Plain {
            return self.plain_reasoning(&token, thought);
        }
        let Some(sealed) = marks::sealed_by_openai(&token) else {
            return Ok(());
        };
        self.budget.value(sealed.len())?;
        let summary = if thought.is_empty() {
            Vec::new()
        } else {
            vec![Json::map([
                ("type", Json::text("summary_text")),
                ("text", thought.into()),
            ])]
        };
        self.talk.items.push(Json::map([
            ("type", Json::text("reasoning")),
            ("summary", Json::List(summary)),
            ("encrypted_content", Json::Text(sealed.to_owned().into())),
        ]));
        self.has_reasoned();
        Ok(())
    }

    /// Restores the reasoning of a Chat Completions host.
    fn plain_reasoning(&mut self, token: &str, thought: Text<'a>) -> Result<(), FieldRefusal> {
        let Some((field, hidden)) = marks::plain_reasoning(token) else {
            return Ok(());
        };
        let text = if thought.is_empty() {
            Text::from(hidden.to_owned())
        } else {
            thought
        };
        if text.is_empty() {
            return Ok(());
        }
        self.budget.value(text.len())?;
        self.talk.items.push(Json::map([
            ("type", Json::text("reasoning")),
            ("field", Json::text(field)),
            ("text", text.into()),
        ]));
        self.has_reasoned();
        Ok(())
    }

    fn has_reasoned(&mut self) {
        self.open = match self.open {
            Open::Reasoning(before) => Open::Reasoning(before + 1),
            _ => Open::Reasoning(1),
        };
    }

    /// Removes reasoning that led to nothing.
    fn trim(&mut self) {
        if let Open::Reasoning(count) = self.open {
            let left = self.talk.items.len().saturating_sub(count);
            self.talk.items.truncate(left);
            self.open = Open::No;
        }
    }

    fn call(&mut self, block: Block<'a>) -> Result<(), FieldRefusal> {
        let id = block.text("id")?;
        let name = block.text("name")?;
        let input: &RawValue = block.must("input")?;
        if !input.get().starts_with('{') {
            return Err(FieldRefusal::at(
                format_args!("{}.input", block.path),
                "Input should be an object",
            ));
        }
        fits(&name, &block.path)?;
        if self.places.insert(id.clone(), self.calls.len()).is_some() {
            return Err(FieldRefusal::at(
                &block.path,
                format_args!("`tool_use` ids must be unique: {}", &*id),
            ));
        }
        self.talk.loading.loaded.insert(name.clone());
        self.calls.push(Call {
            id: id.clone(),
            path: block.path,
            returned: false,
        });
        self.talk.items.push(Json::map([
            ("type", Json::text("function_call")),
            ("call_id", call_id(id)),
            ("name", Json::Text(Text(self.names.send_text(name)))),
            ("arguments", Json::text(input.get())),
        ]));
        self.open = Open::Call;
        Ok(())
    }

    /// Closes the user's turn, if one is open.
    fn flush(&mut self) -> Result<(), FieldRefusal> {
        if self.said.is_empty() && self.returned == 0 {
            return Ok(());
        }
        answered(&self.calls)?;
        self.trim();
        self.calls.clear();
        self.places.clear();
        self.returned = 0;
        for (role, parts) in self.said.drain(..) {
            self.talk.items.push(message(role, parts));
        }
        self.open = Open::No;
        Ok(())
    }
}

/// Builds a message; its content must be its last member.
fn message<'a>(role: &'static str, content: Vec<Json<'a>>) -> Json<'a> {
    Json::map([
        ("type", Json::text("message")),
        ("role", Json::text(role)),
        ("content", Json::List(content)),
    ])
}

/// An id that OpenAI accepts. It depends only on the client's id, so a call and its output keep the same.
fn call_id(id: Text<'_>) -> Json<'_> {
    let most = if id.starts_with(marks::OLD_ID_PREFIX) {
        LONGEST_ID
    } else {
        LONGEST_CALL_ID
    };
    if id.len() > most {
        Json::Text(marks::shortened(&id).into())
    } else {
        id.into()
    }
}

fn answered(calls: &[Call<'_>]) -> Result<(), FieldRefusal> {
    match calls.iter().find(|call| !call.returned) {
        None => Ok(()),
        Some(call) => Err(FieldRefusal::at(
            &call.path,
            format_args!(
                "`tool_use` ids were found without `tool_result` blocks immediately after: {}",
                &*call.id
            ),
        )),
    }
}
