//! The messages of a request as Gemini's `contents`.
//!
//! Made here, whatever the messages were: user and model take turns, a user begins, no part is empty, and
//! the results in a user's turn are those of the calls in the turn before, in their order. Messages of one
//! side in a row become one turn, as the Messages API reads them.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::OutputConfig;
use super::blocks::{Block, Blocks, Returned, must, plain, tool_result, unknown};
use super::gemini::{self, Content, Part};
use super::said::Said;

use crate::provider::antigravity::convert::carry;
use crate::provider::antigravity::convert::error::{self, Refused};
use crate::provider::antigravity::convert::names::Names;
use crate::provider::antigravity::convert::text::Text;
use crate::provider::antigravity::convert::vendor::Model;

/// What Google documents for calls that no Gemini model signed, such as those of an older conversation.
const UNSIGNED: &str = "skip_thought_signature_validator";

/// A system block that talks to Anthropic's servers, not to the model.
const BILLING: &str = "x-anthropic-billing-header:";

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(default, borrow)]
    output_config: Option<OutputConfig<'a>>,
}

/// The messages read so far.
pub(super) struct Transcript<'a, 'n> {
    model: Model<'a>,
    names: &'n mut Names,
    talk: Talk<'a>,
    /// The calls of the last model's turn, with their results as they come.
    calls: Vec<Pending<'a>>,
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

/// What the messages say of tools.
#[derive(Default)]
pub(super) struct Loading<'a> {
    /// Deferred tools that were loaded, or called.
    pub loaded: HashSet<Text<'a>>,
    pub removed: HashSet<Text<'a>>,
    /// Tools defined on the way.
    pub added: Vec<(&'a RawValue, String)>,
}

/// A call that waits for its result.
pub(super) struct Pending<'a> {
    /// As the client knows it.
    pub id: Text<'a>,
    /// As Gemini does.
    pub gemini_id: Option<Cow<'a, str>>,
    pub name: Cow<'a, str>,
    path: String,
    result: Option<Returned<'a>>,
}

impl<'a, 'n> Transcript<'a, 'n> {
    pub(super) fn new(model: Model<'a>, names: &'n mut Names) -> Self {
        Self {
            model,
            names,
            talk: Talk::default(),
            calls: Vec::new(),
            user: Vec::new(),
        }
    }

    /// The `system` of the request.
    pub(super) fn system(&mut self, system: &'a RawValue) -> Result<(), Refused> {
        if system.get() == "null" {
            return Ok(());
        }
        let mut told = |text: Text<'a>| {
            if !text.is_empty() && !text.starts_with(BILLING) {
                self.talk.system.push(Part::text(text.0));
            }
        };
        match Blocks::read(system, &"system")? {
            Blocks::One(text) => told(text),
            Blocks::Many(list) => {
                for (index, raw) in list.into_iter().enumerate() {
                    let path = format!("system.{index}");
                    let block = Block::read(raw, &path)?;
                    match &*block.kind {
                        "text" => told(must(block.text, "text", &path)?),
                        other => return Err(unknown(other, &path)),
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn message(&mut self, raw: &'a RawValue, index: usize) -> Result<(), Refused> {
        let path = format!("messages.{index}");
        let message: Message<'a> = error::object(raw.get(), &path)?;
        let content = Blocks::read(message.content, &format_args!("{path}.content"))?;
        match &*message.role {
            "user" => self.user(content, &path),
            "assistant" => self.assistant(content, &path),
            "system" => {
                if let Some(effort) = message.output_config.and_then(|config| config.effort) {
                    self.talk.effort = Some(effort);
                }
                self.system_message(content, &path)
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

    fn user(&mut self, content: Blocks<'a>, path: &str) -> Result<(), Refused> {
        let list = match content {
            Blocks::One(text) => {
                if !text.is_empty() {
                    self.user.push(Part::text(text.0));
                }
                return Ok(());
            }
            Blocks::Many(list) => list,
        };
        for (index, raw) in list.into_iter().enumerate() {
            let path = format!("{path}.content.{index}");
            let block = Block::read(raw, &path)?;
            if &*block.kind == "tool_result" {
                self.result(&block, &path)?;
            } else if !plain(&block, &mut self.user, &path)? {
                return Err(unknown(&block.kind, &path));
            }
        }
        Ok(())
    }

    fn result(&mut self, block: &Block<'a>, path: &str) -> Result<(), Refused> {
        let id = must(block.tool_use_id.clone(), "tool_use_id", &path)?;
        let mut returned = tool_result(block, &path)?;
        self.talk.loading.loaded.extend(returned.loaded.drain(..));
        let Some(call) = self.calls.iter_mut().find(|call| call.id == id) else {
            return Err(Refused::at(
                path,
                format_args!(
                    "unexpected `tool_use_id` found in `tool_result` blocks: {}. Each `tool_result` block must have \
                     a corresponding `tool_use` block in the previous message.",
                    &*id
                ),
            ));
        };
        if call.result.is_some() {
            return Err(Refused::at(
                path,
                format_args!("each tool_use must have a single result: {} has two", &*id),
            ));
        }
        call.result = Some(returned);
        Ok(())
    }

    /// Text for the model from whoever runs the client, and news of tools.
    fn system_message(&mut self, content: Blocks<'a>, path: &str) -> Result<(), Refused> {
        let list = match content {
            Blocks::One(text) => {
                self.remind(text);
                return Ok(());
            }
            Blocks::Many(list) => list,
        };
        for (index, raw) in list.into_iter().enumerate() {
            let path = format!("{path}.content.{index}");
            let block = Block::read(raw, &path)?;
            match &*block.kind {
                "text" => {
                    let text = must(block.text, "text", &path)?;
                    self.remind(text);
                }
                "tool_addition" => {
                    let tool = must(block.tool, "tool", &path)?;
                    let loading = &mut self.talk.loading;
                    if let Some(name) = tool.name {
                        loading.removed.remove(&name);
                        loading.loaded.insert(name);
                    } else {
                        let path = format!("{path}.tool.definition");
                        loading
                            .added
                            .push((must(tool.definition, "definition", &path)?, path));
                    }
                }
                "tool_removal" => {
                    let tool = must(block.tool, "tool", &path)?;
                    let removed = must(tool.name, "tool.name", &path)?;
                    self.talk.loading.removed.insert(removed);
                }
                other => return Err(unknown(other, &path)),
            }
        }
        Ok(())
    }

    fn remind(&mut self, text: Text<'a>) {
        if text.is_empty() {
            return;
        }
        let opening = self.user.is_empty() && self.talk.contents.is_empty();
        if opening {
            self.talk.system.push(Part::text(text.0));
        } else if text.trim_start().starts_with("<system-reminder>") {
            self.user.push(Part::text(text.0));
        } else {
            let text = format!("<system-reminder>\n{}\n</system-reminder>", &*text);
            self.user.push(Part::text(text));
        }
    }

    fn assistant(&mut self, content: Blocks<'a>, path: &str) -> Result<(), Refused> {
        let mut turn = Said::default();
        match content {
            Blocks::One(text) => turn.text(text.0),
            Blocks::Many(list) => {
                for (index, raw) in list.into_iter().enumerate() {
                    let path = format!("{path}.content.{index}");
                    let block = Block::read(raw, &path)?;
                    match &*block.kind {
                        "text" => turn.text(must(block.text, "text", &path)?.0),
                        "thinking" | "redacted_thinking" => turn.carried(block, self.model.vendor()),
                        "tool_use" => {
                            let call = self.call(block, path)?;
                            turn.call(call)?;
                        }
                        other => return Err(unknown(other, &path)),
                    }
                }
            }
        }
        let mut parts = turn.parts();
        if parts.is_empty() {
            return Ok(());
        }
        self.flush()?;
        if let Some(twice) = turn
            .calls
            .iter()
            .find(|new| self.calls.iter().any(|call| call.id == new.id))
        {
            return Err(twice.twice());
        }
        self.calls.append(&mut turn.calls);
        match self.talk.contents.last_mut() {
            None => {
                return Err(Refused::at(path, "the first message must use the role `user`"));
            }
            Some(content) if content.role == "model" => content.parts.append(&mut parts),
            Some(_) => self.talk.contents.push(Content { role: "model", parts }),
        }
        Ok(())
    }

    fn call(&mut self, block: Block<'a>, path: String) -> Result<(Pending<'a>, &'a RawValue), Refused> {
        let id = must(block.id, "id", &path)?;
        let name = must(block.name, "name", &path)?;
        let input = must(block.input, "input", &path)?;
        if !input.get().starts_with('{') {
            return Err(Refused::at(
                format_args!("{path}.input"),
                "Input should be an object",
            ));
        }
        self.talk.loading.loaded.insert(name.clone());
        let ours = within(&id, carry::gemini_id);
        // Gemini's own models may do without; others that Antigravity serves may not.
        let gemini_id = ours.or_else(|| (!self.model.is_gemini()).then(|| id.0.clone()));
        let pending = Pending {
            gemini_id,
            id,
            name: self.names.send_text(name),
            path,
            result: None,
        };
        Ok((pending, input))
    }

    /// Ends the user's turn under way, if there is one.
    fn flush(&mut self) -> Result<(), Refused> {
        if self.user.is_empty() && self.calls.iter().all(|call| call.result.is_none()) {
            return Ok(());
        }
        answered(&self.calls)?;
        let mut parts = Vec::with_capacity(self.calls.len() + self.user.len());
        let mut beside = Vec::new();
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
                function_response: Some(gemini::Returned {
                    id: call.gemini_id,
                    name: call.name,
                    response: returned.said,
                    parts: inside,
                }),
                ..Part::default()
            });
        }
        parts.append(&mut beside);
        parts.append(&mut self.user);
        self.talk.contents.push(Content { role: "user", parts });
        Ok(())
    }
}

impl Pending<'_> {
    pub(super) fn twice(&self) -> Refused {
        Refused::at(
            &self.path,
            format_args!("`tool_use` ids must be unique: {}", &*self.id),
        )
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
