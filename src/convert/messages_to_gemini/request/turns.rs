//! The messages of a request as Gemini's `contents`.
//!
//! Made here, whatever the messages were: user and model take turns, a user begins, no part is empty, and
//! the results in a user's turn are those of the calls in the turn before, in their order. Messages of one
//! side in a row become one turn, as the Messages API reads them.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::blocks::{ACCOUNT, image, plain, push, tool_result};
use super::gemini::{self, Content, Part};
use super::pending::Pending;
use super::said::Said;

use crate::convert::messages::blocks::{Block, Blocks};
use crate::convert::messages::loading::{Loading, fits};
use crate::convert::messages::names::Names;
use crate::convert::messages::searched::{self, Told};
use crate::convert::messages_to_gemini::budget::Budget;
use crate::convert::messages_to_gemini::carry;
use crate::convert::messages_to_gemini::error::Refused;
use crate::convert::messages_to_gemini::object::Object;
use crate::convert::messages_to_gemini::text::Text;
use crate::convert::messages_to_gemini::vendor::Model;

/// What Google documents for calls that no Gemini model signed, such as those of an older conversation.
const UNSIGNED: &str = "skip_thought_signature_validator";

/// A system block that talks to Anthropic's servers, not to the model.
const BILLING: &str = "x-anthropic-billing-header:";

/// The messages read so far.
pub(super) struct Transcript<'a, 'n> {
    model: Model<'a>,
    names: &'n mut Names,
    budget: &'n Budget,
    talk: Talk<'a>,
    /// The calls of the last model's turn, with their results as they come.
    calls: Vec<Pending<'a>>,
    /// Where in that list the call of an id is.
    places: HashMap<Text<'a>, usize>,
    /// How many of them have their result.
    returned: usize,
    /// The user's turn under way, but for the results.
    user: Vec<Part<'a>>,
}

/// All there is in the messages.
#[derive(Default)]
pub(super) struct Talk<'a> {
    pub system: Vec<Part<'a>>,
    pub contents: Vec<Content<'a>>,
    pub loading: Loading<'a>,
    /// The last word of a `system` message on it.
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
    pub(super) fn system(&mut self, system: &'a RawValue) -> Result<(), Refused> {
        let mut told = |text: Text<'a>| {
            if !text.starts_with(BILLING) {
                push(text, &mut self.talk.system);
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
        if self.talk.contents.is_empty() {
            return Err(Refused::at("messages", "there is nothing to send in them"));
        }
        if self.model.is_modern() {
            self.talk.contents.iter_mut().for_each(sign);
        }
        Ok(self.talk)
    }

    fn user(&mut self, content: Blocks<'a>) -> Result<(), Refused> {
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

    fn result(&mut self, block: &Block<'a>) -> Result<(), Refused> {
        let id = block.text("tool_use_id")?;
        let mut returned = tool_result(block, self.budget)?;
        self.talk.loading.loaded.extend(returned.loaded.drain(..));
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
        if call.result.is_some() {
            return Err(Refused::at(
                &block.path,
                format_args!("each tool_use must have a single result: {} has two", &*id),
            ));
        }
        call.result = Some(returned);
        self.returned += 1;
        Ok(())
    }

    /// Text for the model from whoever runs the client, and news of tools.
    fn system_message(&mut self, content: Blocks<'a>) -> Result<(), Refused> {
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

    fn remind(&mut self, text: Text<'a>) -> Result<(), Refused> {
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

    fn assistant(&mut self, content: Blocks<'a>, path: &str) -> Result<(), Refused> {
        let mut turn = Said::default();
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
                        // Made by the model, in a protocol that has such.
                        "image" => {
                            let mut part = image(&block)?;
                            if self.model.is_modern() {
                                part.thought_signature = Some(Cow::Borrowed(UNSIGNED));
                            }
                            turn.part(part);
                        }
                        _ => {
                            // A search of its own is not given back to it: its protocol has only the text of
                            // such an answer in the history.
                            let told = match &*block.kind {
                                "server_tool_use" => searched::asked(&block, carry::is_search_id, ACCOUNT)?,
                                "web_search_tool_result" => {
                                    searched::found(&block, carry::is_search_id, self.budget)?
                                }
                                "tool_search_tool_result" => searched::tools(&block, self.budget)?,
                                _ => return Err(block.unknown(ACCOUNT)),
                            };
                            match told {
                                Told::Nothing => {}
                                Told::Text(said) => turn.part(Part::text(said)),
                                Told::Loaded(names) => self.talk.loading.loaded.extend(names),
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
                return Err(Refused::at(path, "the first message must use the role `user`"));
            }
            Some(content) if content.role == "model" => content.parts.append(&mut parts),
            Some(_) => self.talk.contents.push(Content { role: "model", parts }),
        }
        Ok(())
    }

    fn call(&mut self, block: Block<'a>) -> Result<(Pending<'a>, &'a RawValue), Refused> {
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
        self.talk.loading.loaded.insert(name.clone());
        let ours = within(&id, carry::gemini_id);
        // Gemini's own models may do without; others that Antigravity serves may not.
        let gemini_id = ours.or_else(|| (!self.model.is_gemini()).then(|| id.0.clone()));
        let pending = Pending {
            gemini_id,
            id,
            name: self.names.send_text(name),
            path: block.path,
            result: None,
        };
        Ok((pending, input))
    }

    /// Ends the user's turn under way, if there is one.
    fn flush(&mut self) -> Result<(), Refused> {
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
            // Older models take media beside the results only.
            let inside = |part: &Part<'_>| self.model.is_modern() && part.inline_data.is_some();
            let (inside, outside): (Vec<_>, Vec<_>) = returned.media.into_iter().partition(inside);
            if !outside.is_empty() {
                beside.push(Part::text(format!("From the result of {}:", call.name)));
                beside.extend(outside);
            }
            parts.push(Part {
                function_response: Some(Box::new(gemini::Returned {
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

fn answered(calls: &[Pending<'_>]) -> Result<(), Refused> {
    match calls.iter().find(|call| call.result.is_none()) {
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

fn within<'a>(text: &Text<'a>, part: for<'x> fn(&'x str) -> Option<&'x str>) -> Option<Cow<'a, str>> {
    match &text.0 {
        Cow::Borrowed(text) => part(text).map(Cow::Borrowed),
        Cow::Owned(text) => part(text).map(|part| Cow::Owned(part.to_owned())),
    }
}

/// Of calls side by side only the first is signed, and must be. All turns are, not only the last, so that
/// what has been sent once is sent the same way again, and stays in Gemini's cache.
fn sign(content: &mut Content<'_>) {
    let first = content.parts.iter_mut().find(|part| part.function_call.is_some());
    if let Some(first) = first
        && first.thought_signature.is_none()
    {
        first.thought_signature = Some(Cow::Borrowed(UNSIGNED));
    }
}
