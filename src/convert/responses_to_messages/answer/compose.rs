//! Turns the blocks of a message into items.

use serde_json::value::RawValue;

use super::events::Events;
use super::items::{action, annotations, custom, message, output_text, reasoning, summary_text};

use crate::convert::responses_to_messages::carry::Thought;
use crate::convert::responses_to_messages::error::UnusableAnswer;
use crate::convert::responses_to_messages::names::{Kind, Tools};
use crate::convert::responses_to_messages::request::Context;
use crate::dialect::body::mended;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

/// Limit for all items together, bytes; the last event repeats them.
const ROOM: usize = 24 << 20;

#[derive(Debug)]
pub(super) struct Composer {
    names: Tools,
    /// The client wants to see thoughts.
    shown: bool,
    /// Letters and digits, unique per answer.
    seed: String,
    open: Option<Open>,
    /// The finished items.
    pub items: Vec<Json<'static>>,
    room: usize,
    failure: Option<UnusableAnswer>,
}

/// The open block with its content so far.
#[derive(Debug)]
struct Open {
    kind: Block,
    /// Text, thought, or a call's input.
    said: String,
    signature: String,
    /// Cited pages: address and title.
    cited: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Block {
    Text,
    Thinking,
    Redacted(String),
    Call {
        kind: Kind,
        id: String,
        name: String,
        namespace: Option<String>,
        /// The input in the block's opening.
        input: Option<String>,
    },
    Search {
        input: Option<String>,
    },
    /// The block becomes no item.
    Silent,
}

impl Composer {
    pub(super) fn new(context: &Context, seed: &str) -> Self {
        Self {
            names: context.names.clone(),
            shown: context.shown,
            seed: seed.to_owned(),
            open: None,
            items: Vec::new(),
            room: ROOM,
            failure: None,
        }
    }

    /// The reason why the answer cannot be converted.
    pub(super) fn failure(&mut self) -> Option<UnusableAnswer> {
        self.failure.take()
    }

    fn place(&self) -> Json<'static> {
        Json::Number((self.items.len() as u64).into())
    }

    fn id(&self, prefix: &str) -> String {
        format!("{prefix}_{}{:02}", self.seed, self.items.len())
    }

    /// Reserves this many bytes; false if the limit is exceeded, which makes the answer unusable.
    fn takes(&mut self, bytes: usize) -> bool {
        match self.room.checked_sub(bytes) {
            Some(room) => {
                self.room = room;
                true
            }
            None => {
                self.failure.get_or_insert(UnusableAnswer::TooLarge);
                false
            }
        }
    }

    /// A block begins.
    pub(super) fn start(&mut self, block: &Object<'_>, out: &mut Events) {
        self.stop(out);
        let text = |key| block.get::<Text<'_>>(key).unwrap_or_default();
        let input = || {
            let input = block.raw("input").map(RawValue::get);
            input.filter(|input| *input != "{}").map(str::to_owned)
        };
        let kind = match &*text("type") {
            "text" => Block::Text,
            "thinking" => Block::Thinking,
            "redacted_thinking" => Block::Redacted(text("data").0.into_owned()),
            "tool_use" => {
                let sent = text("name");
                let tool = self.names.of(&sent).cloned();
                let (kind, namespace, name) = match tool {
                    Some(tool) => (tool.kind, tool.namespace, tool.name),
                    None => (Kind::Function, None, sent.0.into_owned()),
                };
                Block::Call {
                    kind,
                    id: text("id").0.into_owned(),
                    name,
                    namespace,
                    input: input(),
                }
            }
            "server_tool_use" => Block::Search { input: input() },
            // Search results, and block types newer than this code.
            _ => Block::Silent,
        };
        self.open = Some(Open {
            kind,
            said: String::new(),
            signature: String::new(),
            cited: Vec::new(),
        });
        self.opened(out);
        // Content in the block's opening.
        match &*text("type") {
            "text" => self.append_text(&text("text"), out),
            "thinking" => {
                self.append_text(&text("thinking"), out);
                self.sign(&text("signature"));
            }
            _ => {}
        }
    }

    /// Announces the new item.
    fn opened(&mut self, out: &mut Events) {
        let place = self.place();
        let (prefix, content) = match self.open.as_ref().map(|open| &open.kind) {
            Some(Block::Text) => ("msg", "content"),
            Some(Block::Thinking) => ("rs", "summary"),
            Some(Block::Call {
                kind: Kind::Function, ..
            }) => {
                let item = self.call("", "in_progress");
                out.write(
                    "response.output_item.added",
                    [("output_index", place), ("item", item)],
                );
                return;
            }
            // Announced when they are done.
            _ => return,
        };
        let id = self.id(prefix);
        let item = match content {
            "content" => message(&id, Vec::new(), "in_progress"),
            _ => reasoning(&id, Vec::new(), None),
        };
        out.write(
            "response.output_item.added",
            [("output_index", place.clone()), ("item", item)],
        );
        if content == "content" {
            out.write(
                "response.content_part.added",
                [
                    ("item_id", Json::Text(id.into())),
                    ("output_index", place),
                    ("content_index", Json::Number(0.into())),
                    ("part", output_text(String::new(), Vec::new())),
                ],
            );
        } else if self.shown {
            out.write(
                "response.reasoning_summary_part.added",
                [
                    ("item_id", Json::Text(id.into())),
                    ("output_index", place),
                    ("summary_index", Json::Number(0.into())),
                    ("part", summary_text(String::new())),
                ],
            );
        }
    }

    /// Adds to a text or a thought.
    pub(super) fn append_text(&mut self, more: &str, out: &mut Events) {
        if more.is_empty() || !self.takes(more.len()) {
            return;
        }
        let (place, shown) = (self.place(), self.shown);
        let Some(open) = &mut self.open else { return };
        open.said.push_str(more);
        let (name, index, prefix) = match open.kind {
            Block::Text => ("response.output_text.delta", "content_index", "msg"),
            Block::Thinking if shown => ("response.reasoning_summary_text.delta", "summary_index", "rs"),
            _ => return,
        };
        let id = self.id(prefix);
        out.write(
            name,
            [
                ("item_id", Json::Text(id.into())),
                ("output_index", place),
                (index, Json::Number(0.into())),
                ("delta", Json::text(more)),
            ],
        );
    }

    pub(super) fn sign(&mut self, signature: &str) {
        if self.takes(signature.len())
            && let Some(open) = &mut self.open
        {
            open.signature.push_str(signature);
        }
    }

    pub(super) fn cite(&mut self, citation: &Object<'_>) {
        let text = |key| citation.get::<Text<'_>>(key).unwrap_or_default().0.into_owned();
        let (url, title) = (text("url"), text("title"));
        if !url.is_empty()
            && self.takes(url.len() + title.len())
            && let Some(open) = &mut self.open
        {
            open.cited.push((url, title));
        }
    }

    /// Adds to a call's input.
    pub(super) fn input(&mut self, more: &str, out: &mut Events) {
        if more.is_empty() || !self.takes(more.len()) {
            return;
        }
        let place = self.place();
        let Some(open) = &mut self.open else { return };
        open.said.push_str(more);
        if let Block::Call {
            kind: Kind::Function, ..
        } = open.kind
        {
            let id = self.id("fc");
            out.write(
                "response.function_call_arguments.delta",
                [
                    ("item_id", Json::Text(id.into())),
                    ("output_index", place),
                    ("delta", Json::text(more)),
                ],
            );
        }
    }

    /// Closes the open block.
    pub(super) fn stop(&mut self, out: &mut Events) {
        let Some(open) = &self.open else { return };
        let item = match &open.kind {
            Block::Text => self.end_text(out),
            Block::Thinking => self.end_thought(out),
            Block::Redacted(data) => {
                let token = Thought::Redacted(data.clone()).token();
                Some(reasoning(&self.id("rs"), Vec::new(), Some(token)))
            }
            Block::Call { .. } => self.end_call(out),
            Block::Search { .. } => Some(self.search()),
            Block::Silent => None,
        };
        let was_announced = matches!(
            open.kind,
            Block::Text
                | Block::Thinking
                | Block::Call {
                    kind: Kind::Function,
                    ..
                }
        );
        self.open = None;
        let Some(item) = item else { return };
        let place = self.place();
        if !was_announced {
            let mut opening = item.clone();
            if let Json::Map(members) = &mut opening {
                for (_, input) in members.iter_mut().filter(|(name, _)| &**name == "input") {
                    *input = Json::text("");
                }
            }
            out.write(
                "response.output_item.added",
                [("output_index", place.clone()), ("item", opening)],
            );
            send_input(&item, &place, out);
        }
        out.write(
            "response.output_item.done",
            [("output_index", place), ("item", item.clone())],
        );
        self.items.push(item);
    }

    fn end_text(&self, out: &mut Events) -> Option<Json<'static>> {
        let open = self.open.as_ref()?;
        let (id, place) = (self.id("msg"), self.place());
        let at = || {
            [
                ("item_id", Json::Text(id.clone().into())),
                ("output_index", place.clone()),
                ("content_index", Json::Number(0.into())),
            ]
        };
        let [item, output, content] = at();
        out.write(
            "response.output_text.done",
            [item, output, content, ("text", Json::text(&open.said))],
        );
        let part = output_text(open.said.clone(), annotations(&open.said, &open.cited));
        let [item, output, content] = at();
        out.write(
            "response.content_part.done",
            [item, output, content, ("part", part.clone())],
        );
        Some(message(&id, vec![part], "completed"))
    }

    fn end_thought(&self, out: &mut Events) -> Option<Json<'static>> {
        let open = self.open.as_ref()?;
        let (id, place) = (self.id("rs"), self.place());
        let thought = Thought::Signed {
            thinking: open.said.clone(),
            signature: open.signature.clone(),
        };
        let token = (!open.signature.is_empty()).then(|| thought.token());
        if !self.shown {
            return Some(reasoning(&id, Vec::new(), token));
        }
        let at = || {
            [
                ("item_id", Json::Text(id.clone().into())),
                ("output_index", place.clone()),
                ("summary_index", Json::Number(0.into())),
            ]
        };
        let [item, output, index] = at();
        out.write(
            "response.reasoning_summary_text.done",
            [item, output, index, ("text", Json::text(&open.said))],
        );
        let part = summary_text(open.said.clone());
        let [item, output, index] = at();
        out.write(
            "response.reasoning_summary_part.done",
            [item, output, index, ("part", part.clone())],
        );
        let summary = if open.said.is_empty() {
            Vec::new()
        } else {
            vec![part]
        };
        Some(reasoning(&id, summary, token))
    }

    fn end_call(&self, out: &mut Events) -> Option<Json<'static>> {
        let open = self.open.as_ref()?;
        let Block::Call { kind, input, .. } = &open.kind else {
            return None;
        };
        let whole = match input {
            _ if !open.said.is_empty() => open.said.clone(),
            Some(input) => input.clone(),
            None => "{}".to_owned(),
        };
        if *kind == Kind::Function {
            let (id, place) = (self.id("fc"), self.place());
            if open.said.is_empty() {
                out.write(
                    "response.function_call_arguments.delta",
                    [
                        ("item_id", Json::Text(id.clone().into())),
                        ("output_index", place.clone()),
                        ("delta", Json::text(&whole)),
                    ],
                );
            }
            out.write(
                "response.function_call_arguments.done",
                [
                    ("item_id", Json::Text(id.into())),
                    ("output_index", place),
                    ("arguments", Json::text(&whole)),
                ],
            );
        }
        Some(self.call(&whole, "completed"))
    }

    /// The open call with this input.
    fn call(&self, input: &str, status: &'static str) -> Json<'static> {
        let Some(Open {
            kind:
                Block::Call {
                    kind,
                    id,
                    name,
                    namespace,
                    ..
                },
            ..
        }) = &self.open
        else {
            return Json::Null;
        };
        let owned = |text: &str| Json::Text(text.to_owned().into());
        let (of_type, prefix) = match kind {
            Kind::Function => ("function_call", "fc"),
            Kind::Custom => ("custom_tool_call", "ctc"),
            Kind::LocalShell => ("local_shell_call", "lsh"),
        };
        let mut item = Json::map([
            ("type", Json::text(of_type)),
            ("id", Json::Text(self.id(prefix).into())),
            ("call_id", owned(id)),
        ]);
        match kind {
            Kind::Function => {
                item.put("name", owned(name));
                item.put("arguments", owned(input));
            }
            Kind::Custom => {
                item.put("name", owned(name));
                item.put("input", Json::Text(custom(input).into()));
            }
            Kind::LocalShell => item.put("action", action(input)),
        }
        if let Some(namespace) = namespace {
            item.put("namespace", owned(namespace));
        }
        item.put("status", Json::text(status));
        item
    }

    fn search(&self) -> Json<'static> {
        let input = match &self.open {
            Some(Open { said, .. }) if !said.is_empty() => said.clone(),
            Some(Open {
                kind: Block::Search { input: Some(input) },
                ..
            }) => input.clone(),
            _ => String::new(),
        };
        let input = mended(input.as_bytes()).into_owned();
        let query: Option<Text<'_>> = Object::parse(&input).ok().and_then(|input| input.get("query"));
        let query = query.unwrap_or_default().0.into_owned();
        Json::map([
            ("type", Json::text("web_search_call")),
            ("id", Json::Text(self.id("ws").into())),
            ("status", Json::text("completed")),
            (
                "action",
                Json::map([
                    ("type", Json::text("search")),
                    ("query", Json::Text(query.into())),
                ]),
            ),
        ])
    }
}

/// Sends the input of a custom tool in one piece: the source streams it as a JSON string, which must be complete
/// to be decoded.
fn send_input(item: &Json<'_>, place: &Json<'static>, out: &mut Events) {
    let Some(input) = item.get("input").and_then(Json::as_str) else {
        return;
    };
    let id = item.get("id").and_then(Json::as_str).unwrap_or_default();
    for (name, member) in [
        ("response.custom_tool_call_input.delta", "delta"),
        ("response.custom_tool_call_input.done", "input"),
    ] {
        out.write(
            name,
            [
                ("item_id", Json::text(id)),
                ("output_index", place.clone()),
                (member, Json::text(input)),
            ],
        );
    }
}
