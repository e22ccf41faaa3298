//! Converts the messages of a request into Gemini's `contents`.
//!
//! The output always keeps Gemini's rules: the roles alternate, the first turn is the user's, no part is empty,
//! and a user's turn has the results of the calls in the turn before, in the same order. Adjacent messages of one
//! role become one turn, as in the Messages API.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::blocks::{ACCOUNT, image, plain, push, tool_result};
use super::gemini::{self, Content, Part};
use super::model_turn::ModelTurn;
use super::pending::PendingCall;

use crate::convert::messages::blocks::{Block, Blocks};
use crate::convert::messages::loaded_tools::{LoadedTools, fits};
use crate::convert::messages::names::Names;
use crate::convert::messages::server_tools::{self, BlockReplacement};
use crate::convert::messages_to_gemini::budget::Budget;
use crate::convert::messages_to_gemini::carry;
use crate::convert::messages_to_gemini::error::FieldRefusal;
use crate::convert::messages_to_gemini::object::Object;
use crate::convert::messages_to_gemini::text::Text;
use crate::convert::messages_to_gemini::vendor::Model;

/// Google's documented signature for calls that no Gemini model signed, such as those of an older conversation.
const UNSIGNED: &str = "skip_thought_signature_validator";

/// The prefix of a system block that is meant for Anthropic's servers, not for the model.
const BILLING: &str = "x-anthropic-billing-header:";

/// The messages read so far.
pub(super) struct Transcript<'a, 'n> {
    model: Model<'a>,
    names: &'n mut Names,
    budget: &'n Budget,
    talk: Talk<'a>,
    /// Calls of the model's last turn and their results so far.
    calls: Vec<PendingCall<'a>>,
    /// The index in `calls` by id.
    places: HashMap<Text<'a>, usize>,
    /// Number of calls that have their result.
    returned: usize,
    /// The user's turn that is being collected, without the results.
    user: Vec<Part<'a>>,
}

/// The converted messages.
#[derive(Default)]
pub(super) struct Talk<'a> {
    pub system: Vec<Part<'a>>,
    pub contents: Vec<Content<'a>>,
    pub loading: LoadedTools<'a>,
    /// The last effort set by a `system` message.
    pub effort: Option<Text<'a>>,
}

impl<'a, 'n> Transcript<'a, 'n> {
    pub(super) fn new(model: Model<'a>, names: &'n mut Names, budget: &'n Budget) -> Self {
        Self {
            model,
            names,
            budget,
            talk: Talk::default(),
            calls: Vec::new(),
            places: HashMap::new(),
            returned: 0,
            user: Vec::new(),
        }
    }

    /// The `system` of the request.
    pub(super) fn system(&mut self, system: &'a RawValue) -> Result<(), FieldRefusal> {
        let mut add = |text: Text<'a>| {
            if !text.starts_with(BILLING) {
                push(text, &mut self.talk.system);
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
        if self.talk.contents.is_empty() {
            return Err(FieldRefusal::at("messages", "there is nothing to send in them"));
        }
        if self.model.is_modern() {
            self.talk.contents.iter_mut().for_each(sign);
        }
        Ok(self.talk)
    }

    fn user(&mut self, content: Blocks<'a>) -> Result<(), FieldRefusal> {
        match content {
            Blocks::One(text) => push(text, &mut self.user),
            Blocks::Many(blocks) => {
                for block in blocks {
                    if &*block.kind == "tool_result" {
                        self.result(&block)?;
                    } else if !plain(&block, &mut self.user, self.budget)? {
                        return Err(block.unknown(ACCOUNT));
                    }
                }
            }
        }
        Ok(())
    }

    fn result(&mut self, block: &Block<'a>) -> Result<(), FieldRefusal> {
        let id = block.text("tool_use_id")?;
        let mut returned = tool_result(block, self.budget)?;
        self.talk.loading.loaded.extend(returned.loaded.drain(..));
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
        if call.result.is_some() {
            return Err(FieldRefusal::at(
                &block.path,
                format_args!("each tool_use must have a single result: {} has two", &*id),
            ));
        }
        call.result = Some(returned);
        self.returned += 1;
        Ok(())
    }

    /// Converts a `system` message: text for the model, and loaded tools.
    fn system_message(&mut self, content: Blocks<'a>) -> Result<(), FieldRefusal> {
        let blocks = match content {
            Blocks::One(text) => {
                self.remind(text)?;
                return Ok(());
            }
            Blocks::Many(blocks) => blocks,
        };
        for block in blocks {
            match &*block.kind {
                "text" => {
                    let text = block.text("text")?;
                    self.remind(text)?;
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

    fn remind(&mut self, text: Text<'a>) -> Result<(), FieldRefusal> {
        if text.is_empty() {
            return Ok(());
        }
        let opening = self.user.is_empty() && self.talk.contents.is_empty();
        if opening {
            self.talk.system.push(Part::text(text.0));
        } else if text.trim_start().starts_with("<system-reminder>") {
            self.user.push(Part::text(text.0));
        } else {
            let text = format!("<system-reminder>\n{}\n</system-reminder>", &*text);
            self.budget.value(text.len())?;
            self.user.push(Part::text(text));
        }
        Ok(())
    }

    fn assistant(&mut self, content: Blocks<'a>, path: &str) -> Result<(), FieldRefusal> {
        let mut turn = ModelTurn::default();
        match content {
            Blocks::One(text) => turn.text(text.0),
            Blocks::Many(blocks) => {
                for block in blocks {
                    match &*block.kind {
                        "text" => turn.text(block.text("text")?.0),
                        "thinking" | "redacted_thinking" => {
                            turn.carried(&block, self.model.vendor(), self.budget)?;
                        }
                        "tool_use" => {
                            let call = self.call(block)?;
                            turn.call(call)?;
                        }
                        // An image made by the model, for protocols that have them.
                        "image" => {
                            let mut part = image(&block)?;
                            if self.model.is_modern() {
                                part.thought_signature = Some(Cow::Borrowed(UNSIGNED));
                            }
                            turn.part(part);
                        }
                        _ => {
                            // Gemini's own searches are not sent back: its protocol keeps only the text of such
                            // answers.
                            let replacement = match &*block.kind {
                                "server_tool_use" => {
                                    server_tools::server_tool_use(&block, carry::is_search_id, ACCOUNT)?
                                }
                                "web_search_tool_result" => {
                                    server_tools::web_search_result(&block, carry::is_search_id, self.budget)?
                                }
                                "tool_search_tool_result" => {
                                    server_tools::tool_search_result(&block, self.budget)?
                                }
                                _ => return Err(block.unknown(ACCOUNT)),
                            };
                            match replacement {
                                BlockReplacement::Nothing => {}
                                BlockReplacement::Text(said) => turn.part(Part::text(said)),
                                BlockReplacement::Loaded(names) => self.talk.loading.loaded.extend(names),
                            }
                        }
                    }
                }
            }
        }
        let mut parts = turn.parts();
        if parts.is_empty() {
            return Ok(());
        }
        self.flush()?;
        for call in turn.calls.drain(..) {
            if self.places.insert(call.id.clone(), self.calls.len()).is_some() {
                return Err(call.twice());
            }
            self.calls.push(call);
        }
        match self.talk.contents.last_mut() {
            None => {
                return Err(FieldRefusal::at(
                    path,
                    "the first message must use the role `user`",
                ));
            }
            Some(content) if content.role == "model" => content.parts.append(&mut parts),
            Some(_) => self.talk.contents.push(Content { role: "model", parts }),
        }
        Ok(())
    }

    fn call(&mut self, block: Block<'a>) -> Result<(PendingCall<'a>, &'a RawValue), FieldRefusal> {
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
        self.talk.loading.loaded.insert(name.clone());
        let ours = within(&id, carry::gemini_id);
        // Gemini's own models work without an id; others that Antigravity serves may not.
        let gemini_id = ours.or_else(|| (!self.model.is_gemini()).then(|| id.0.clone()));
        let pending = PendingCall {
            gemini_id,
            id,
            name: self.names.send_text(name),
            path: block.path,
            result: None,
        };
        Ok((pending, input))
    }

    /// Closes the user's turn, if one is open.
    fn flush(&mut self) -> Result<(), FieldRefusal> {
        if self.user.is_empty() && self.returned == 0 {
            return Ok(());
        }
        answered(&self.calls)?;
        let mut parts = Vec::with_capacity(self.calls.len() + self.user.len());
        let mut beside = Vec::new();
        self.places.clear();
        self.returned = 0;
        for call in self.calls.drain(..) {
            let Some(returned) = call.result else { continue };
            // Older models accept media only beside the results.
            let inside = |part: &Part<'_>| self.model.is_modern() && part.inline_data.is_some();
            let (inside, outside): (Vec<_>, Vec<_>) = returned.media.into_iter().partition(inside);
            if !outside.is_empty() {
                beside.push(Part::text(format!("From the result of {}:", call.name)));
                beside.extend(outside);
            }
            parts.push(Part {
                function_response: Some(Box::new(gemini::FunctionResponse {
                    id: call.gemini_id,
                    name: call.name,
                    response: returned.said,
                    parts: inside,
                })),
                ..Part::default()
            });
        }
        parts.append(&mut beside);
        parts.append(&mut self.user);
        self.talk.contents.push(Content { role: "user", parts });
        Ok(())
    }
}

fn answered(calls: &[PendingCall<'_>]) -> Result<(), FieldRefusal> {
    match calls.iter().find(|call| call.result.is_none()) {
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

fn within<'a>(text: &Text<'a>, part: for<'x> fn(&'x str) -> Option<&'x str>) -> Option<Cow<'a, str>> {
    match &text.0 {
        Cow::Borrowed(text) => part(text).map(Cow::Borrowed),
        Cow::Owned(text) => part(text).map(|part| Cow::Owned(part.to_owned())),
    }
}

/// Signs the first of parallel calls, which Gemini requires. All turns are signed, not only the last, so that
/// repeated turns stay byte-identical and in Gemini's cache.
fn sign(content: &mut Content<'_>) {
    let first = content.parts.iter_mut().find(|part| part.function_call.is_some());
    if let Some(first) = first
        && first.thought_signature.is_none()
    {
        first.thought_signature = Some(Cow::Borrowed(UNSIGNED));
    }
}
