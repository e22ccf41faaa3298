//! Serialises Anthropic's messages and stream events.

use serde::Serialize;
use serde_json::value::RawValue;

use super::compose::{Block, Citation, Event, Sink};
use super::search::Source;
use super::usage::UsageReport;

use crate::dialect::wire::marks::PREFIX;

/// A message. At the start of a stream it has no content.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub id: &'a str,
    pub r#type: &'static str,
    pub role: &'static str,
    pub model: &'a str,
    pub content: &'a [ContentBlock],
    pub stop_reason: Option<&'a str>,
    pub stop_sequence: Option<&'a str>,
    pub usage: UsageReport,
}

impl<'a> Message<'a> {
    pub(super) fn new(id: &'a str, model: &'a str, usage: UsageReport) -> Self {
        Self {
            id,
            r#type: "message",
            role: "assistant",
            model,
            content: &[],
            stop_reason: None,
            stop_sequence: None,
            usage,
        }
    }
}

/// A content block of a whole message.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ContentBlock {
    Text {
        text: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<Quote>,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Option<Box<RawValue>>,
    },
    ServerToolUse {
        id: String,
        name: String,
        input: Option<Box<RawValue>>,
    },
    WebSearchToolResult {
        tool_use_id: String,
        content: Vec<Hit>,
    },
    Image {
        source: Base64,
    },
}

/// A search result. The member that Anthropic encrypts for its own models holds a placeholder.
#[derive(Debug, Serialize)]
pub(super) struct Hit {
    r#type: &'static str,
    title: String,
    url: String,
    encrypted_content: &'static str,
    page_age: Option<&'static str>,
}

impl Hit {
    fn all(sources: &[Source]) -> Vec<Self> {
        let pages = sources.iter().filter(|source| !source.url.is_empty());
        pages
            .map(|source| Self {
                r#type: "web_search_result",
                title: source.title.clone(),
                url: source.url.clone(),
                encrypted_content: PREFIX,
                page_age: None,
            })
            .collect()
    }
}

/// A citation.
#[derive(Debug, Serialize)]
pub(super) struct Quote {
    r#type: &'static str,
    url: String,
    title: String,
    encrypted_index: &'static str,
    cited_text: String,
}

impl Quote {
    fn of(citation: &Citation<'_>) -> Self {
        Self {
            r#type: "web_search_result_location",
            url: citation.source.url.clone(),
            title: citation.source.title.clone(),
            encrypted_index: PREFIX,
            cited_text: citation.words.to_owned(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Base64 {
    r#type: &'static str,
    media_type: String,
    data: String,
}

impl Base64 {
    fn of(kind: &str, data: &str) -> Self {
        Self {
            r#type: "base64",
            media_type: kind.to_owned(),
            data: data.to_owned(),
        }
    }
}

/// Collects the blocks of a whole message.
impl Sink for Vec<ContentBlock> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(block) => self.push(match block {
                Block::Text => ContentBlock::Text {
                    text: String::new(),
                    citations: Vec::new(),
                },
                Block::Thinking => ContentBlock::Thinking {
                    thinking: String::new(),
                    signature: String::new(),
                },
                Block::Redacted { data } => ContentBlock::RedactedThinking {
                    data: data.to_owned(),
                },
                Block::Call { id, name } => ContentBlock::ToolUse {
                    id: id.to_owned(),
                    name: name.to_owned(),
                    input: None,
                },
                Block::Search { id, name } => ContentBlock::ServerToolUse {
                    id: id.to_owned(),
                    name: name.to_owned(),
                    input: None,
                },
                Block::Found { id, sources } => ContentBlock::WebSearchToolResult {
                    tool_use_id: id.to_owned(),
                    content: Hit::all(sources),
                },
                Block::Image { kind, data } => ContentBlock::Image {
                    source: Base64::of(kind, data),
                },
            }),
            Event::Stop => {}
            delta => match (self.last_mut(), delta) {
                (Some(ContentBlock::Text { text, .. }), Event::Text(more)) => text.push_str(more),
                (Some(ContentBlock::Text { citations, .. }), Event::Citation(citation)) => {
                    citations.push(Quote::of(&citation));
                }
                (Some(ContentBlock::Thinking { thinking, .. }), Event::Thinking(more)) => {
                    thinking.push_str(more);
                }
                (Some(ContentBlock::Thinking { signature, .. }), Event::Signature(all)) => {
                    all.clone_into(signature);
                }
                (
                    Some(ContentBlock::ToolUse { input, .. } | ContentBlock::ServerToolUse { input, .. }),
                    Event::Input(all),
                ) => {
                    *input = RawValue::from_string(all.to_owned()).ok();
                }
                _ => {}
            },
        }
    }
}

/// Writes server-sent events and counts the blocks.
#[derive(Debug, Default)]
pub(super) struct Events {
    out: Vec<u8>,
    blocks: usize,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Opening<'a> {
    Text {
        text: &'a str,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Empty,
    },
    ServerToolUse {
        id: &'a str,
        name: &'a str,
        input: Empty,
    },
    WebSearchToolResult {
        tool_use_id: &'a str,
        content: Vec<Hit>,
    },
    Image {
        source: Base64,
    },
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names of the protocol")]
enum Delta<'a> {
    TextDelta { text: &'a str },
    ThinkingDelta { thinking: &'a str },
    SignatureDelta { signature: &'a str },
    InputJsonDelta { partial_json: &'a str },
    CitationsDelta { citation: Quote },
}

#[derive(Serialize)]
struct Stopped<'a> {
    stop_reason: &'a str,
    stop_sequence: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Data<'a> {
    MessageStart {
        message: Message<'a>,
    },
    ContentBlockStart {
        index: usize,
        content_block: Opening<'a>,
    },
    ContentBlockDelta {
        index: usize,
        delta: Delta<'a>,
    },
    ContentBlockStop {
        index: usize,
    },
    MessageDelta {
        delta: Stopped<'a>,
        usage: UsageReport,
    },
    MessageStop,
}

impl Events {
    /// Returns the bytes written since the last call.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn message_start(&mut self, message: Message<'_>) {
        self.write("message_start", &Data::MessageStart { message });
    }

    pub(super) fn message_end(&mut self, stop_reason: &str, usage: UsageReport) {
        let delta = Stopped {
            stop_reason,
            stop_sequence: None,
        };
        self.write("message_delta", &Data::MessageDelta { delta, usage });
        self.write("message_stop", &Data::MessageStop);
    }

    /// `body`: Anthropic's error object.
    pub(super) fn error(&mut self, body: &[u8]) {
        self.raw("error", body);
    }

    fn write(&mut self, name: &str, data: &Data<'_>) {
        // Strings and numbers always serialise.
        let data = serde_json::to_vec(data).unwrap_or_default();
        self.raw(name, &data);
    }

    fn raw(&mut self, name: &str, data: &[u8]) {
        for piece in [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"] {
            self.out.extend_from_slice(piece);
        }
    }

    fn delta(&mut self, delta: Delta<'_>) {
        let index = self.blocks.saturating_sub(1);
        self.write("content_block_delta", &Data::ContentBlockDelta { index, delta });
    }
}

impl Sink for Events {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(block) => {
                let content_block = match block {
                    Block::Text => Opening::Text { text: "" },
                    Block::Thinking => Opening::Thinking {
                        thinking: "",
                        signature: "",
                    },
                    Block::Redacted { data } => Opening::RedactedThinking { data },
                    Block::Call { id, name } => Opening::ToolUse {
                        id,
                        name,
                        input: Empty {},
                    },
                    Block::Search { id, name } => Opening::ServerToolUse {
                        id,
                        name,
                        input: Empty {},
                    },
                    Block::Found { id, sources } => Opening::WebSearchToolResult {
                        tool_use_id: id,
                        content: Hit::all(sources),
                    },
                    Block::Image { kind, data } => Opening::Image {
                        source: Base64::of(kind, data),
                    },
                };
                let index = self.blocks;
                self.blocks += 1;
                self.write(
                    "content_block_start",
                    &Data::ContentBlockStart { index, content_block },
                );
            }
            Event::Text(text) => self.delta(Delta::TextDelta { text }),
            Event::Thinking(thinking) => self.delta(Delta::ThinkingDelta { thinking }),
            Event::Signature(signature) => self.delta(Delta::SignatureDelta { signature }),
            Event::Citation(citation) => self.delta(Delta::CitationsDelta {
                citation: Quote::of(&citation),
            }),
            Event::Input(partial_json) => self.delta(Delta::InputJsonDelta { partial_json }),
            Event::Stop => {
                let index = self.blocks.saturating_sub(1);
                self.write("content_block_stop", &Data::ContentBlockStop { index });
            }
        }
    }
}
