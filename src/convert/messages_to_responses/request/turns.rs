//! The messages of a request as the items of `input`.
//!
//! Made here, whatever the messages were: each output stands after its call and before anything else of the user's,
//! each piece of reasoning before something of the assistant's that it led to.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::ACCOUNT;
use super::parts::{Part, input_text, output_text, plain, push, tool_result};

use crate::convert::messages::blocks::{Block, Blocks};
use crate::convert::messages::loading::{Loading, fits};
use crate::convert::messages::names::Names;
use crate::convert::messages::searched::{self, Told};
use crate::dialect::wire::Refused;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::marks::{self, LONGEST_ID};
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

/// A system block that talks to Anthropic's servers, not to the model.
const BILLING: &str = "x-anthropic-billing-header:";

/// The longest id of a call, bytes.
const LONGEST_CALL_ID: usize = 64;

/// The messages read so far.
pub(super) struct Transcript<'a, 'n> {
    names: &'n mut Names,
    budget: &'n Budget,
    talk: Talk<'a>,
    /// The calls of the last assistant's turn.
    calls: Vec<Call<'a>>,
    /// Where in that list the call of an id is.
    places: HashMap<Text<'a>, usize>,
    /// How many of them have their result.
    returned: usize,
    /// What was said since, by whom: it comes after the outputs.
    said: Vec<(&'static str, Vec<Json<'a>>)>,
    /// The newest item is the assistant's.
    open: Open,
}

/// What the newest item is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Open {
    /// Not the assistant's.
    No,
    /// So many pieces of reasoning, which led to nothing yet.
    Reasoning(usize),
    /// A text, in the message at this place.
    Text(String),
    Call,
}

/// All there is in the messages.
#[derive(Default)]
pub(super) struct Talk<'a> {
    pub system: Vec<Text<'a>>,
    pub items: Vec<Json<'a>>,
    pub loading: Loading<'a>,
    /// The last word of a `system` message on it.
    pub effort: Option<Text<'a>>,
}

/// A call that waits for its result.
struct Call<'a> {
    id: Text<'a>,
    path: String,
    returned: bool,
}

impl<'a, 'n> Transcript<'a, 'n> {
    pub(super) fn new(names: &'n mut Names, budget: &'n Budget) -> Self {
        Self {
            names,
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
    pub(super) fn system(&mut self, system: &'a RawValue) -> Result<(), Refused> {
        let mut told = |text: Text<'a>| {
            if !text.is_empty() && !text.starts_with(BILLING) {
                self.talk.system.push(text);
            }
        };
        match Blocks::read(system, "system", self.budget)? {
            Blocks::One(text) => told(text),
            Blocks::Many(blocks) => {
                for block in blocks {
                    match &*block.kind {
                        "text" => told(block.text("text")?),
                        _ => return Err(block.unknown(ACCOUNT)),
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn message(&mut self, raw: &'a RawValue, index: usize) -> Result<(), Refused> {
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
            other => Err(Refused::at(
                format_args!("{path}.role"),
                format_args!("`{other}` is not `user`, `assistant` or `system`"),
            )),
        }
    }

    pub(super) fn finish(mut self) -> Result<Talk<'a>, Refused> {
        self.flush()?;
        answered(&self.calls)?;
        if let Open::Text(path) = &self.open {
            return Err(Refused::at(
                path,
                "the model here begins its answer anew, so the last message cannot be the assistant's",
            ));
        }
        self.trim();
        if self.talk.items.is_empty() {
            return Err(Refused::at("messages", "there is nothing to send in them"));
        }
        Ok(self.talk)
    }

    fn user(&mut self, content: Blocks<'a>) -> Result<(), Refused> {
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
        self.say("user", parts.into_iter().map(Part::input).collect());
        Ok(())
    }

    fn say(&mut self, role: &'static str, mut parts: Vec<Json<'a>>) {
        if parts.is_empty() {
            return;
        }
        match self.said.last_mut() {
            Some((before, said)) if *before == role => said.append(&mut parts),
            _ => self.said.push((role, parts)),
        }
    }

    fn result(&mut self, block: &Block<'a>) -> Result<(), Refused> {
        self.trim();
        let id = block.text("tool_use_id")?;
        let (output, loaded) = tool_result(block, self.budget)?;
        self.talk.loading.loaded.extend(loaded);
        let place = self.places.get(&id).copied();
        let Some(call) = place.and_then(|place| self.calls.get_mut(place)) else {
            return Err(Refused::at(
                &block.path,
                format_args!(
                    "unexpected `tool_use_id` found in `tool_result` blocks: {}. Each `tool_result` block must have \
                     a corresponding `tool_use` block in the previous message.",
                    &*id
                ),
            ));
        };
        if std::mem::replace(&mut call.returned, true) {
            return Err(Refused::at(
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

    /// Text for the model from whoever runs the client, and news of tools.
    fn system_message(&mut self, content: Blocks<'a>) -> Result<(), Refused> {
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
            self.say("developer", vec![input_text(text)]);
        }
    }

    fn assistant(&mut self, content: Blocks<'a>, path: &str) -> Result<(), Refused> {
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
                    let told = match &*block.kind {
                        "server_tool_use" => searched::asked(&block, nobody, ACCOUNT)?,
                        "web_search_tool_result" => searched::found(&block, nobody, self.budget)?,
                        "tool_search_tool_result" => searched::tools(&block, self.budget)?,
                        _ => return Err(block.unknown(ACCOUNT)),
                    };
                    match told {
                        Told::Nothing => {}
                        Told::Text(said) => self.text(said.into(), path),
                        Told::Loaded(names) => self.talk.loading.loaded.extend(names),
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

    /// What OpenAI had encrypted, as the item it was.
    fn reasoning(&mut self, block: &Block<'a>) -> Result<(), Refused> {
        let Some(token) = block.get("signature").or_else(|| block.get("data")) else {
            return Ok(());
        };
        let Some(sealed) = marks::sealed_by_openai(&token) else {
            return Ok(());
        };
        self.budget.value(sealed.len())?;
        let thought: Text<'a> = block.get("thinking").unwrap_or_default();
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
        self.open = match self.open {
            Open::Reasoning(before) => Open::Reasoning(before + 1),
            _ => Open::Reasoning(1),
        };
        Ok(())
    }

    /// Takes reasoning away that led to nothing.
    fn trim(&mut self) {
        if let Open::Reasoning(count) = self.open {
            let left = self.talk.items.len().saturating_sub(count);
            self.talk.items.truncate(left);
            self.open = Open::No;
        }
    }

    fn call(&mut self, block: Block<'a>) -> Result<(), Refused> {
        let id = block.text("id")?;
        let name = block.text("name")?;
        let input: &RawValue = block.must("input")?;
        if !input.get().starts_with('{') {
            return Err(Refused::at(
                format_args!("{}.input", block.path),
                "Input should be an object",
            ));
        }
        fits(&name, &block.path)?;
        if self.places.insert(id.clone(), self.calls.len()).is_some() {
            return Err(Refused::at(
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

    /// Ends the user's turn under way, if there is one.
    fn flush(&mut self) -> Result<(), Refused> {
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

/// Its content is its last member.
fn message<'a>(role: &'static str, content: Vec<Json<'a>>) -> Json<'a> {
    Json::map([
        ("type", Json::text("message")),
        ("role", Json::text(role)),
        ("content", Json::List(content)),
    ])
}

/// An id as OpenAI takes it: it follows from the client's alone, so a call and its output keep the same.
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

fn answered(calls: &[Call<'_>]) -> Result<(), Refused> {
    match calls.iter().find(|call| !call.returned) {
        None => Ok(()),
        Some(call) => Err(Refused::at(
            &call.path,
            format_args!(
                "`tool_use` ids were found without `tool_result` blocks immediately after: {}",
                &*call.id
            ),
        )),
    }
}
